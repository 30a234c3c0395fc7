"""Before merging, unify the stamps of rows that differ only in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.align import ROW, Aligned, Side
from gitxexp.tables.duckdb.partition import narrowed, part_by_part
from gitxexp.tables.duckdb.rows import (
    TableOutcome,
    candidates,
    collated,
    count,
    listed,
    marks,
    shared,
)
from gitxexp.tables.duckdb.session import EMPTY, Session
from gitxexp.tables.plan import MergeOptions, OnConflict, Value
from gitxexp.tables.rules import (
    Stamp,
    StampedRow,
    Stamps,
    merge_stamped,
    stamps_of,
    two_stamps,
)

CHUNK = 200  #: rows of one INSERT
_FEW = 4  #: times that ours has more rows than theirs, so that looking for theirs first pays


@dataclass(frozen=True)
class Restamped:
    """A table with the final stamps of its rows; ``ours`` lists the rows that change."""

    table: Aligned
    ours: str = ""  #: a table with ``xexp_at``, the row number
    notes: tuple[str, ...] = ()

    def outcome(self, session: Session, merged: TableOutcome) -> TableOutcome:
        """The outcome for this table, including our rows that only got a stamp."""
        merged = replace(merged, notes=(*self.notes, *merged.notes))
        if not self.ours or self.table.ours is None:
            return merged
        names = listed(self.table.names)
        tests = [f"{ROW} IN (SELECT xexp_at FROM {self.ours})"]
        for other in filter(None, (merged.change, merged.drop)):
            tests.append(f"{ROW} NOT IN (SELECT {ROW} FROM {other})")
        rows = f"SELECT {ROW}, {names} FROM ({self.table.ours.query}) WHERE {' AND '.join(tests)}"
        stamped = count(session, rows)
        if not stamped:
            return merged
        if merged.change:
            rows = f"SELECT {ROW}, {names} FROM {merged.change} UNION ALL {rows}"
        stamped = min(stamped, merged.report.identical)  # others are counted as what else they are
        report = replace(
            merged.report,
            filled=merged.report.filled + stamped,
            identical=merged.report.identical - stamped,
        )
        return replace(merged, change=session.keep("change", rows), report=report)


def restamped(
    session: Session,
    table: Aligned,
    key: Sequence[str],
    base: Side | None = None,
    *,
    apart: bool = False,
    options: MergeOptions | None = None,
) -> Restamped:
    """Give equal rows one stamp on all sides (:func:`rules.merge_stamped`).

    By ``key``; without one, in rows whose key has a NULL, or if different rows of one key stay
    ``apart``, by all columns but the stamps. ``base`` is one of the others in a three-way merge;
    ``options`` are those of a two-way merge.
    """
    stamps = stamps_of(table.names, key)
    rest = [c for c in table.names if not stamps.holds(c)]
    sides = [*([table.ours] if table.ours else []), *table.others]
    if not stamps.columns or not rest or len(sides) < 2:
        return Restamped(table)
    by_key = 0  # groups, which come first
    if apart or not key:
        groups = _differing(session, table, rest, stamps)
    else:
        groups = _differing(session, table, list(key), stamps)
        by_key = len(groups)
        null = " OR ".join(f"{quote(c)} IS NULL" for c in key)
        theirs = " UNION ALL ".join(f"SELECT {listed(key)} FROM ({s.query})" for s in table.others)
        if len(key) < len(rest) and session.rows(f"SELECT 1 FROM ({theirs}) WHERE {null} LIMIT 1"):
            groups += _differing(session, narrowed(table, null), rest, stamps)
    if not groups:
        return Restamped(table)
    changes = _Changes(len(sides))
    for place, (rows,) in enumerate(groups):
        by_side: list[list[StampedRow]] = [[] for _ in sides]
        for row in sorted(rows, key=lambda row: row["at"]):
            by_side[row["n"]].append(StampedRow(row["at"], row["run"], tuple(row["s"])))
        if base is not None:
            changes.three_way(by_side, sides.index(base), len(sides) - 1, stamps.versions)
        elif options and place < by_key and all(len(side) < 2 for side in by_side):
            rows = [(n, row) for n, side in enumerate(by_side) for row in side]
            changes.by_key(rows, stamps.versions, options)
        else:
            changes.two_way(by_side, stamps.versions)
    return _applied(session, table, stamps, changes)


def _differing(
    session: Session, table: Aligned, identity: Sequence[str], stamps: Stamps
) -> list[tuple[Any, ...]]:
    """The rows of each group of equal ``identity`` in which stamps differ."""
    suspects = _suspected(session, _compared(session, table, identity), identity, stamps)
    if not count(session, f"SELECT 1 FROM {suspects}"):
        return []
    test = f"hash({listed(identity)}) IN (SELECT h FROM {suspects})"
    return _grouped(session, narrowed(table, test), identity, stamps)


def _compared(session: Session, table: Aligned, identity: Sequence[str]) -> Aligned:
    """The table, of ours only the rows that may equal one of theirs, if theirs are far fewer: DuckDB
    then skips most of a large file."""
    if table.ours is None or not table.others:
        return table
    theirs = " UNION ALL ".join(f"SELECT {listed(identity)} FROM ({s.query})" for s in table.others)
    if count(session, theirs) * _FEW > count(session, table.ours.query):
        return table
    columns = {c: table.columns[c] for c in identity}
    common = [c for c in shared(table) if c in columns]
    query = candidates(session, columns, table.ours.query, theirs, common)
    return replace(table, ours=replace(table.ours, query=query))


def _suspected(session: Session, table: Aligned, identity: Sequence[str], stamps: Stamps) -> str:
    """The table of :func:`_suspects`, built part by part if memory is too small."""

    def gathered(views: Iterable[Aligned]) -> str:
        name = session.keep("suspects", "SELECT 0::UBIGINT AS h WHERE false")
        for view in views:
            session.rows(f"INSERT INTO {name} {_suspects(view, identity, stamps)}")
        return name

    return part_by_part(session, table, identity, gathered)


def _suspects(table: Aligned, identity: Sequence[str], stamps: Stamps) -> str:
    """A query for the hashes of rows that several sides have with stamps that differ.

    Usually there are none: hashes show that without loading the rows themselves.
    """
    sides = [*([table.ours] if table.ours else []), *table.others]
    rows = " UNION ALL ".join(
        f"SELECT hash({listed(identity)}) AS h, {n} AS n, hash({listed(stamps.columns)}) AS s "
        f"FROM ({side.query})"
        for n, side in enumerate(sides)
    )
    return f"SELECT h FROM ({rows}) GROUP BY h HAVING min(n) <> max(n) AND min(s) <> max(s)"


def _grouped(
    session: Session, table: Aligned, identity: Sequence[str], stamps: Stamps
) -> list[tuple[Any, ...]]:
    """The groups in which stamps differ, from parts of the table if memory is too small."""

    def gathered(views: Iterable[Aligned]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for view in views:
            mark = session.mark()
            found += session.rows(_groups(session, view, identity, stamps))
            session.forget(mark)
        return found

    return part_by_part(session, table, identity, gathered)


def _groups(session: Session, table: Aligned, identity: Sequence[str], stamps: Stamps) -> str:
    """A query for the rows of each group in which stamps differ: lists of (side, row, run, stamp)."""
    sides = [*([table.ours] if table.ours else []), *table.others]
    columns = {c: table.columns[c] for c in identity}
    full = " AND ".join(f"{quote(c)} IS NOT NULL" for c in identity)
    keyed = len(identity) + len(stamps.columns) < len(table.columns)
    parts = []
    for n, side in enumerate(sides):
        query = side.query
        if side is table.ours and table.others:
            theirs = " UNION ALL ".join(f"SELECT * FROM ({s.query})" for s in table.others)
            if keyed:
                same = " AND ".join(f"mine.{quote(c)} = theirs.{quote(c)}" for c in identity)
                query = (
                    f"SELECT mine.* FROM ({query}) AS mine SEMI JOIN "
                    f"(SELECT DISTINCT {listed(identity)} FROM ({theirs})) AS theirs ON {same}"
                )
            else:
                common = [c for c in shared(table) if not stamps.holds(c)]
                query = candidates(session, columns, query, theirs, common)
        run = f"{quote(stamps.run)}::VARCHAR" if stamps.run else "NULL::VARCHAR"
        cells = ", ".join(f"{quote(c)}::VARCHAR AS v{i}" for i, c in enumerate(stamps.columns))
        where = f" WHERE {full}" if keyed else ""
        parts.append(
            f"SELECT {listed(identity)}, {n} AS xexp_n, {ROW} AS xexp_at, {run} AS xexp_run, "
            f"{cells} FROM ({query}){where}"
        )
    values = [f"v{i}" for i in range(len(stamps.columns))]
    differ = " OR ".join(
        f"count(DISTINCT {v}) > 1 OR count({v}) NOT IN (0, count(*))" for v in values
    )
    terms = ", ".join([*map(quote, identity), *marks(columns, collated(table))])
    row = f"{{'n': xexp_n, 'at': xexp_at, 'run': xexp_run, 's': [{', '.join(values)}]}}"
    return (
        f"SELECT list({row}) FROM ({' UNION ALL '.join(parts)}) GROUP BY {terms} "
        f"HAVING count(DISTINCT xexp_n) > 1 AND ({differ})"
    )


@dataclass
class _Changes:
    """New stamps by side and row number."""

    sides: int
    stamps: list[dict[int, Stamp]] = field(default_factory=list)
    differing: list[tuple[Value, Value]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stamps = [{} for _ in range(self.sides)]

    def two_way(self, by_side: Sequence[Sequence[StampedRow]], versions: int) -> None:
        """Process the sources in turn; a row without a partner may match a later one."""
        slots = [row.stamp for row in by_side[0]]
        runs = [row.run for row in by_side[0]]
        members = [[(0, row)] for row in by_side[0]]
        for n, rows in enumerate(by_side[1:], 1):
            ours = [
                StampedRow(i, run, stamp)
                for i, (run, stamp) in enumerate(zip(runs, slots, strict=True))
            ]
            group = merge_stamped((), ours, rows, versions)
            self.differing += group.differing
            for i, stamp in group.ours.items():
                slots[i] = stamp if stamp is not None else slots[i]
            for row in rows:
                slot = group.partners.get(row.place)
                if slot is None:
                    slots.append(row.stamp)
                    runs.append(row.run)
                    members.append([(n, row)])
                else:
                    members[slot].append((n, row))
        for stamp, held in zip(slots, members, strict=True):
            self._set_all(held, stamp)

    def by_key(
        self, rows: Sequence[tuple[int, StampedRow]], versions: int, options: MergeOptions
    ) -> None:
        """Process the rows of one key in turn: each meets what those before it made of the key's row."""
        last, fill = options.on_conflict is OnConflict.THEIRS, options.fill

        def settled(one: Value, other: Value) -> Value:
            first, second = (other, one) if last else (one, other)
            return second if fill and first is None else first

        run, stamp = rows[0][1].run, rows[0][1].stamp
        members = [rows[0]]
        for n, row in rows[1:]:
            group = merge_stamped((), [StampedRow(0, run, stamp)], [row], versions)
            self.differing += group.differing
            if group.partners:
                stamp = group.theirs[row.place]
                members.append((n, row))
            else:
                if last:
                    self._set_all(members, stamp)
                    members = [(n, row)]
                stamp = tuple(map(settled, stamp, row.stamp))
            run = settled(run, row.run)
        self._set_all(members, stamp)

    def three_way(
        self, by_side: Sequence[Sequence[StampedRow]], base: int, theirs: int, versions: int
    ) -> None:
        """Return stamps that an ordinary three-way merge turns into the right ones."""
        ours = by_side[0] if base != 0 else ()
        group = merge_stamped(by_side[base], ours, by_side[theirs], versions)
        self.differing += group.differing
        for row in by_side[base]:
            self._set(base, row, group.base.get(row.place, row.stamp))
        for row in by_side[theirs]:
            self._set(theirs, row, group.theirs.get(row.place, row.stamp))
        added = set(group.partners.values())
        for row in ours:
            stamp = group.ours.get(row.place)
            if row.place in added and stamp is not None:
                self._set(0, row, stamp)

    def _set_all(self, rows: Iterable[tuple[int, StampedRow]], stamp: Stamp) -> None:
        for n, row in rows:
            self._set(n, row, stamp)

    def _set(self, side: int, row: StampedRow, stamp: Stamp) -> None:
        if stamp != row.stamp:
            self.stamps[side][row.place] = stamp


