"""A table too big for the memory there is, decided part by part.

Rows that could have to do with each other (same key, or equal) are in the same part, so that the
parts' outcomes together are the outcome.

How to divide a table's inputs: by ranges of a column that is in order, else by a hash.

Where a column grows with the row number (an id, a time), a part is a stretch of each file, and
DuckDB skips the other stretches by their statistics. Otherwise the rows are sorted once by the
number of their part.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gitxexp.tables.duckdb.align import ROW, Aligned, Side
from gitxexp.tables.duckdb.outcome import SHOWN, Outcome
from gitxexp.tables.duckdb.rows import candidates, collated, count, listed, shared
from gitxexp.tables.duckdb.session import Session, Shortage, quote, text
from gitxexp.tables.plan import TableReport

#: One part may take this share of the memory: DuckDB's joins and sorts need some beside it.
SHARE = 3

#: More parts than this cannot help: what is short then is not the memory for rows.
MOST = 4096

_COUNTS = (
    "here",
    "incoming",
    "new",
    "identical",
    "filled",
    "replaced",
    "removed",
    "conflicting",
)


def in_parts(
    session: Session,
    table: Aligned,
    key: Sequence[str],
    decide: Callable[[Aligned], Outcome],
    whole: bool = False,
    meets: bool = True,
) -> Outcome:
    """``decide(table)``, or the same from as many parts of it as the memory asks for.

    ``key``: rows belong together by these columns; empty: by all. ``whole`` forbids parts.
    ``meets``: of ours only the rows matter that meet an offered one (by key, or equal). Where the
    estimate was too good, more parts are tried; raises :class:`Shortage` when none are enough.
    """
    parts = 1 if whole else _needed(session, table)
    while True:
        mark = session.mark()
        try:
            if parts == 1:
                return decide(table)
            return _together(session, table, split(session, table, key, parts, meets), decide)
        except Shortage:
            if whole or parts > MOST:
                raise
            session.forget(mark)
            parts = max(8, parts * 4)


def _needed(session: Session, table: Aligned) -> int:
    """How many parts keep the offered rows, as DuckDB holds them in a hash table, in their share.

    From the width of each input's first rows as text: 24 bytes more for each cell, 48 for a row.
    """
    need = 0
    for side in table.others:
        rows = count(session, side.query)
        first = f"SELECT {listed(table.names)} FROM ({side.query}) LIMIT 2000"
        text = session.value(f"SELECT max(strlen(r::VARCHAR)) FROM ({first}) AS r") or 0
        mean = session.value(f"SELECT avg(strlen(r::VARCHAR)) FROM ({first}) AS r") or 0
        width = int(min(text, 2 * mean)) + 24 * len(table.columns) + 48
        need += rows * width
    return max(1, -(-need // (session.memory // SHARE)))


@dataclass
class _Held:
    """The parts' rows to add, to change and to drop, each kind gathered in one table."""

    session: Session
    names: dict[str, str] = field(default_factory=dict)

    def take(self, kind: str, query: str) -> None:
        if kind in self.names:
            self.session.rows(f"INSERT INTO {self.names[kind]} {query}")
        else:
            self.names[kind] = self.session.keep(kind, query)


def _together(
    session: Session,
    table: Aligned,
    views: Sequence[Aligned],
    decide: Callable[[Aligned], Outcome],
) -> Outcome:
    held = _Held(session)
    found: list[Outcome] = []
    for view in views:
        mark = session.mark()
        outcome = decide(view)
        if outcome.add:
            held.take("add", f"SELECT {listed(table.names)} FROM ({outcome.add})")
        if outcome.change:
            held.take("change", f"SELECT * FROM {outcome.change}")
        if outcome.drop:
            held.take("drop", f"SELECT * FROM {outcome.drop}")
        session.forget(mark, spare=tuple(held.names.values()))
        found.append(replace(outcome, add="", change="", drop=""))
    add = held.names.get("add")
    here = count(session, table.ours.query) if table.ours else 0
    return Outcome(
        table,
        replace(_sum([outcome.report for outcome in found]), here=here),
        f"SELECT {listed(table.names)} FROM {add}" if add else "",
        held.names.get("change", ""),
        held.names.get("drop", ""),
        tuple(c for outcome in found for c in outcome.conflicts)[: SHOWN * len(table.columns)],
        tuple(dict.fromkeys(note for outcome in found for note in outcome.notes)),
    )


def _sum(reports: Sequence[TableReport]) -> TableReport:
    total = {name: sum(getattr(report, name) for report in reports) for name in _COUNTS}
    return replace(reports[0], **total)


def by_label(table: Aligned, side: Side | None) -> Side | None:
    """The same input's side in a part of the table."""
    return next((s for s in table.others if side and s.label == side.label), None)


#: Columns looked at, and values of each, to find one that is in order.
TRIED, SAMPLED = 3, 20_000

#: So many ranges are enough to see whether a column is in order.
PROVED = 24

#: How many times the rows of a part its stretch in the file, or a fair part, may be.
LOOSE = 3

_ORDERED = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("SMALLINT", "INTEGER", "BIGINT")
) | {"DATE", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "VARCHAR"}


def split(
    session: Session, table: Aligned, key: Sequence[str], parts: int, meets: bool
) -> list[Aligned]:
    """The table as about so many parts; equal rows and rows of one whole key are in one part.

    ``meets``: the parts' size is that of the offered rows, and of ours only those are needed that
    meet one (see :func:`gitxexp.tables.duckdb.partition.in_parts`).
    """
    for column in _candidates(session, table, key):
        few = min(parts, PROVED)
        if _in_order(session, table, _ranges(session, table, column, few), few, meets):
            return [_where(table, t) for t in _ranges(session, table, column, parts)]
    return _hashed(session, _meeting(session, table, key) if meets else table, key, parts)


