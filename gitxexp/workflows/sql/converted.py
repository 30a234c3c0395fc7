"""SQLite tables converted to parquet files shared by several queries: a prompt or a notebook
queries the same tables repeatedly, and conversion takes far longer than a query."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.files import Folder
from gitxexp.tables.duckdb import parallel_scan
from gitxexp.tables.duckdb.scan import TablePart
from gitxexp.tables.duckdb.session import stamp


@dataclass(frozen=True)
class Converted:
    """The parquet files of a part of a table, deleted with this object, and notes on how they
    differ from the table."""

    part: TablePart
    files: Sequence[Path]
    notes: Sequence[str]

    def holds(self, part: TablePart) -> bool:
        """Whether another part of the same table is within this one."""
        mine = self.part
        columns = mine.columns is None or (
            part.columns is not None and part.columns <= mine.columns
        )
        rows = mine.limit is None or (part.limit is not None and part.limit <= mine.limit)
        return columns and rows and part.ranges == mine.ranges


class Conversions:
    """Cached conversions, kept as long as this object lives and the database is unchanged."""

    def __init__(self) -> None:
        folder = Folder()
        self._folder = folder.path
        self._numbers = count()
        self._stamps: dict[Path, tuple[int, ...]] = {}
        self._known: dict[tuple[Path, str], list[Converted]] = {}
        weakref.finalize(self, folder.close)

    def of(self, path: Path, part: TablePart) -> Converted:
        """``part`` of the SQLite file ``path``. Raises XexpError for a file that cannot be read."""
        path = path.resolve()
        now = stamp(path)
        if self._stamps.get(path) != now:
            self._stamps[path] = now
            self._known = {key: each for key, each in self._known.items() if key[0] != path}
        known = self._known.setdefault((path, part.table), [])
        conversion = next((each for each in known if each.holds(part)), None)
        if conversion is None:
            out = self._folder / f"table{next(self._numbers)}.parquet"
            conversion = Converted(part, *parallel_scan.write(path, part, out))
            weakref.finalize(conversion, _remove, conversion.files)
            if stamp(path) == now:  # else the next query converts it again
                known.append(conversion)
        return conversion


def _remove(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