def _applied(session: Session, table: Aligned, stamps: Stamps, changes: _Changes) -> Restamped:
    sides = [*([table.ours] if table.ours else []), *table.others]
    made, names = [], []
    for side, wanted in zip(sides, changes.stamps, strict=True):
        name = _stored(session, wanted, len(stamps.columns)) if wanted else ""
        names.append(name)
        made.append(_with(side, table.columns, stamps, name) if name else side)
    notes = tuple(two_stamps(table.name, changes.differing))
    if table.ours is None:
        return Restamped(replace(table, others=tuple(made)), "", notes)
    return Restamped(replace(table, ours=made[0], others=tuple(made[1:])), names[0], notes)


def _stored(session: Session, wanted: Mapping[int, Stamp], width: int) -> str:
    columns = "".join(f", NULL::VARCHAR AS v{i}" for i in range(width))
    name = session.keep("stamps", f"SELECT 0::BIGINT AS xexp_at{columns} WHERE false")
    rows: list[tuple[Any, ...]] = [(place, *stamp) for place, stamp in wanted.items()]
    hole = f"({', '.join('?' * (width + 1))})"
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        values = [value for row in part for value in row]
        session.rows(f"INSERT INTO {name} VALUES {', '.join([hole] * len(part))}", values)
    return name


def _with(side: Side, columns: Mapping[str, str], stamps: Stamps, name: str) -> Side:
    kinds = {c: "VARCHAR" if kind == EMPTY else kind for c, kind in columns.items()}
    cells = ", ".join(
        f"CASE WHEN given.xexp_at IS NULL THEN mine.{quote(c)} "
        f"ELSE given.v{i}::{kinds[c]} END AS {quote(c)}"
        for i, c in enumerate(stamps.columns)
    )
    query = (
        f"SELECT mine.* REPLACE ({cells}) FROM ({side.query}) AS mine "
        f"LEFT JOIN {name} AS given ON mine.{ROW} = given.xexp_at"
    )
    return replace(side, query=query, has=side.has | set(stamps.columns))
