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


def net(old: Side, new: Side, columns: Sequence[Column], key: Sequence[str]) -> str:
    """A query: each row that one side has more often, and how much more often ``new`` has it.

    ``key`` are columns to sort by; rows of one key come together, otherwise in their own order.
    """
    names = [f"c{i}" for i in range(len(columns))]
    place = {fold(c.name): n for c, n in zip(columns, names, strict=True)}
    order = [term for k in key for n in [place[fold(k)]] for term in _exactly(n)]
    sides = [_rows(old, new, columns, -1), _rows(new, old, columns, 1)]
    return (
        f"SELECT {', '.join(names)}, sum(d) FROM ({' UNION ALL '.join(sides)}) "
        f"GROUP BY {grouping(columns, names)} HAVING sum(d) <> 0 "
        f"ORDER BY {', '.join([*order, 'min(place)'])}"
    )


def _exactly(name: str) -> tuple[str, str]:
    return f"{name} COLLATE BINARY", f"typeof({name})"


def _rows(side: Side, other: Side, columns: Sequence[Column], sign: int) -> str:
    """The rows of one side that the other has not at the same place."""
    table = side.table
    cells = [
        f"+x.{quote(c.name)} AS c{i}" if table.column(c.name) else f"NULL AS c{i}"
        for i, c in enumerate(columns)
    ]
    rows, tests = f"{side.name} AS x", []
    if side.ranges:
        rows = f"temp.{side.ranges} AS r CROSS JOIN {rows}"
        tests.append(f"x.{table.rowid} BETWEEN r.lo AND r.hi")
    equal = tree([_same(c, table, other.table) for c in columns], "AND")
    for place in _places(table, other.table):
        tests.append(f"NOT EXISTS (SELECT 1 FROM {other.name} AS y WHERE {place} AND {equal})")
    number = f"x.{table.rowid}" if table.rowid else "NULL"
    where = " AND ".join(tests) or "1"
    return f"SELECT {', '.join(cells)}, {sign} AS d, {number} AS place FROM {rows} WHERE {where}"


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
    if key is not None and not (
        one.alias and one.alias == two.alias and key.columns == (one.alias,)
    ):
        pairs = zip(key.columns, key.collations, strict=True)
        tests = [f"y.{quote(c)} = +x.{quote(c)} COLLATE {quote(k)}" for c, k in pairs]
        found.append(" AND ".join(tests))
    return found


def _plain(key: Key) -> tuple[tuple[str, str], ...]:
    pairs = zip(key.folded, key.collations, strict=True)
    return tuple((c, fold(k)) for c, k in pairs)
