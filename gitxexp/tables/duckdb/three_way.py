"""Three-way merge: find what each side changed since the base, by whole rows or cell by cell.

By key: compare base, ours and theirs of each key, and decide each cell.

Also applies single conflicts that the user resolved by name, one side each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.align import ROW, Aligned, Side
from gitxexp.tables.duckdb.partition import by_label, in_parts
from gitxexp.tables.duckdb.rows import (
    SHOWN,
    TableOutcome,
    alike,
    collated,
    conflicts_of,
    count,
    counted,
    listed,
    marks,
    named,
    plain,
)
from gitxexp.tables.duckdb.session import Session
from gitxexp.tables.duckdb.stamps import Restamped, restamped
from gitxexp.tables.duckdb.two_way import check_unique, key_of
from gitxexp.tables.plan import Conflict, MergeOptions, OnConflict
from gitxexp.tables.rules import both_forbidden, settled_in


def three_way(
    session: Session, table: Aligned, base: Side | None, theirs: Side | None, options: MergeOptions
) -> TableOutcome:
    """Compute the changes to ours so that it has both sides' changes since ``base``."""
    key, declared = key_of(table, options)
    stamped = Restamped(table)
    if theirs is not None and (base is not None or table.ours is not None):
        stamped = restamped(session, table, key, base)

    def decide(part: Aligned) -> TableOutcome:
        sides = (by_label(part, base), by_label(part, theirs))
        return _three_way(session, part, *sides, key, declared, options)

    merged = in_parts(session, stamped.table, key, decide)
    return stamped.outcome(session, merged)


def _three_way(
    session: Session,
    table: Aligned,
    base: Side | None,
    theirs: Side | None,
    key: tuple[str, ...],
    declared: bool,
    options: MergeOptions,
) -> TableOutcome:
    changes = differing(session, table, {"b": base, "o": table.ours, "t": theirs})
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    loose = session.keep("loose", f"SELECT * FROM {changes} WHERE NOT ({full or 'false'})")
    _balance(session, loose)
    add, new = _additions(session, table, loose)
    drop = _removals(session, table, loose)
    here = count(session, table.ours.query) if table.ours else 0
    incoming = count(session, theirs.query) if theirs else 0
    if not key:
        removed = count(session, f"SELECT 1 FROM {drop}")
        report = counted(
            table, here, incoming, new=new, removed=removed, identical=max(0, incoming - new)
        )
        return TableOutcome(table, report, add=add if new else "", drop=drop if removed else "")
    firm = session.keep("firm", f"SELECT * FROM {changes} WHERE {full}")
    if declared:
        _check_sides(session, table, firm, key)
    pivot = Pivot(session, table, key, options, firm, theirs.label if theirs else "")
    return pivot.outcome(here, incoming, (add, new), drop)


def differing(session: Session, table: Aligned, sides: dict[str, Side | None]) -> str:
    """A table of the distinct rows that the sides do not have equally often.

    Columns: the table's, ``n_<letter>`` counts per side, ``xexp_pos`` (first row number in the last
    side that has it).
    """
    names = listed(table.names)
    parts = [
        f"SELECT {names}, '{letter}' AS xexp_of, {ROW} AS xexp_at FROM ({side.query})"
        for letter, side in sides.items()
        if side is not None
    ]
    counts = [f"count(*) FILTER (xexp_of = '{letter}')" for letter in sides]
    cells = ", ".join([*map(quote, table.names), *marks(table.columns, collated(table))])
    shown = ", ".join(f"{n} AS n_{letter}" for letter, n in zip(sides, counts, strict=True))
    unequal = " OR ".join(f"{counts[0]} <> {n}" for n in counts[1:])
    last = list(sides)[-1]
    return session.keep(
        "differ",
        f"SELECT {names}, {shown}, min(xexp_at) FILTER (xexp_of = '{last}') AS xexp_pos "
        f"FROM ({' UNION ALL '.join(parts)}) GROUP BY {cells} HAVING {unequal}",
    )


def _balance(session: Session, loose: str) -> None:
    """Return the number of copies to add to ours per row; the same change on both sides counts once.

    With an empty base this is the maximum of both sides, as in a two-way merge.
    """
    session.rows(f"ALTER TABLE {loose} ADD COLUMN xexp_delta BIGINT")
    session.rows(
        f"UPDATE {loose} SET xexp_delta = n_b + greatest(n_o - n_b, n_t - n_b, 0) "
        "+ least(n_o - n_b, n_t - n_b, 0) - n_o"
    )


