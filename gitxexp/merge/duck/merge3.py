"""Three-way merges of files, as git asks for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gitxexp.errors import UsageError
from gitxexp.merge.duck.align import Aligned, Side, align
from gitxexp.merge.duck.engine import run
from gitxexp.merge.duck.match import Matched
from gitxexp.merge.duck.outcome import Outcome, counted
from gitxexp.merge.duck.rows import count
from gitxexp.merge.duck.session import Session
from gitxexp.merge.duck.source import Table
from gitxexp.merge.duck.threeway import differing, three_way
from gitxexp.merge.kinds import Kind, kind_of
from gitxexp.merge.plan import Conflict, MergeOptions, MergeReport, OnConflict, Progress


def merge3_files(
    base: Path | None,
    ours: Path,
    theirs: Path,
    out: Path | None = None,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """Bring what ``theirs`` changed since ``base`` into ``ours`` and write ``out`` (default: ours).

    Keyed tables are merged cell by cell, others by the change in how often each row is there; a
    change that both sides made counts once. ``base`` is None or an empty file where both sides
    added the file. With conflicts nothing is written and the report lists them.
    Raises :class:`XexpError`.
    """
    options = options or MergeOptions()
    if options.in_place:
        raise UsageError("a three-way merge always writes a new file")
    known = base if base is not None and base.exists() and base.stat().st_size else None
    for path in filter(None, (known, ours, theirs)):
        kind_of(path)
    sources = [known, theirs] if known else [theirs]

    def decide(
        session: Session, table: Matched, kind: Kind, chosen: MergeOptions
    ) -> Outcome | None:
        return _decide(session, table, kind, chosen, str(known) if known else None, str(theirs))

    return run(ours, [s for s in sources if s], out or ours, decide, options, progress, True)


def _decide(
    session: Session,
    table: Matched,
    kind: Kind,
    options: MergeOptions,
    base: str | None,
    theirs: str,
) -> Outcome | None:
    was = next((t for label, t in table.others if label == base), None)
    new = next((t for label, t in table.others if label == theirs), None)
    mine = table.ours[1] if table.ours else None
    if mine is None and new is None:
        return None
    dropped, clash = _columns(was, mine, new, options)
    shown = Matched(
        table.name,
        _without(table.ours, dropped) if table.ours else None,
        [_without(item, dropped) for item in table.others],
    )
    aligned = align(session, table.name, shown.ours, shown.others, options, kind)
    sides = {side.label: side for side in aligned.others}
    here = count(session, aligned.ours.query) if aligned.ours else 0
    still = Outcome(aligned, counted(aligned, here, 0))
    if clash:
        found = (Conflict(table.name, {}, c, None, None, None, "schema", theirs) for c in clash)
        return replace(still, conflicts=tuple(found))
    if was is not None and (mine is None or new is None):
        return _gone(session, aligned, sides.get(base or ""), sides.get(theirs), still)
    return three_way(session, aligned, sides.get(base or ""), sides.get(theirs), options)


def _columns(
    was: Table | None, mine: Table | None, new: Table | None, options: MergeOptions
) -> tuple[set[str], list[str]]:
    """Columns of the base that leave the result, and those whose removal is in conflict."""
    if was is None or mine is None or new is None:
        return set(), []
    ours, theirs = ({c.lower() for c in t.columns} for t in (mine, new))
    gone = [c for c in was.columns if c.lower() not in ours or c.lower() not in theirs]
    keep = {OnConflict.OURS: ours, OnConflict.THEIRS: theirs}.get(
        options.on_conflict, ours | theirs
    )
    clash = [c for c in gone if c.lower() in keep]
    return {c.lower() for c in gone if c not in clash}, clash


def _without(item: tuple[str, Table], dropped: set[str]) -> tuple[str, Table]:
    label, table = item
    columns = {c: kind for c, kind in table.columns.items() if c.lower() not in dropped}
    return label, replace(table, columns=columns)


def _gone(
    session: Session, table: Aligned, base: Side | None, theirs: Side | None, still: Outcome
) -> Outcome | None:
    """One side dropped the whole table: ours stays dropped; theirs' drop is left to the user.

    Rows that the other side changed since are a conflict.
    """
    left = table.ours or theirs
    changed = differing(session, table, {"b": base, "o": left})
    if count(session, f"SELECT 1 FROM {changed}"):
        kind = "change/delete" if table.ours else "delete/change"
        clash = Conflict(table.name, {}, None, None, None, None, kind, still.report.name)
        return replace(still, conflicts=(clash,))
    if table.ours is None:
        return None
    note = f"table {table.name} was dropped on the other side and kept here"
    return replace(still, notes=(note,))
