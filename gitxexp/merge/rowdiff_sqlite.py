"""Row differences of two SQLite files, without any other engine.

Where one file began as a copy of the other, only rows on pages that differ are met. Rows that both
sides have at one place (by row number, or by a unique key) fall out first; what is left is sorted
by SQLite, on disk if there is much of it, and only rows that really differ reach Python.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from gitxexp.merge import rowdiff_sql as sql
from gitxexp.merge.plan import Value
from gitxexp.merge.rowchanges import Found, RowChange, TableDiff
from gitxexp.merge.sqlite.copies import Apart, Copies, stage_ranges
from gitxexp.merge.sqlite.files import clear_errors
from gitxexp.merge.sqlite.names import fold, quote
from gitxexp.merge.sqlite.schema import Column, Key, Table, read_schema
from gitxexp.merge.sqlite.source import ENCODINGS, Source, connect, open_sources, transcode

Tables = Mapping[str, Table]
Row = dict[str, Value]
Cells = Sequence[Value]
_Spelled = Mapping[int, Sequence[str | None]]  #: names of the columns that old (-1), new (1) has

WIDE = 900  #: columns of which two rows fit into one of SQLite's
SORTED_KIB = 64 * 1024  #: sorted in memory; the rest in temporary files


def diff_sqlite(
    a: Path | None, b: Path | None, key: tuple[str, ...], limit: int | None
) -> list[TableDiff]:
    """The differences of all user tables; see :func:`gitxexp.merge.rowdiff.diff_files`.

    Each file is read as one snapshot, and never written. Memory is bounded but for the rows that
    are listed, and for those of one value of a declared ``key``.
    """
    paths = [path for path in (a, b) if path is not None]
    label = " or ".join(map(str, paths))
    with ExitStack() as stack:
        stack.enter_context(clear_errors(label))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xexp-diff-"))
        sources = _opened(paths, Path(folder))
        apart: Mapping[str, Apart] = {}
        if len(sources) == 2:
            copies = Copies(sources, [(0, 1)])
            stack.callback(copies.close)
            copies.compare()
            apart = copies.between(*sources)
        names = [name for name, path in (("a", a), ("b", b)) if path is not None]
        con = stack.enter_context(closing(_attached(sources, names)))
        old, new = (_tables(con, name) if name in names else {} for name in "ab")
        found = []
        for name in sorted({*old, *new}):
            pair = _Pair(con, old.get(name), new.get(name), apart.get(name))
            found.append(pair.difference(key, limit))
        for source in sources:
            source.unchanged()
        return found


def _opened(paths: Sequence[Path], folder: Path) -> list[Source]:
    sources = open_sources(paths, folder)
    return [transcode(s, sources[0].header.encoding, folder) for s in sources]


def _attached(sources: Sequence[Source], names: Sequence[str]) -> sqlite3.Connection:
    con = connect("file::memory:")
    try:
        con.execute(f"PRAGMA encoding='{ENCODINGS[sources[0].header.encoding]}'")
        for source, name in zip(sources, names, strict=True):
            con.execute(f"ATTACH ? AS {name}", (source.uri,))
            con.execute(f"PRAGMA {name}.mmap_size={1 << 40}").fetchone()
        con.execute(f"PRAGMA main.cache_size=-{SORTED_KIB}")
        con.execute("BEGIN")
        for name in names:
            con.execute(f"SELECT count(*) FROM {name}.sqlite_schema").fetchone()
    except sqlite3.Error:
        con.close()
        raise
    return con


def _tables(con: sqlite3.Connection, db: str) -> Tables:
    return {n: t for n, t in read_schema(con, db).tables.items() if not t.virtual}


@dataclass
class _Pair:
    """One table in both files (``a`` and ``b``); its columns are aligned by name."""

    con: sqlite3.Connection
    old: Table | None
    new: Table | None
    apart: Apart | None

    def difference(self, declared: tuple[str, ...], limit: int | None) -> TableDiff:
        """What differs; ``declared`` is the key of a table that has none of its own."""
        one = self.new or self.old
        assert one is not None
        found = Found(self._key(one, declared), limit)
        if self.old is None or self.new is None:
            self._alone(one, found)
        else:
            self._both(self.old, self.new, found)
        added, removed, changed = found.counts()
        mine, theirs = _names(self.old), _names(self.new)
        return TableDiff(
            one.name,
            found.key,
            tuple(c for n, c in theirs.items() if self.old and n not in mine),
            tuple(c for n, c in mine.items() if self.new and n not in theirs),
            self.old is None,
            self.new is None,
            added,
            removed,
            changed,
            tuple(map(_readable, found.listed())),
        )

    def _key(self, one: Table, declared: tuple[str, ...]) -> tuple[str, ...]:
        if one.keys:
            return one.keys[0].columns
        names = {**_names(self.old), **_names(self.new)}
        whole = all(fold(c) in names for c in declared)
        return tuple(names[fold(c)] for c in declared) if whole else ()

    def _alone(self, one: Table, found: Found) -> None:
        """A table that only one side has."""
        db, sign = ("b", 1) if self.old is None else ("a", -1)
        names = [c.name for c in one.columns]
        query = ", ".join(map(quote, names)), f"FROM {db}.{quote(one.name)}"
        more = self._first(query, lambda row: found.lone(_row(names, row), sign), found.limit)
        found.unlisted("added" if sign > 0 else "removed", more)

    def _both(self, old: Table, new: Table, found: Found) -> None:
        columns = sql.aligned(old, new)
        spelled = {1: _spelled(columns, new), -1: _spelled(columns, old)}
        ranges = ["", ""]
        if self.apart is not None:
            parts = (self.apart.old, self.apart.new)
            ranges = [
                stage_ranges(self.con, f"in_{s}", p) for s, p in zip("ab", parts, strict=True)
            ]
        sides = sql.Side("a", old, ranges[0]), sql.Side("b", new, ranges[1])
        key = sql.common_key(old, new) if len(columns) <= WIDE else None
        if key is None:
            self._sorted(sql.net(*sides, columns, found.key), spelled, found)
            return
        self._keyed(sides, columns, key, spelled, found)
        if any(sql.may_be_null(table, key) for table in (old, new)):
            self._sorted(sql.net(*sides, columns, key.columns, null=True), spelled, found)

    def _sorted(self, query: str, spelled: _Spelled, found: Found) -> None:
        for *cells, count in self.con.execute(query):
            found.add(_row(spelled[1 if count > 0 else -1], cells), count)

    def _keyed(
        self,
        sides: tuple[sql.Side, sql.Side],
        columns: Sequence[Column],
        key: Key,
        spelled: _Spelled,
        found: Found,
    ) -> None:
        """Rows with a whole key: one look at the other side's index for each."""
        wide = len(columns)

        def change(cells: Cells) -> None:
            found.change(_row(spelled[-1], cells[:wide]), _row(spelled[1], cells[wide:]))

        more = self._first(sql.changed(*sides, columns, key), change, found.limit)
        found.unlisted("changed", more)
        for sign, pair in ((-1, sides), (1, sides[::-1])):
            if sign > 0 and not pair[0].ranges:
                old, new = (self.con.execute(sql.count(s, key)).fetchone()[0] for s in sides)
                if new - old + found.counts()[1] == 0:
                    return  # every key of the new side was met as one of the old side

            def lone(cells: Cells, sign: int = sign) -> None:
                found.lone(_row(spelled[sign], cells), sign)

            more = self._first(sql.missing(*pair, columns, key), lone, found.limit)
            found.unlisted("added" if sign > 0 else "removed", more)

    def _first(
        self, query: tuple[str, str], take: Callable[[Cells], None], limit: int | None
    ) -> int:
        """Take the rows of a query up to ``limit``; how many more there are."""
        cells, source = query
        for taken, row in enumerate(self.con.execute(f"SELECT {cells} {source}")):
            if taken == limit:
                rows: int = self.con.execute(f"SELECT count(*) {source}").fetchone()[0]
                return rows - taken
            take(row)
        return 0


def _row(names: Sequence[str | None], cells: Cells) -> Row:
    return {n: v for n, v in zip(names, cells, strict=True) if n is not None}


def _names(table: Table | None) -> dict[str, str]:
    return {fold(c.name): c.name for c in (table.columns if table else ())}


def _spelled(columns: Sequence[Column], table: Table) -> list[str | None]:
    """The name of each column that the table has."""
    return [c.name if table.column(c.name) else None for c in columns]


def _readable(change: RowChange) -> RowChange:
    """The same with text that is not UTF-8 written out, as textconv does."""
    parts = (change.key, change.old, change.new)
    key, old, new = ({c: _text(v) for c, v in p.items()} if p is not None else None for p in parts)
    return RowChange(change.kind, key or {}, old, new)


def _text(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