def _additions(session: Session, table: Aligned, loose: str) -> tuple[str, int]:
    names = listed(table.names)
    total = session.value(
        f"SELECT coalesce(sum(xexp_delta), 0)::BIGINT FROM {loose} WHERE xexp_delta > 0"
    )
    query = (
        f"SELECT {names} FROM (SELECT *, unnest(range(xexp_delta)) AS xexp_i FROM {loose} "
        "WHERE xexp_delta > 0) ORDER BY xexp_pos, xexp_i"
    )
    return query, int(total)


def _removals(session: Session, table: Aligned, loose: str) -> str:
    """Drop the last of our equal rows first."""
    if table.ours is None or not count(session, f"SELECT 1 FROM {loose} WHERE xexp_delta < 0"):
        return session.keep("drop", f"SELECT 0::BIGINT AS {ROW} WHERE false")
    same = [
        test
        for c in table.names
        for test in alike(table, c, f"mine.{quote(c)}", f"gone.{quote(c)}")
    ]
    return session.keep(
        "drop",
        f"SELECT {ROW} FROM (SELECT mine.{ROW}, gone.xexp_delta, row_number() OVER "
        f"(PARTITION BY gone.xexp_id ORDER BY mine.{ROW} DESC) AS xexp_i "
        f"FROM ({table.ours.query}) AS mine JOIN (SELECT *, rowid AS xexp_id FROM {loose} "
        f"WHERE xexp_delta < 0) AS gone ON {' AND '.join(same)}) WHERE xexp_i <= -xexp_delta",
    )


def _check_sides(session: Session, table: Aligned, firm: str, key: Sequence[str]) -> None:
    spread = " UNION ALL ".join(
        f"SELECT {listed(key)}, '{s}' AS xexp_side, unnest(range(n_{s})) FROM {firm}" for s in "bot"
    )
    check_unique(session, table.name, f"({spread})", key)


