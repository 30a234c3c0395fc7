"""Compare the rows of two SQLite files without another engine.

Where one file began as a copy of the other, only rows near a difference are compared. Rows that
both sides have at one place (by row number or unique key) are excluded first; SQLite sorts the rest,
on disk if it is large, and only rows that really differ reach Python.

The SQL that finds differing rows of one table in two attached files, ``a`` and ``b``.

In it, ``x`` is the row of one side and ``y`` a row of the other.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.common.sqlite import attach
from gitxexp.tables.plan import Value
from gitxexp.tables.row_changes import RowChange, TableChanges, TableDiff
from gitxexp.tables.rules import fold
from gitxexp.tables.sqlite.feed import tree, typed
from gitxexp.tables.sqlite.files import clear_errors
from gitxexp.tables.sqlite.keyless import grouping
from gitxexp.tables.sqlite.pages import Apart, Copies, stage_ranges
from gitxexp.tables.sqlite.schema import Column, Key, Table, read_schema
from gitxexp.tables.sqlite.source import ENCODINGS, Source, connect, open_sources, transcode

Tables = Mapping[str, Table]
Row = dict[str, Value]
Cells = Sequence[Value]
_Spelled = Mapping[int, Sequence[str | None]]  #: names of the columns that old (-1), new (1) has

WIDE = 900  #: columns of which two rows fit into one of SQLite's
SORTED_KIB = 64 * 1024  #: sorted in memory; the rest in temporary files


def diff_sqlite(
    a: Path | None, b: Path | None, key: tuple[str, ...], limit: int | None
) -> list[TableDiff]:
    """The differences of all user tables; see :func:`gitxexp.tables.row_diff.diff_files`.

    Each file is read as one snapshot, and never written. Memory is bounded, except for the listed
    rows and those of one value of a declared ``key``.
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
            attach(con, source.uri, name)
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
        changes = TableChanges(self._key(one, declared), limit)
        if self.old is None or self.new is None:
            self._alone(one, changes)
        else:
            self._both(self.old, self.new, changes)
        added, removed, changed = changes.counts()
        mine, theirs = _names(self.old), _names(self.new)
        return TableDiff(
            one.name,
            changes.key,
            tuple(c for n, c in theirs.items() if self.old and n not in mine),
            tuple(c for n, c in mine.items() if self.new and n not in theirs),
            self.old is None,
            self.new is None,
            added,
            removed,
            changed,
            tuple(map(_readable, changes.listed())),
        )

    def _key(self, one: Table, declared: tuple[str, ...]) -> tuple[str, ...]:
        if one.keys:
            return one.keys[0].columns
        names = {**_names(self.old), **_names(self.new)}
        whole = all(fold(c) in names for c in declared)
        return tuple(names[fold(c)] for c in declared) if whole else ()

    def _alone(self, one: Table, found: TableChanges) -> None:
        """Compare a table that only one side has."""
        db, sign = ("b", 1) if self.old is None else ("a", -1)
        names = [c.name for c in one.columns]
        query = ", ".join(map(quote, names)), f"FROM {db}.{quote(one.name)}"
        more = self._first(query, lambda row: found.lone(_row(names, row), sign), found.limit)
        found.unlisted("added" if sign > 0 else "removed", more)

    def _both(self, old: Table, new: Table, found: TableChanges) -> None:
        columns = aligned(old, new)
        spelled = {1: _spelled(columns, new), -1: _spelled(columns, old)}
        ranges = ["", ""]
        if self.apart is not None:
            parts = (self.apart.old, self.apart.new)
            ranges = [
                stage_ranges(self.con, f"in_{s}", p) for s, p in zip("ab", parts, strict=True)
            ]
        sides = DiffSide("a", old, ranges[0]), DiffSide("b", new, ranges[1])
        key = common_key(old, new) if len(columns) <= WIDE else None
        if key is None:
            self._sorted(net(*sides, columns, found.key), spelled, found)
            return
        self._keyed(sides, columns, key, spelled, found)
        if any(may_be_null(table, key) for table in (old, new)):
            self._sorted(net(*sides, columns, key.columns, null=True), spelled, found)

    def _sorted(self, query: str, spelled: _Spelled, found: TableChanges) -> None:
        for *cells, count in self.con.execute(query):
            found.add(_row(spelled[1 if count > 0 else -1], cells), count)

    def _keyed(
        self,
        sides: tuple[DiffSide, DiffSide],
        columns: Sequence[Column],
        key: Key,
        spelled: _Spelled,
        found: TableChanges,
    ) -> None:
        """Compare rows with a whole key by one look-up each in the other side's index."""
        wide = len(columns)

        def change(cells: Cells) -> None:
            found.change(_row(spelled[-1], cells[:wide]), _row(spelled[1], cells[wide:]))

        more = self._first(changed_rows(*sides, columns, key), change, found.limit)
        found.unlisted("changed", more)
        for sign, pair in ((-1, sides), (1, sides[::-1])):
            if sign > 0 and not pair[0].ranges:
                old, new = (self.con.execute(count_rows(s, key)).fetchone()[0] for s in sides)
                if new - old + found.counts()[1] == 0:
                    return  # every key of the new side matched one of the old side

            def lone(cells: Cells, sign: int = sign) -> None:
                found.lone(_row(spelled[sign], cells), sign)

            more = self._first(missing(*pair, columns, key), lone, found.limit)
            found.unlisted("added" if sign > 0 else "removed", more)

    def _first(
        self, query: tuple[str, str], take: Callable[[Cells], None], limit: int | None
    ) -> int:
        """Return the rows of a query up to ``limit``, and how many more there are."""
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
    """Escape text that is not UTF-8, as textconv does."""
    parts = (change.key, change.old, change.new)
    key, old, new = ({c: _text(v) for c, v in p.items()} if p is not None else None for p in parts)
    return RowChange(change.kind, key or {}, old, new)


