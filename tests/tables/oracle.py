"""The semantics of merge, rebase and three-way merge in plain Python: typed multisets of rows.

It shares nothing with the engines: it loops over rows. SQLite files it reads by itself; what other
files hold comes as :func:`table`.
"""

from __future__ import annotations

import re
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
    counted: bool = False  #: the key is the number of the row


@dataclass
class Outcome:
    tables: dict[str, Table] = field(default_factory=dict)
    conflicts: set = field(default_factory=set)
    counts: Counter = field(default_factory=Counter)


def table(columns, rows, key=()) -> Table:
    """A table of plain rows, whose absent cells are NULL."""
    return Table(list(columns), key, [{c: typed(r.get(c)) for c in columns} for r in rows])


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
                for row in con.execute(
                    f"SELECT * FROM {q}" + ("" if without else " ORDER BY rowid")
                )
            ]
            kinds = {r[1]: r[2] for r in info if r[5]}
            counted = not without and [*map(str.upper, kinds.values())] == ["INTEGER"]
            found[name.lower()] = Table(columns, key, rows, bool(without), counted)
    return found


def frozen(row: Row, columns) -> tuple:
    return tuple(row.get(c, NULL) for c in columns)


def multiset(table: Table, columns=None) -> Counter:
    return Counter(frozen(r, columns or table.columns) for r in table.rows)


def two_way(inputs: list[dict[str, Table]], *, fill=True, policy="fail", declared=()) -> Outcome:
    """Merge ``inputs[1:]`` into ``inputs[0]`` one after the other."""
    out = Outcome(
        {
            n: Table(list(t.columns), t.key, [dict(r) for r in t.rows], t.notnull_key)
            for n, t in inputs[0].items()
        }
    )
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
    asked = not mine.key and declared and all(c in columns for c in declared)
    key = declared if asked else mine.key
    whole = [r for r in offered if key and all(r[c] != NULL for c in key)]
    rest = [r for r in offered if not key or any(r[c] == NULL for c in key)]
    if asked:
        whole = _by_declared_key(out, name, mine, key, whole, fill, policy)
    if key:
        held = _Held(mine, key, native=not asked)
        for row in whole:
            _meet(out, name, held, row, fill, policy)
    if rest and not mine.notnull_key:
        _one_stamp(rest, mine, columns, key, out, name)
    if rest and mine.notnull_key:
        out.conflicts |= {(name, "constraint")}
        out.counts[name, "conflicting"] += len(rest)
        return
    for row in _surplus(rest, mine.rows, columns, out, name):
        mine.rows.append(row)
        out.counts[name, "new"] += 1


class Ambiguous(Exception):
    """A declared key names several rows of one side."""


def _by_declared_key(out, name, mine, key, offered, fill, policy) -> list[Row]:
    """The offered rows to be merged by the key: all, or those that do not disagree."""

    def value(row):
        return tuple(row[c] for c in key)

    theirs = Counter(map(value, offered))
    ours = Counter(value(r) for r in mine.rows if value(r) in theirs)
    several = {v for v, n in (*theirs.items(), *ours.items()) if n > 1}
    if policy != "both":
        if several:
            raise Ambiguous
        return offered
    held = {value(r): r for r in mine.rows}
    for row in offered:
        other = held.get(value(row))
        if other is not None and any(
            other[c] != row[c] and not (fill and NULL in (other[c], row[c])) for c in mine.columns
        ):
            several.add(value(row))
    apart = [r for r in offered if value(r) in several]
    for row in _surplus(apart, mine.rows, mine.columns, out, name):
        mine.rows.append(row)
        out.counts[name, "new"] += 1
    return [r for r in offered if value(r) not in several]


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


STAMPS = ("version", "experiment_version", "git_commit", "dvc_hash")
RUNS = ("track_id", "run_id", "run_uuid")


def _one_stamp(offered, mine: Table, columns, key, out: Outcome, name) -> None:
    """Rows that are the same but for their stamps get one stamp: on both sides, in place."""
    stamps = [c for c in STAMPS if c in columns and c not in key]
    if not stamps:
        return
    run = next((c for c in RUNS if c in columns), None)
    groups: dict = {}
    for side, rows in enumerate((offered, mine.rows)):
        for row in rows:
            if side and key and all(row[c] != NULL for c in key):
                continue
            same = frozen(row, [c for c in columns if c not in stamps])
            groups.setdefault(same, ([], []))[side].append(row)
    tests = (
        lambda a, b: all(a[c] == b[c] for c in stamps),
        lambda a, b: all(a[c] in (NULL, b[c]) for c in stamps),
        lambda a, b: all(NULL in (a[c], b[c]) or a[c] == b[c] for c in stamps),
        lambda a, b: run is not None and a[run] != NULL,
    )
    for theirs, ours in groups.values():
        if len({frozen(r, stamps) for r in (*theirs, *ours)}) == 1:
            continue
        for test in tests:
            for row in list(theirs):
                other = next((o for o in ours if test(row, o)), None)
                if other is None:
                    continue
                theirs[:] = [r for r in theirs if r is not row]
                ours[:] = [r for r in ours if r is not other]
                stamp = _stamp(row, other, stamps)
                if any(other[c] != stamp[c] for c in stamps):
                    out.counts[name, "filled"] += 1
                    out.counts[name, "identical"] -= 1
                row.update(stamp)
                other.update(stamp)


