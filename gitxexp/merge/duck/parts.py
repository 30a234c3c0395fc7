"""A table too big for the memory there is, decided part by part.

Rows that could have to do with each other (same key, or equal) are in the same part, so that the
parts' outcomes together are the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gitxexp.merge.duck.align import Aligned, Side
from gitxexp.merge.duck.outcome import SHOWN, Outcome
from gitxexp.merge.duck.rows import count, listed
from gitxexp.merge.duck.session import Session, Shortage
from gitxexp.merge.duck.split import split
from gitxexp.merge.plan import TableReport

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