@dataclass(frozen=True)
class Pivot:
    """``firm`` has the rows that differ somewhere, with counts ``n_b``, ``n_o``, ``n_t``."""

    session: Session
    table: Aligned
    key: tuple[str, ...]
    options: MergeOptions
    firm: str
    label: str

    def outcome(
        self, here: int, incoming: int, loose: tuple[str, int], loose_drop: str
    ) -> TableOutcome:
        """The keyed part, together with the rows without a whole key (``loose``)."""
        wide = self._wide()
        where_added = "NOT ho AND ht AND (NOT hb OR xexp_moved AND xexp_theirs)"
        new = count(self.session, f"SELECT 1 FROM {wide} WHERE {where_added}")
        parts = [f"(SELECT {self._cells('t')} FROM {wide} WHERE {where_added} ORDER BY xexp_pos)"]
        parts = parts if new else []
        if loose[1]:
            parts.append(f"(SELECT * FROM ({loose[0]}))")
        drop = self._dropped(wide, loose_drop)
        change, filled, replaced = self._changed(wide)
        bad = count(self.session, f"SELECT 1 FROM {wide} WHERE xexp_bad")
        both = self.options.on_conflict is OnConflict.BOTH
        stop = bad and (both or self.options.on_conflict is OnConflict.FAIL)
        removed = count(self.session, f"SELECT 1 FROM {drop}")
        added = new + loose[1]
        report = counted(
            self.table,
            here,
            incoming,
            new=added,
            filled=filled,
            replaced=replaced,
            removed=removed,
            conflicting=bad,
            identical=max(0, incoming - added - filled - replaced - bad),
        )
        outcome = TableOutcome(self.table, report, " UNION ALL ".join(parts), change)
        conflicts = tuple(self._conflicts(wide)) if stop else ()
        notes = (both_forbidden(self.table.name),) if stop and both else ()
        return replace(outcome, drop=drop if removed else "", conflicts=conflicts, notes=notes)

    @property
    def _names(self) -> list[str]:
        return self.table.cells(self.key)

    def _same(self, name: str, one: str, other: str) -> str:
        return f"({' AND '.join(alike(self.table, name, one, other))})"

    def _wide(self) -> str:
        """One row per key: b0…, o0…, t0… cells, hb/ho/ht presence, v0… result, x0… conflict."""
        keys = listed(self.key)
        joins, cells = [], [f"keys.{quote(k)} AS {quote(k)}" for k in self.key]
        for s in "bot":
            joins.append(
                f"LEFT JOIN (SELECT *, true AS h FROM {self.firm} WHERE n_{s} > 0) AS {s} "
                f"USING ({keys})"
            )
            cells.append(f"coalesce({s}.h, false) AS h{s}")
            cells += [f"{s}.{quote(n)} AS {s}{i}" for i, n in enumerate(self._names)]
        settled = ", ".join(f"settled.s{i} AS s{i}" for i in [*range(len(self._names)), "g"])
        joins.append(f"LEFT JOIN {self._settled()} AS settled USING ({keys})")
        flat = (
            f"SELECT {', '.join(cells)}, {settled}, t.xexp_pos FROM "
            f"(SELECT DISTINCT {keys} FROM {self.firm}) AS keys {' '.join(joins)}"
        )
        decided = f"SELECT *, {', '.join(self._decisions())} FROM ({flat})"
        bad = " OR ".join(["xexp_open", *(f"x{i}" for i in range(len(self._names)))])
        return self.session.keep("wide", f"SELECT *, ({bad}) AS xexp_bad FROM ({decided})")

    def _settled(self) -> str:
        return settled_rows(
            self.session, self.table, self.key, self._names, self.options, self.firm
        )

    def _decisions(self) -> list[str]:
        last = self.options.on_conflict is OnConflict.THEIRS
        theirs = "'theirs'" if last else "'ours'"
        found = []
        moved = {"o": ["false"], "t": ["false"]}
        for i, name in enumerate(self._names):
            clash = f"ho AND ht AND NOT {self._same(name, f'o{i}', f't{i}')}"
            clash += f" AND NOT (hb AND {self._same(name, f'o{i}', f'b{i}')})"
            clash += f" AND NOT (hb AND {self._same(name, f't{i}', f'b{i}')})"
            fills = f"NOT hb AND (o{i} IS NULL OR t{i} IS NULL)" if self.options.fill else "false"
            takes = f"hb AND {self._same(name, f'o{i}', f'b{i}')} OR ({fills}) AND o{i} IS NULL"
            clash = f"({clash}) AND NOT ({fills}) AND s{i} IS NULL"
            pick = f"CASE coalesce(s{i}, {theirs}) WHEN 'theirs' THEN t{i} ELSE o{i} END"
            value = (
                f"CASE WHEN {self._same(name, f'o{i}', f't{i}')} THEN o{i} WHEN {takes} THEN t{i} "
                f"WHEN hb AND {self._same(name, f't{i}', f'b{i}')} OR ({fills}) THEN o{i} "
                f"ELSE {pick} END"
            )
            found += [f"{value} AS v{i}", f"({clash}) AS x{i}"]
            for s, tests in moved.items():
                tests.append(f"NOT {self._same(name, f'{s}{i}', f'b{i}')}")
        ours, other = (" OR ".join(moved[s]) for s in "ot")
        gone = f"hb AND (ho AND NOT ht AND ({ours}) OR ht AND NOT ho AND ({other}))"
        return [
            *found,
            f"({gone}) AS xexp_gone",
            f"({other}) AS xexp_moved",
            f"({gone}) AND sg IS NULL AS xexp_open",
            f"coalesce(sg, {theirs}) = 'theirs' AS xexp_theirs",
        ]

    def _cells(self, letter: str) -> str:
        index = {name: i for i, name in enumerate(self._names)}
        return ", ".join(
            quote(c) if c in self.key else f"{letter}{index[c]} AS {quote(c)}"
            for c in self.table.columns
        )

    def _ours(self) -> str:
        return self.table.ours.query if self.table.ours else f"SELECT 0 AS {ROW} WHERE false"

    def _dropped(self, wide: str, loose: str) -> str:
        """Return the rows that theirs deleted, if ours left them unchanged or deletions win."""
        where = "hb AND ho AND NOT ht AND (NOT xexp_gone OR xexp_theirs)"
        if self.table.ours is None or not count(
            self.session, f"SELECT 1 FROM {wide} WHERE {where}"
        ):
            return loose
        return self.session.keep(
            "drop",
            f"SELECT {ROW} FROM {loose} UNION ALL SELECT {ROW} FROM ({self._ours()}) SEMI JOIN "
            f"(SELECT * FROM {wide} WHERE {where}) USING ({listed(self.key)})",
        )

    def _changed(self, wide: str) -> tuple[str, int, int]:
        if self.table.ours is None:
            return "", 0, 0
        differs = ["false"]
        differs += [f"NOT {self._same(n, f'v{i}', f'o{i}')}" for i, n in enumerate(self._names)]
        some = f"SELECT * FROM {wide} WHERE ho AND ht AND ({' OR '.join(differs)})"
        change = self.session.keep(
            "change",
            f"SELECT mine.{ROW}, {self._cells('v')}, hb, xexp_bad FROM ({some}) AS wide JOIN "
            f"(SELECT {listed(self.key)}, {ROW} FROM ({self._ours()})) AS mine "
            f"USING ({listed(self.key)})",
        )
        total = count(self.session, f"SELECT 1 FROM {change}")
        good = f"SELECT 1 FROM {change} WHERE NOT xexp_bad"
        replaced = count(self.session, f"{good} AND hb")
        return (change if total else ""), count(self.session, good) - replaced, replaced

    def _conflicts(self, wide: str) -> list[Conflict]:
        found: list[Conflict] = []
        keys = listed(self.key)
        for i, name in enumerate(self._names):
            query = (
                f"SELECT {keys}, o{i} AS xexp_ours, t{i} AS xexp_theirs, b{i} AS xexp_base, "
                f"1 AS xexp_side FROM {wide} WHERE x{i} ORDER BY {keys}"
            )
            if count(self.session, query):
                labels = {1: self.label}
                found += conflicts_of(
                    self.session, self.table, self.key, name, query, "value", labels
                )
        shown = ", ".join(plain(self.table.columns[k], quote(k)) for k in self.key)
        for row in self.session.rows(
            f"SELECT {shown}, ho FROM {wide} WHERE xexp_open ORDER BY {keys} LIMIT {SHOWN}"
        ):
            kind = "change/delete" if row[-1] else "delete/change"
            found.append(
                Conflict(
                    self.table.name, named(self.key, row), None, None, None, None, kind, self.label
                )
            )
        return found