def _stamp(theirs, ours, stamps):
    def version(row):
        return next((row[c][1] for c in stamps if "version" in c and row[c] != NULL), None)

    a, b = version(ours), version(theirs)
    if a is not None and b is not None and a != b:
        first = sorted((a, b), key=lambda v: [int(n) for n in re.findall(r"[0-9]+", str(v))])[0]
        return {c: (ours if first == a else theirs)[c] for c in stamps}
    one, two = (theirs, ours) if a is None and b is not None else (ours, theirs)
    return {c: two[c] if one[c] == NULL else one[c] for c in stamps}


class _Held:
    """The rows of a table by their key. An index takes 1 and 1.0 for one key; a declared one not."""

    def __init__(self, table: Table, key, native) -> None:
        self.table, self.key, self.native = table, key, native
        self._rows: dict = {}
        for row in table.rows:
            self._rows.setdefault(self._of(row), []).append(row)

    def _of(self, row: Row) -> tuple:
        values = [row[c] for c in self.key]
        return tuple(
            ("number", v[1]) if self.native and v[0] in ("int", "float") else v for v in values
        )

    def like(self, row: Row) -> list[Row]:
        return self._rows.get(self._of(row), [])

    def add(self, row: Row) -> None:
        self.table.rows.append(row)
        self._rows.setdefault(self._of(row), []).append(row)


def _meet(out: Outcome, name, held_rows: _Held, row, fill, policy) -> None:
    mine, key, group = held_rows.table, held_rows.key, held_rows.like(row)

    def clashes(held):
        return [
            c
            for c in mine.columns
            if held[c] != row[c] and not (fill and NULL in (held[c], row[c]))
        ]

    if not group:
        held_rows.add(dict(row))
        out.counts[name, "new"] += 1
        return
    fits = next((r for r in group if not clashes(r)), None)
    if fits is not None:
        holes = [c for c in mine.columns if fits[c] == NULL and row[c] != NULL]
        fits.update({c: row[c] for c in holes})
        out.counts[name, "filled" if holes else "identical"] += 1
        return
    held = group[0]
    out.counts[name, "conflicting"] += 1
    if policy == "theirs":
        out.counts[name, "replaced"] += 1
        held.update({c: row[c] for c in mine.columns if not fill or row[c] != NULL})
        return
    if policy != "ours":
        shown = tuple(held[c] for c in key)
        out.conflicts |= {(name, shown, c, held[c], row[c]) for c in clashes(held)}
    held.update({c: row[c] for c in mine.columns if fill and held[c] == NULL})


def three_way(base, ours, theirs, policy="fail") -> tuple[dict[str, Table], set]:
    """What theirs changed since the base, in ours; conflicts as (table, kind, key, column), with a
    ``policy`` settled: rows and cells of that side."""
    out = {n: Table(list(t.columns), t.key, [dict(r) for r in t.rows]) for n, t in ours.items()}
    conflicts: set = set()
    for name in {*base, *ours, *theirs}:
        b, o, t = base.get(name), ours.get(name), theirs.get(name)
        if b and o and not t:
            if same_rows(b, o):
                del out[name]
            else:
                conflicts.add((name, "change/delete", (), None))
        elif b and t and not o:
            if not same_rows(b, t):
                conflicts.add((name, "delete/change", (), None))
        elif t and not b:
            merged = two_way([{name: o} if o else {}, {name: t}])
            out[name] = merged.tables[name]
            conflicts |= {
                (name, "value", c[1], c[2]) if len(c) > 2 else (name, c[1], (), None)
                for c in merged.conflicts
            }
        elif t:
            _three(out[name], b, t, conflicts, name, policy)
    return out, conflicts


def same_rows(a: Table, b: Table) -> bool:
    return set(a.columns) == set(b.columns) and multiset(a) == multiset(b, a.columns)


