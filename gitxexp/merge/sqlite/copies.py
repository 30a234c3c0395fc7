"""A source that began as a copy of the target: only rows on pages that differ are looked at.

Equal leaf pages at the same place in both b-trees hold the same rows under the same rowids, so they
cancel out of every comparison.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

from gitxexp.merge.sqlite.feed import Feed
from gitxexp.merge.sqlite.files import Header, child
from gitxexp.merge.sqlite.names import fold, quote
from gitxexp.merge.sqlite.schema import Schema, Table
from gitxexp.merge.sqlite.source import Source
from gitxexp.merge.sqlite.write import fresh

SMALLEST = 4 << 20  #: bytes; below it, looking at all rows is as fast as starting a process


@dataclass(frozen=True)
class Narrowed:
    """A feed with fewer rows; the target rows to compare with; the rows left out of both."""

    feed: Feed
    ranges: str
    common: int


class Copies:
    """Compares one source's file with the file that the target was copied from."""

    def __init__(
        self, con: sqlite3.Connection, raw: Path | None, header: Header | None, before: Schema
    ) -> None:
        self.con, self.raw, self.header, self.before = con, raw, header, before

    def look(self, db: str, source: Source, schema: Schema, here: dict[str, int]) -> Differences:
        """What differs; empty where that cannot be told. ``here``: the target's rows per table."""
        mine, other = self.header, source.header
        if self.raw is None or source.raw is None or mine is None or source.size < SMALLEST:
            return Differences(self.con, db, {}, {})
        if 2 * source.size < self.raw.stat().st_size:  # a copy that grew is not that small
            return Differences(self.con, db, {}, {})
        same = (mine.page_size, mine.reserved, mine.encoding) == (
            other.page_size,
            other.reserved,
            other.encoding,
        )
        names = [n for n in here if n in schema.tables and n in self.before.tables]
        names = [n for n in names if _grown(self.before.tables[n], schema.tables[n])]
        if not same or mine.auto_vacuum or other.auto_vacuum or not names:
            return Differences(self.con, db, {}, {})
        left, right = self._roots("main"), self._roots(db)
        task = {
            "roots": {n: [left.pop(("table", n)), right.pop(("table", n))] for n in names},
            "others": [[1, *left.values()], [1, *right.values()]],
        }
        found = json.loads(child(["compare", str(self.raw), str(source.raw)], task))
        return Differences(self.con, db, found or {}, here)

    def _roots(self, db: str) -> dict[tuple[str, str], int]:
        rows = self.con.execute(
            f"SELECT type, name, rootpage FROM {quote(db)}.sqlite_schema WHERE rootpage > 0"
        )
        return {(kind, fold(name)): root for kind, name, root in rows}


class Differences:
    """Rowid ranges per table, made into temporary tables when a feed asks for them."""

    def __init__(
        self,
        con: sqlite3.Connection,
        db: str,
        found: dict[str, list[list[list[int]]]],
        here: dict[str, int],
    ) -> None:
        self.con, self.db, self.found, self.here = con, db, found, here

    def narrow(self, feed: Feed, last_rowid: int) -> Narrowed | None:
        """The feed's rows on differing pages; None when all must be looked at."""
        name = fold(feed.target.name)
        if name not in self.found or feed.renamed:
            return None
        mine, theirs, (cells, _) = self.found[name]
        place = sorted(self.found).index(name)
        names = f"mine_{self.db}_{place}", f"rows_{self.db}_{place}"
        added = [[last_rowid + 1, (1 << 63) - 1]] if last_rowid < (1 << 63) - 1 else []
        for table, ranges in zip(names, (mine + added, theirs), strict=True):
            fresh(self.con, table, "lo INTEGER, hi INTEGER")
            self.con.executemany(f"INSERT INTO temp.{table} VALUES (?, ?)", ranges)
        left_out = self.here[name] - int(cells)  # type: ignore[call-overload]
        return Narrowed(replace(feed, ranges=names[1]), names[0], left_out)


def _grown(old: Table, new: Table) -> bool:
    """Whether records of ``old`` read the same under ``new``: perhaps with columns added."""
    if old.virtual or new.virtual or old.without_rowid or new.without_rowid:
        return False
    if not old.rowid or not new.rowid or any(c.generated for c in (*old.columns, *new.columns)):
        return False
    pairs = zip(old.columns, new.columns, strict=False)
    extra = new.columns[len(old.columns) :]
    return (
        len(new.columns) >= len(old.columns)
        and old.alias == new.alias
        and all(a == b for a, b in pairs)
        and all(c.default is None for c in extra)
    )