def settled_rows(
    session: Session,
    table: Aligned,
    key: Sequence[str],
    names: Sequence[str],
    options: MergeOptions,
    rows: str,
) -> str:
    """A table: the key, ``s0``… with "ours" or "theirs" for each of ``names``, ``sg`` for the row.

    It has those of the settled conflicts whose key is one of ``rows`` (a FROM item).
    """
    columns = [f"s{i}" for i in range(len(names))] + ["sg"]
    held = session.keep(
        "settled",
        f"SELECT {listed(key)}, "
        + ", ".join(f"NULL::VARCHAR AS {c}" for c in columns)
        + f" FROM {rows} WHERE false",
    )
    place = {name.lower(): f"s{i}" for i, name in enumerate(names)}
    same = [f"{plain(table.columns[k], quote(k))} IS NOT DISTINCT FROM ?" for k in key]
    for conflict, side in settled_in(table.name, options):
        values = {name.lower(): value for name, value in conflict.key.items()}
        column = place.get(conflict.column.lower()) if conflict.column else "sg"
        if column and values.keys() == {k.lower() for k in key}:
            session.rows(
                f"INSERT INTO {held} ({listed(key)}, {column}) SELECT DISTINCT {listed(key)}, "
                f"'{side}' FROM {rows} WHERE {' AND '.join(same)}",
                [values[k.lower()] for k in key],
            )
    chosen = ", ".join(f"max({c}) AS {c}" for c in columns)
    return f"(SELECT {listed(key)}, {chosen} FROM {held} GROUP BY {listed(key)})"


def restored(side: Side, base: Side, columns: Sequence[str], key: Sequence[str]) -> Side:
    """Restore dropped ``columns`` of a side with the base's values.

    Rows are matched by key; without a key, by their other columns, equal ones in order.
    """
    rest = [c for c in side.has & base.has if c not in columns]
    join = list(key) or sorted(rest)
    order = f"row_number() OVER (PARTITION BY {listed(join)} ORDER BY {ROW}) AS xexp_nth"
    same = [f"here.{quote(c)} IS NOT DISTINCT FROM was.{quote(c)}" for c in join]
    was = ", ".join([*map(quote, dict.fromkeys([*join, *columns])), order])
    replaced = ", ".join(f"was.{quote(c)} AS {quote(c)}" for c in columns)
    query = (
        f"SELECT here.* EXCLUDE (xexp_nth) REPLACE ({replaced}) FROM "
        f"(SELECT *, {order} FROM ({side.query})) AS here LEFT JOIN "
        f"(SELECT {was} FROM ({base.query})) AS was "
        f"ON {' AND '.join([*same, 'here.xexp_nth = was.xexp_nth'])}"
    )
    return Side(side.label, side.table, query, side.has | set(columns))
