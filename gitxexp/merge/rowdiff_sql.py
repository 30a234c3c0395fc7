"""The SQL that finds differing rows of one table in two attached files, ``a`` and ``b``.

Everywhere ``x`` is the row of the one side and ``y`` a row of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gitxexp.merge.sqlite.feed import tree, typed
from gitxexp.merge.sqlite.keyless import grouping
from gitxexp.merge.sqlite.names import fold, quote
from gitxexp.merge.sqlite.schema import Column, Key, Table


@dataclass(frozen=True)
class Side:
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


def count(side: Side, key: Key) -> str:
    """A query: how many rows of a table have a whole key."""
    tests = [f"x.{quote(c)} IS NOT NULL" for c in key.columns]
    where = " AND ".join(tests) if may_be_null(side.table, key) else "1"
    return f"SELECT count(*) FROM {side.name} AS x WHERE {where}"


def changed(old: Side, new: Side, columns: Sequence[Column], key: Key) -> tuple[str, str]:
    """Cells, and the FROM clause, of rows with one key that are not equal: old ones, new ones."""
    rows, tests = _scanned(old)
    equal = tree([_same(c, old.table, new.table) for c in columns], "AND")
    tests += [_linked(key), f"NOT {equal}"]
    cells = _cells(columns, old.table, "x") + _cells(columns, new.table, "y")
    return ", ".join(cells), f"FROM {rows} CROSS JOIN {new.name} AS y WHERE {' AND '.join(tests)}"


def missing(side: Side, other: Side, columns: Sequence[Column], key: Key) -> tuple[str, str]:
    """Cells, and the FROM clause, of rows whose key is whole and that the other side has not."""
    rows, tests = _scanned(side)
    tests += [f"x.{quote(c)} IS NOT NULL" for c in key.columns]
    tests.append(f"NOT EXISTS (SELECT 1 FROM {other.name} AS y WHERE {_linked(key)})")
    cells = _cells(columns, side.table, "x")
    return ", ".join(cells), f"FROM {rows} WHERE {' AND '.join(tests)}"


def net(
    old: Side, new: Side, columns: Sequence[Column], key: Sequence[str], null: bool = False
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


def _rows(side: Side, other: Side, columns: Sequence[Column], sign: int, where: str) -> str:
    """The rows of one side that the other has not at the same place."""
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


def _scanned(side: Side) -> tuple[str, list[str]]:
    """What to go through as ``x``, and the conditions that this takes."""
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
    """Where the same row would stand on the other side, each told by one look at a b-tree.

    By number or by a unique key: either way at most one row there, and for that row at most one
    here, so that equal ones cancel out in pairs.
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
