"""Decide a table that is too large for memory part by part.

DuckDB spills sorts and groups, but not in every step: comparing two inputs of 250 MB each row by
row in 100 MB fails with "out of memory". Then the rows are partitioned by a hash, so that related
rows (same key, or equal) are in the same part, and the parts' outcomes together form the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from typing import TypeVar

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.align import Aligned, Side
from gitxexp.tables.duckdb.rows import SHOWN, TableOutcome, count, listed
from gitxexp.tables.duckdb.session import Session, Shortage
from gitxexp.tables.plan import TableReport

#: The number of parts at first, and after one was too large.
FIRST, NEXT = 1, 8

#: More parts than this do not help: the shortage is not memory for rows.
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
    decide: Callable[[Aligned], TableOutcome],
    whole: bool = False,
) -> TableOutcome:
    """Return ``decide(table)`` or, if memory is too small, the same from its parts.

    ``key``: rows belong together by these columns; empty: by all. ``whole`` forbids parts. Raises
    :class:`Shortage` if no number of parts is enough.
    """
    parts = 1 if whole else FIRST
    while True:
        mark = session.mark()
        try:
            if parts == 1:
                return decide(table)
            return _together(session, table, _split(session, table, key, parts), decide)
        except Shortage:
            if whole or parts > MOST:
                raise
            session.forget(mark)
            parts = max(NEXT, parts * 4)


Result = TypeVar("Result")


def part_by_part(
    session: Session,
    table: Aligned,
    key: Sequence[str],
    gathered: Callable[[Iterable[Aligned]], Result],
) -> Result:
    """``gathered`` of the table, or, if memory is too small, of views of its parts by the hash of
    ``key``. Raises :class:`Shortage` if no number of parts is enough."""
    parts = 1
    while True:
        mark = session.mark()
        tests = [f"hash({listed(key)}) % {parts} = {part}" for part in range(parts)]
        try:
            return gathered([table] if parts == 1 else (narrowed(table, test) for test in tests))
        except Shortage:
            session.forget(mark)
            parts = max(NEXT, parts * 4)
            if parts > MOST:
                raise


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
    decide: Callable[[Aligned], TableOutcome],
) -> TableOutcome:
    held = _Held(session)
    outcomes: list[TableOutcome] = []
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
        outcomes.append(replace(outcome, add="", change="", drop=""))
    add = held.names.get("add")
    here = count(session, table.ours.query) if table.ours else 0
    return TableOutcome(
        table,
        replace(total([outcome.report for outcome in outcomes]), here=here),
        f"SELECT {listed(table.names)} FROM {add}" if add else "",
        held.names.get("change", ""),
        held.names.get("drop", ""),
        tuple(c for outcome in outcomes for c in outcome.conflicts)[: SHOWN * len(table.columns)],
        tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
    )


def total(reports: Sequence[TableReport]) -> TableReport:
    """The first report with the sums of all counts."""
    sums = {name: sum(getattr(report, name) for report in reports) for name in _COUNTS}
    return replace(reports[0], **sums)


def by_label(table: Aligned, side: Side | None) -> Side | None:
    """The same input's side in a part of the table."""
    return next((s for s in table.others if side and s.label == side.label), None)


def _split(session: Session, table: Aligned, key: Sequence[str], parts: int) -> list[Aligned]:
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
    return [narrowed(whole, f"xexp_part = {i}") for i in range(parts)]


def narrowed(table: Aligned, test: str) -> Aligned:
    """The rows of every side that pass ``test``."""

    def narrow(side: Side) -> Side:
        return replace(side, query=f"SELECT * FROM ({side.query}) WHERE {test}")

    ours = narrow(table.ours) if table.ours else None
    return replace(table, ours=ours, others=tuple(map(narrow, table.others)))