def _text(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class DiffSide:
    """A table in one of the files; ``ranges`` names a temporary table of rowids to look at."""

    db: str
    table: Table
    ranges: str = ""

    @property
    def name(self) -> str:
        return f"{self.db}.{quote(self.table.name)}"


def aligned(old: Table, new: Table) -> list[Column]:
    """The columns of either, those of ``old`` first; no affinity where the two differ in it."""
    found = {fold(c.name): c for c in old.columns}
    for column in new.columns:
        other = found.get(fold(column.name))
        if other is None or other.affinity == column.affinity:
            found[fold(column.name)] = column
        else:
            found[fold(column.name)] = replace(column, affinity="BLOB")
    return list(found.values())


def common_key(old: Table, new: Table) -> Key | None:
    """The first unique key of ``new`` if ``old`` has the same."""
    if not new.keys or _plain(new.keys[0]) not in [_plain(k) for k in old.keys]:
        return None
    return new.keys[0]


def may_be_null(table: Table, key: Key) -> bool:
    """Whether a row may have a NULL in the key: a primary key alone does not forbid it."""
    if table.without_rowid or key.columns == (table.alias,):
        return False
    columns = [table.column(c) for c in key.columns]
    return not all(c is not None and c.notnull for c in columns)


def count_rows(side: DiffSide, key: Key) -> str:
    """A query: how many rows of a table have a whole key."""
    tests = [f"x.{quote(c)} IS NOT NULL" for c in key.columns]
    where = " AND ".join(tests) if may_be_null(side.table, key) else "1"
    return f"SELECT count(*) FROM {side.name} AS x WHERE {where}"


def changed_rows(
    old: DiffSide, new: DiffSide, columns: Sequence[Column], key: Key
) -> tuple[str, str]:
    """Cells, and the FROM clause, of rows with one key that are not equal: old ones, new ones."""
    rows, tests = _scanned(old)
    equal = tree([_same(c, old.table, new.table) for c in columns], "AND")
    tests += [_linked(key), f"NOT {equal}"]
    cells = _cells(columns, old.table, "x") + _cells(columns, new.table, "y")
    return ", ".join(cells), f"FROM {rows} CROSS JOIN {new.name} AS y WHERE {' AND '.join(tests)}"


def missing(
    side: DiffSide, other: DiffSide, columns: Sequence[Column], key: Key
) -> tuple[str, str]:
    """Cells, and the FROM clause, of rows with a whole key that the other side lacks."""
    rows, tests = _scanned(side)
    tests += [f"x.{quote(c)} IS NOT NULL" for c in key.columns]
    tests.append(f"NOT EXISTS (SELECT 1 FROM {other.name} AS y WHERE {_linked(key)})")
    cells = _cells(columns, side.table, "x")
    return ", ".join(cells), f"FROM {rows} WHERE {' AND '.join(tests)}"


def net(
    old: DiffSide, new: DiffSide, columns: Sequence[Column], key: Sequence[str], null: bool = False
) -> str:
    """A query: each row that one side has more often, and how much more often ``new`` has it.

    ``key`` are columns to sort by; rows of one key come together, otherwise in their own order.
    ``null``: only rows with a NULL among them.
    """
    names = [f"c{i}" for i in range(len(columns))]
    place = {fold(c.name): n for c, n in zip(columns, names, strict=True)}
    order = [term for k in key for n in [place[fold(k)]] for term in _exactly(n)]
    where = " OR ".join(f"x.{quote(k)} IS NULL" for k in key) if null else ""
    sides = [_rows(old, new, columns, -1, where), _rows(new, old, columns, 1, where)]
    return (
        f"SELECT {', '.join(names)}, sum(d) FROM ({' UNION ALL '.join(sides)}) "
        f"GROUP BY {grouping(columns, names)} HAVING sum(d) <> 0 "
        f"ORDER BY {', '.join([*order, 'min(place)'])}"
    )


def _exactly(name: str) -> tuple[str, str]:
    return f"{name} COLLATE BINARY", f"typeof({name})"


def _rows(side: DiffSide, other: DiffSide, columns: Sequence[Column], sign: int, where: str) -> str:
    """The rows of one side that the other lacks at the same place."""
    table = side.table
    rows, tests = _scanned(side)
    if where:
        tests.append(f"({where})")
    equal = tree([_same(c, table, other.table) for c in columns], "AND")
    for place in _places(table, other.table):
        tests.append(f"NOT EXISTS (SELECT 1 FROM {other.name} AS y WHERE {place} AND {equal})")
    cells = [f"{cell} AS c{i}" for i, cell in enumerate(_cells(columns, table, "x"))]
    number = f"x.{table.rowid}" if table.rowid else "NULL"
    tests_sql = " AND ".join(tests) or "1"
    return (
        f"SELECT {', '.join(cells)}, {sign} AS d, {number} AS place FROM {rows} WHERE {tests_sql}"
    )


def _scanned(side: DiffSide) -> tuple[str, list[str]]:
    """Return what to scan as ``x``, and the conditions for it."""
    if not side.ranges:
        return f"{side.name} AS x", []
    rows = f"temp.{side.ranges} AS r CROSS JOIN {side.name} AS x"
    return rows, [f"x.{side.table.rowid} BETWEEN r.lo AND r.hi"]


def _cells(columns: Sequence[Column], table: Table, row: str) -> list[str]:
    return [f"+{row}.{quote(c.name)}" if table.column(c.name) else "NULL" for c in columns]


def _linked(key: Key) -> str:
    """``x`` and ``y`` have exactly the same key; found as the unique index compares it."""
    tests = [_equal(key)]
    for column in key.columns:
        x, y = (f"+{n}.{quote(column)}" for n in "xy")
        tests.append(f"{x} IS {y} COLLATE BINARY AND typeof({x}) = typeof({y})")
    return " AND ".join(tests)


def _equal(key: Key) -> str:
    pairs = zip(key.columns, key.collations, strict=True)
    return " AND ".join(f"y.{quote(c)} = +x.{quote(c)} COLLATE {quote(k)}" for c, k in pairs)


def _same(column: Column, one: Table, two: Table) -> str:
    x, y = (f"+{n}.{quote(column.name)}" for n in "xy")
    if one.column(column.name) is None:
        return f"{y} IS NULL"
    if two.column(column.name) is None:
        return f"{x} IS NULL"
    test = f"{x} IS {y} COLLATE BINARY"
    return f"({test} AND typeof({x}) = typeof({y}))" if typed(column) else test


def _places(one: Table, two: Table) -> list[str]:
    """Return the places of the same row on the other side, each found by one look-up in a b-tree.

    By number or by unique key, at most one row there matches, and at most one here matches it,
    so equal ones cancel out in pairs.
    """
    found = [f"y.{two.rowid} = x.{one.rowid}"] if one.rowid and two.rowid else []
    known = [_plain(k) for k in two.keys]
    key = next((k for k in one.keys if _plain(k) in known), None)
    if key is not None and not (one.alias == two.alias and key.columns == (one.alias,)):
        found.append(_equal(key))
    return found


def _plain(key: Key) -> tuple[tuple[str, str], ...]:
    pairs = zip(key.folded, key.collations, strict=True)
    return tuple((c, fold(k)) for c, k in pairs)
