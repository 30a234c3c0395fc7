"""The semantics of merge, rebase and three-way merge in plain Python: typed multisets of rows.

It shares nothing with the engine: it reads files with ``sqlite3`` and loops over rows.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

Row = dict  # column -> (storage class, value)
NULL = ("NoneType", None)


def typed(value):
    return (type(value).__name__, value)


@dataclass
class Table:
    columns: list[str]
    key: tuple[str, ...]
    rows: list[Row]
    notnull_key: bool = False


@dataclass
class Outcome:
    tables: dict[str, Table] = field(default_factory=dict)
    conflicts: set = field(default_factory=set)
    counts: Counter = field(default_factory=Counter)


def read(path: Path | None) -> dict[str, Table]:
    """Every table of a file, in rowid order, with its first unique key."""
    if path is None or not path.exists():
        return {}
    found = {}
    with closing(sqlite3.connect(path)) as con:
        for name, without in con.execute(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall():
            q = '"' + name.replace('"', '""') + '"'
            info = con.execute(f"PRAGMA table_info({q})").fetchall()
            columns = [r[1] for r in info]
            key = tuple(r[1] for r in sorted(info, key=lambda r: r[5]) if r[5])
            if not key:
                for index in con.execute(f"PRAGMA index_list({q})").fetchall():
                    if index[2] and not index[4]:
                        parts = con.execute(
                            "SELECT * FROM pragma_index_info(?)", (index[1],)
                        ).fetchall()
                        key = tuple(p[2] for p in parts)
            rows = [
                dict(zip(columns, map(typed, row), strict=True))
                for row in con.execute(f"SELECT * FROM {q}" + ("" if without else " ORDER BY rowid"))
            ]
            found[name.lower()] = Table(columns, key, rows, bool(without))
    return found


def frozen(row: Row, columns) -> tuple:
    return tuple(row.get(c, NULL) for c in columns)


def multiset(table: Table, columns=None) -> Counter:
    return Counter(frozen(r, columns or table.columns) for r in table.rows)


def two_way(inputs: list[dict[str, Table]], *, fill=True, policy="fail", declared=()) -> Outcome:
    """Merge ``inputs[1:]`` into ``inputs[0]`` one after the other."""
    out = Outcome({n: Table(list(t.columns), t.key, [dict(r) for r in t.rows], t.notnull_key)
                   for n, t in inputs[0].items()})
    for source in inputs[1:]:
        for name, table in source.items():
            _merge_table(out, name, table, fill, policy, declared)
    return out


def _merge_table(out: Outcome, name, source: Table, fill, policy, declared) -> None:
    mine = out.tables.get(name)
    if mine is None:
        mine = out.tables[name] = Table(list(source.columns), source.key, [], source.notnull_key)
    mine.columns += [c for c in source.columns if c not in mine.columns]
    columns = mine.columns
    for row in mine.rows:
        for c in columns:
            row.setdefault(c, NULL)
    offered = [{c: r.get(c, NULL) for c in columns} for r in source.rows]
    out.counts[name, "incoming"] += len(offered)
    key = mine.key or (declared if all(c in columns for c in declared) else ())
    whole = [r for r in offered if key and all(r[c] != NULL for c in key)]
    rest = [r for r in offered if not key or any(r[c] == NULL for c in key)]
    if mine.key:
        for row in whole:
            _meet(out, name, mine, key, row, fill, policy, native=True)
    elif key:
        for row in _surplus(whole, mine.rows, columns, out, name):
            _meet(out, name, mine, key, row, fill, policy, native=False)
    if rest and mine.notnull_key:
        out.conflicts |= {(name, "constraint")}
        out.counts[name, "conflicting"] += len(rest)
        return
    for row in _surplus(rest, mine.rows, columns, out, name):
        mine.rows.append(row)
        out.counts[name, "new"] += 1


def _surplus(offered, held, columns, out, name) -> list[Row]:
    """What is offered beyond what is held, first occurrences first."""
    have = Counter(frozen(r, columns) for r in held)
    need = Counter(frozen(r, columns) for r in offered)
    order = list(dict.fromkeys(frozen(r, columns) for r in offered))
    found = []
    for row in order:
        n = max(0, need[row] - have[row])
        found += [dict(zip(columns, row, strict=True)) for _ in range(n)]
        out.counts[name, "identical"] += need[row] - n
    return found


def _equal_key(a, b, native) -> bool:
    """An index takes 1 and 1.0 for one key; a declared key does not."""
    if native and {a[0], b[0]} <= {"int", "float"}:
        return a[1] == b[1]
    return a == b


def _meet(out: Outcome, name, mine: Table, key, row, fill, policy, native) -> None:
    group = [r for r in mine.rows if all(_equal_key(r[c], row[c], native) for c in key)]

    def clashes(held):
        return [
            c for c in mine.columns
            if held[c] != row[c] and not (fill and NULL in (held[c], row[c]))
        ]

    if not group:
        mine.rows.append(dict(row))
        out.counts[name, "new"] += 1
        return
    fits = next((r for r in group if not clashes(r)), None)
    if fits is not None:
        holes = [c for c in mine.columns if fits[c] == NULL and row[c] != NULL]
        fits.update({c: row[c] for c in holes})
        out.counts[name, "filled" if holes else "identical"] += 1
        return
    held = group[0]
    if policy == "both" and not native:
        mine.rows.append(dict(row))
        out.counts[name, "new"] += 1
        return
    out.counts[name, "conflicting"] += 1
    if policy == "theirs":
        out.counts[name, "replaced"] += 1
        held.update({c: row[c] for c in mine.columns if not fill or row[c] != NULL})
    elif policy == "ours":
        held.update({c: row[c] for c in mine.columns if fill and held[c] == NULL})
    else:
        shown = tuple(held[c] for c in key)
        out.conflicts |= {(name, shown, c, held[c], row[c]) for c in clashes(held)}
