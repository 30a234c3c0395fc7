"""``all_versions('predictions')``: the rows of a table in all tagged versions, each once.

A row comes with the oldest version that contains it. Of two files that started as copies of each
other only differing pages are read, so a version that appends costs only what it appended. Columns
that tagging fills do not make a row different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.common.files import database_kind
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.scan import Ranges
from gitxexp.tables.rules import STAMPS
from gitxexp.workflows.sql.catalog import Ambiguous, TablePlace
from gitxexp.workflows.sql.statement import TableName

if TYPE_CHECKING:
    from gitxexp.tables.duckdb.session import Session
    from gitxexp.workflows.sql.catalog import Catalog

#: Versions that an error names.
_NAMED_AT_MOST = 5
#: The column with the first version that contains the row.
VERSION = "version"


@dataclass(frozen=True)
class _Version:
    name: str
    place: TablePlace


@dataclass(frozen=True)
class _Rows:
    """A relation and its columns with their types."""

    relation: str
    columns: Mapping[str, str]


#: Returns the FROM item for a table, or for its rows in ranges of rowids.
Read = Callable[[TablePlace, Ranges | None], str]


def union(catalog: Catalog, name: TableName, read: Read, notes: list[str]) -> str:
    """Return the FROM item for all rows; ``notes`` receives the versions that were left out.

    Raises UsageError if no tagged version has such a table, XexpError if none can be read.
    """
    lost: list[str] = []
    versions = list(_versions(catalog, name, lost))
    if not versions and lost:
        hint = "\n".join(lost[:_NAMED_AT_MOST])
        raise XexpError(f"no tagged version of '{name.name}' can be read", hint)
    notes += lost
    if not versions:
        known = catalog.names()
        raise UsageError(
            f"no tagged version has a table '{name.name}'",
            suggestion(name.name, known, f"tables: {', '.join(known)}"),
        )
    return _Union(catalog.session, versions, read).rows()


def _versions(catalog: Catalog, name: TableName, notes: list[str]) -> Iterator[_Version]:
    """The versions with the table, oldest first; of several with the same file, the first."""
    seen = set()
    for experiment in reversed(catalog.tags.experiments):
        try:
            place = catalog.find(TableName(f"{name.name}@{experiment.name}", name.schema))
        except Ambiguous:  # leaving these rows out would look like having none
            raise
        except UsageError:  # the version has no such table
            continue
        except XexpError as error:
            notes.append(f"{experiment.name} is left out: {error.message}")
            continue
        if place is None:
            continue
        info = place.file.stat()
        key = info.st_dev, info.st_ino, place.table
        if key not in seen:
            seen.add(key)
            yield _Version(experiment.name, place)


class _Union:
    """Collects the rows of successive versions, from each only those in no earlier one.

    ``extra`` are rows seen before that the current version lacks: a row that it has and its
    predecessor lacks is new unless it is among them.
    """

    def __init__(self, session: Session, versions: Sequence[_Version], read: Read) -> None:
        self.session, self.versions, self.read = session, versions, read
        self.extra: _Rows | None = None

    def rows(self) -> str:
        """The relation of all rows."""
        parts = []
        whole = self._all(self.versions[0])
        parts.append(self._labelled(whole, self.versions[0].name))
        for before, after in zip(self.versions, self.versions[1:], strict=False):
            old, new = self._apart(before, after)
            added = self._without(new, old)
            removed = self._without(old, new)
            fresh = self._without(added, self.extra)
            parts.append(self._labelled(fresh, after.name))
            self.extra = self._left(added, removed)
        return f"({' UNION ALL BY NAME '.join(parts)})"

    def _all(self, version: _Version, ranges: Ranges | None = None) -> _Rows:
        relation = self.read(version.place, ranges)
        return _Rows(relation, self.session.describe(relation))

    def _apart(self, before: _Version, after: _Version) -> tuple[_Rows, _Rows]:
        """Return the rows of both files that may differ."""
        old, new = before.place, after.place
        found = None
        if database_kind(old.file) == database_kind(new.file) == "sqlite":
            found = _differing_pages(self.session, old, new)
        if found is None:
            return self._all(before), self._all(after)
        return self._all(before, found[0]), self._all(after, found[1])

    def _without(self, rows: _Rows, others: _Rows | None) -> _Rows:
        """Return the rows that ``others`` lacks, counting duplicates."""
        if others is None:
            return rows
        names = [name for name in rows.columns if name.lower() not in STAMPS]
        known = {name.lower() for name in others.columns}
        extra = [name for name in others.columns if name.lower() not in STAMPS
                 and name.lower() not in {n.lower() for n in rows.columns}]  # fmt: skip
        alike = [f"a.{quote(n)} IS NOT DISTINCT FROM {f'b.{quote(n)}' if n.lower() in known else 'NULL'}"
                 for n in names] + [f"b.{quote(n)} IS NULL" for n in extra]  # fmt: skip
        numbered = "(SELECT *, row_number() OVER (PARTITION BY {}) AS xexp_n FROM {})"
        mine = numbered.format(", ".join(map(quote, names)) or "1", rows.relation)
        present = [quote(n) for n in names if n.lower() in known] + list(map(quote, extra))
        theirs = numbered.format(", ".join(present) or "1", others.relation)
        query = (
            f"SELECT * EXCLUDE (xexp_n) FROM {mine} AS a ANTI JOIN {theirs} AS b "
            f"ON a.xexp_n = b.xexp_n AND {' AND '.join(alike) or 'true'}"
        )
        return _Rows(self.session.keep("rows", query), rows.columns)

    def _left(self, added: _Rows, removed: _Rows) -> _Rows:
        """Update the rows seen before that the current version lacks: without returned ones, with
        dropped ones."""
        if self.extra is None:
            return removed
        still = self._without(self.extra, added)
        query = f"SELECT * FROM {still.relation} UNION ALL BY NAME SELECT * FROM {removed.relation}"
        name = self.session.keep("extra", query)
        return _Rows(name, self.session.describe(name))

    def _labelled(self, rows: _Rows, version: str) -> str:
        """A column ``version`` in front; the table's own of that name is ``version_1``."""
        own = next((name for name in rows.columns if name.lower() == VERSION), None)
        kept = f"* RENAME ({quote(own)} AS version_1)" if own else "*"
        return f"SELECT {literal(version)} AS {VERSION}, {kept} FROM {rows.relation}"


def _differing_pages(
    session: Session, old: TablePlace, new: TablePlace
) -> tuple[Ranges, Ranges] | None:
    """The ranges of rowids on pages that differ; None if the files are no copies."""
    from gitxexp.tables.rules import fold
    from gitxexp.tables.sqlite import pages, source

    try:
        folder = session.scratch / session.name("pages")
        folder.mkdir()
        files = source.open_sources([old.file, new.file], folder)
        with closing(pages.Copies(files, [(0, 1)])) as copies:
            copies.compare()
            apart = copies.between(*files).get(fold(new.table))
    except XexpError:
        return None
    return (apart.old, apart.new) if apart is not None else None