def _three(mine: Table, base: Table, theirs: Table, conflicts: set, name: str, policy) -> None:
    mine.columns += [c for c in theirs.columns if c not in mine.columns]
    cols, key = mine.columns, mine.key
    absent = [c for c in cols if c not in theirs.columns]
    pad = [[{c: r.get(c, NULL) for c in cols} for r in t.rows] for t in (base, mine, theirs)]
    bs, os, ts = pad

    def split(rows):
        named = {}
        for r in rows:
            if key and all(r[c] != NULL for c in key):
                named.setdefault(key_of(r), []).append(r)
        return named, [r for r in rows if not key or any(r[c] == NULL for c in key)]

    def key_of(r):
        return tuple(("n", r[c][1]) if r[c][0] in ("int", "float") else r[c] for c in key)

    (bk, bn), (ok, on), (tk, tn) = split(bs), split(os), split(ts)
    keyed = key and all(c in t.columns for t in (base, theirs) for c in key)
    if not keyed or any(len(v) > 1 for d in (bk, tk) for v in d.values()):
        bn, on, tn, ok = bs, os, ts, {}
        bk = tk = {}
    result = []
    for k in {**bk, **ok, **tk}:
        b, o, t = (d.get(k, [None])[0] for d in (bk, ok, tk))
        shown = tuple(o[c] for c in key) if o else k
        if t is not None and b is not None:
            t = {c: b[c] if c in absent else t[c] for c in cols}
            if t == b:
                result += [o] if o else []
            elif o is None:
                conflicts.add((name, "delete/change", k, None))
                result += [t] if policy == "theirs" else []
            else:
                result.append(row := {})
                for c in cols:
                    row[c] = t[c] if o[c] == b[c] or (policy == "theirs" and t[c] != b[c]) else o[c]
                    if t[c] != b[c] and o[c] not in (b[c], t[c]):
                        conflicts.add((name, "value", shown, c))
        elif t is not None:
            if o is None:
                result.append(t)
            else:
                bad = [c for c in cols if NULL not in (o[c], t[c]) and o[c] != t[c]]
                conflicts |= {(name, "value", shown, c) for c in bad}
                taken = bad if policy == "theirs" else []
                result.append({c: t[c] if o[c] == NULL or c in taken else o[c] for c in cols})
        elif b is not None:
            if o is not None and o != b:
                conflicts.add((name, "change/delete", k, None))
                result += [] if policy == "theirs" else [o]
        else:
            result.append(o)
    counts = [Counter(frozen(r, cols) for r in rows) for rows in (bn, on, tn)]
    for row in {**counts[0], **counts[1], **counts[2]}:
        b, o, t = (c[row] for c in counts)
        if o - b >= 0 and t - b >= 0:
            n = max(o, t)
        elif o - b <= 0 and t - b <= 0:
            n = min(o, t)
        else:
            n = max(0, o + t - b)
        result += [dict(zip(cols, row, strict=True)) for _ in range(n)]
    mine.rows = result


def rebase(inputs, key=(), *, fill=True, policy="fail") -> Outcome:
    """Rows of each key value come from the last input that has it; NULL keys follow merge.

    What is replaced goes first; then the rows that are left are merged, one source after the other.
    """
    target, *sources = inputs
    out = {n: Table(list(t.columns), t.key, [dict(r) for r in t.rows]) for n, t in target.items()}
    outcome = Outcome(out)
    before = {
        n: list(t.columns) for source in (*reversed(sources), target) for n, t in source.items()
    }
    for source in sources:
        for name, table in source.items():
            mine = out.setdefault(name, Table(list(table.columns), table.key, []))
            mine.columns += [c for c in table.columns if c not in mine.columns]
            outcome.counts[name, "incoming"] += len(table.rows)
    for t in out.values():
        t.rows = [{c: r.get(c, NULL) for c in t.columns} for r in t.rows]
    claimed: dict = {}
    left: list = []
    for source in reversed(sources):
        left.insert(0, {})
        for name, table in source.items():
            mine, taken = out[name], claimed.setdefault(name, set())
            rows = [{c: r.get(c, NULL) for c in mine.columns} for r in table.rows]
            both = [c for c in before[name] if c in table.columns]
            chosen = key if set(key) <= set(both) else ()
            if not key:
                names = ("version", "experiment_version", "track_id", "run_id")
                chosen = tuple(c for c in names if c in both)[:1]

            default = not key and chosen in (("version",), ("experiment_version",))
            run = next((c for c in RUNS if c in mine.columns and c in table.columns), None)
            versions: dict = {}
            for r in (*mine.rows, *rows) if default and run else ():
                if r[run] != NULL and r[chosen[0]] != NULL:
                    versions.setdefault(r[run], r[chosen[0]])

            def value(r, chosen=chosen, run=run if default else None, versions=versions):
                if run is not None and r[chosen[0]] == NULL:
                    return None if r[run] == NULL else (versions.get(r[run], r[run]),)
                whole = chosen and all(r[c] != NULL for c in chosen)
                return tuple(r[c] for c in chosen) if whole else None

            rows = [r for r in rows if value(r) is None or value(r) not in taken]
            brought = {value(r) for r in rows} - {None}
            identity = [c for c in mine.columns if c not in STAMPS or c in mine.key] or mine.columns
            offered = Counter((value(r), frozen(r, identity)) for r in rows if value(r) is not None)
            kept = []
            for r in mine.rows:
                row = (value(r), frozen(r, identity))
                if value(r) in brought and offered[row] <= 0:
                    outcome.counts[name, "replaced"] += 1
                    continue
                if value(r) in brought:
                    offered[row] -= 1
                kept.append(r)
            mine.rows = kept
            taken |= brought
            left[0][name] = Table(mine.columns, (), rows)
    incoming = {n: outcome.counts[n, "incoming"] for n in out}
    for source in left:
        for name, table in source.items():
            _merge_table(outcome, name, table, fill, policy, ())
    for name, count in incoming.items():
        outcome.counts[name, "incoming"] = count
    return outcome