def _candidates(session: Session, table: Aligned, key: Sequence[str]) -> list[str]:
    """Columns that all inputs have, those first that tell rows apart."""
    names = list(key) or (shared(table) if table.ours else list(table.columns))
    skipped = {"VARCHAR"} if collated(table) else set()
    fit = [c for c in names if table.columns[c] in _ORDERED - skipped]
    if not fit:
        return []
    asked = ", ".join(f"approx_count_distinct({quote(c)})" for c in fit)
    rows = f"SELECT * FROM ({table.others[-1].query}) LIMIT {SAMPLED}"
    distinct = dict(zip(fit, session.rows(f"SELECT {asked} FROM ({rows})")[0], strict=True))
    return sorted(fit, key=lambda c: -distinct[c])[:TRIED]


def _ranges(session: Session, table: Aligned, column: str, parts: int) -> list[str]:
    """Conditions that together hold for each row once, from every n-th value of the last input."""
    query = table.others[-1].query
    step = max(1, count(session, query) // SAMPLED)
    cell, kind = quote(column), table.columns[column]
    values = session.rows(
        f"SELECT {cell}::VARCHAR FROM (SELECT {cell} FROM ({query}) WHERE {ROW} % {step} = 0 "
        f"AND {cell} IS NOT NULL ORDER BY 1)"
    )
    picked = [values[i * len(values) // parts][0] for i in range(1, parts)] if values else []
    bounds = [f"{text(value)}::{kind}" for value in dict.fromkeys(picked)]
    if not bounds:
        return []
    pairs = itertools.pairwise(bounds)
    between = [f"{cell} > {low} AND {cell} <= {high}" for low, high in pairs]
    return [f"{cell} <= {bounds[0]}", *between, f"{cell} > {bounds[-1]}", f"{cell} IS NULL"]


def _in_order(
    session: Session, table: Aligned, tests: Sequence[str], parts: int, meets: bool
) -> bool:
    """Whether the parts are stretches of each input and of like size."""
    if not tests:
        return False
    number = " ".join(f"WHEN {test} THEN {i}" for i, test in enumerate(tests))
    sizes: dict[int, int] = {}
    for side in _sides(table):
        found = session.rows(
            f"SELECT CASE {number} END AS part, count(*), max({ROW}) - min({ROW}) + 1 "
            f"FROM ({side.query}) GROUP BY 1"
        )
        if sum(row[2] for row in found) > LOOSE * sum(row[1] for row in found):
            return False
        for part, rows, _ in () if meets and side is table.ours else found:
            sizes[part] = sizes.get(part, 0) + rows
    return max(sizes.values(), default=0) <= LOOSE * sum(sizes.values()) / parts


def _sides(table: Aligned) -> list[Side]:
    return [*([table.ours] if table.ours else []), *table.others]


def _where(table: Aligned, test: str) -> Aligned:
    def narrow(side: Side) -> Side:
        return replace(side, query=f"SELECT * FROM ({side.query}) WHERE {test}")

    ours = narrow(table.ours) if table.ours else None
    return replace(table, ours=ours, others=tuple(map(narrow, table.others)))


def _meeting(session: Session, table: Aligned, key: Sequence[str]) -> Aligned:
    """The table with those rows of ours only that could have to do with an offered one.

    Where finding them needs too much memory, with all of them, whose sorting needs less.
    """
    if table.ours is None:
        return table
    offered = [side.query for side in table.others]
    theirs = " UNION ALL ".join(f"SELECT {listed(table.names)} FROM ({q})" for q in offered)
    if not key:
        query = candidates(session, table.columns, table.ours.query, theirs, shared(table))
    else:
        same = " AND ".join(f"mine.{quote(k)} = theirs.{quote(k)}" for k in key)
        partly = " OR ".join(f"{quote(k)} IS NULL" for k in key)
        query = (
            f"SELECT mine.* FROM ({table.ours.query}) AS mine "
            f"SEMI JOIN (SELECT DISTINCT {listed(key)} FROM ({theirs})) AS theirs ON {same} "
            f"UNION ALL SELECT * FROM ({table.ours.query}) WHERE {partly}"
        )
    mark = session.mark()
    try:
        held = session.store("meeting", query)
    except Shortage:
        session.forget(mark)
        return table
    return replace(table, ours=replace(table.ours, query=f"SELECT * FROM {held}"))


def _hashed(session: Session, table: Aligned, key: Sequence[str], parts: int) -> list[Aligned]:
    """By DuckDB's own hash, which is the same for values that its grouping calls equal."""
    number = f"hash({listed(table.names)})"
    if key:
        full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
        number = f"CASE WHEN {full} THEN hash({listed(key)}) ELSE {number} END"

    def ordered(side: Side) -> Side:
        numbered = f"SELECT *, ({number} % {parts})::INTEGER AS xexp_part FROM ({side.query})"
        held = session.store("sorted", f"SELECT * FROM ({numbered}) ORDER BY xexp_part")
        return replace(side, query=f"SELECT * FROM {held}")

    ours = ordered(table.ours) if table.ours else None
    whole = replace(table, ours=ours, others=tuple(map(ordered, table.others)))
    return [_where(whole, f"xexp_part = {i}") for i in range(parts)]
