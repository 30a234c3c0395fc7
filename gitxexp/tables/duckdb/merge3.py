"""Three-way merges of files, as git asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gitxexp.common.errors import UsageError
from gitxexp.common.files import Kind, kind_of
from gitxexp.tables.duckdb.align import Aligned, Side, align
from gitxexp.tables.duckdb.match import Matched
from gitxexp.tables.duckdb.merge import run
from gitxexp.tables.duckdb.outcome import Outcome, counted
from gitxexp.tables.duckdb.rows import count, listed
from gitxexp.tables.duckdb.session import Session, Table
from gitxexp.tables.duckdb.three_way import differing, restored, three_way, whole
from gitxexp.tables.duckdb.two_way import key_of
from gitxexp.tables.plan import Conflict, MergeOptions, MergeReport, OnConflict, Progress


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
    gone = _columns(table.name, was, mine, new, options)
    shown = Matched(
        table.name,
        _without(table.ours, gone.dropped) if table.ours else None,
        [_without(item, gone.dropped) for item in table.others],
    )
    aligned = align(session, table.name, shown.ours, shown.others, options, kind)
    if mine is not None:
        left = tuple(c for c in mine.columns if c.lower() in gone.dropped)
        aligned = replace(aligned, dropped=left)
    sides = {side.label: side for side in aligned.others}
    here = count(session, aligned.ours.query) if aligned.ours else 0
    still = Outcome(aligned, counted(aligned, here, 0))
    if gone.clash:
        found = (
            Conflict(table.name, {}, c, None, None, None, "schema", theirs) for c in gone.clash
        )
        return replace(still, conflicts=tuple(found))
    old, other = sides.get(base or ""), sides.get(theirs)
    if was is not None and (mine is None or new is None):
        return _gone(session, aligned, old, other, still, options)
    if gone.kept and old is not None and other is not None:
        aligned, other = _kept(aligned, old, other, gone.kept, options)
    return three_way(session, aligned, old, other, options)


@dataclass(frozen=True)
class _Gone:
    """Columns of the base that one side or both dropped."""

    dropped: frozenset[str] = frozenset()  #: leave the result; in lower case
    clash: tuple[str, ...] = ()  #: nobody said whether they do
    kept: tuple[str, ...] = ()  #: stay, as the side has them that did not drop them


def _columns(
    name: str, was: Table | None, mine: Table | None, new: Table | None, options: MergeOptions
) -> _Gone:
    if was is None or mine is None or new is None:
        return _Gone()
    has = {
        OnConflict.OURS: {c.lower() for c in mine.columns},
        OnConflict.THEIRS: {c.lower() for c in new.columns},
    }
    dropped, clash, kept = set(), [], []
    for column in was.columns:
        held = [side for side, columns in has.items() if column.lower() in columns]
        chosen = whole(name, column, options)
        if len(held) == 2:
            continue
        if not held or (chosen in has and chosen not in held):
            dropped.add(column.lower())
        elif chosen in held:
            kept.append(column)
        else:
            clash.append(column)
    return _Gone(frozenset(dropped), tuple(clash), tuple(kept))


def _kept(
    table: Aligned, base: Side, theirs: Side, columns: Sequence[str], options: MergeOptions
) -> tuple[Aligned, Side]:
    """The table as if the side that dropped ``columns`` had only left them alone."""
    key, _ = key_of(table, options)
    lower = {name.lower() for name in columns}
    names = [name for name in table.columns if name.lower() in lower]

    def back(side: Side) -> Side:
        lost = [name for name in names if name not in side.has]
        return restored(side, base, lost, key) if lost else side

    ours = back(table.ours) if table.ours else None
    again = back(theirs)
    others = tuple(again if side is theirs else side for side in table.others)
    return replace(table, ours=ours, others=others), again


def _without(item: tuple[str, Table], dropped: frozenset[str]) -> tuple[str, Table]:
    label, table = item
    columns = {c: kind for c, kind in table.columns.items() if c.lower() not in dropped}
    return label, replace(table, columns=columns)


def _gone(
    session: Session,
    table: Aligned,
    base: Side | None,
    theirs: Side | None,
    still: Outcome,
    options: MergeOptions,
) -> Outcome | None:
    """One side dropped the whole table, and so does the result, as SQLite's engine has it.

    Rows that the other side changed since are a conflict, settled for the side that is chosen.
    """
    left = table.ours or theirs
    chosen = whole(table.name, None, options)
    if count(session, f"SELECT 1 FROM {differing(session, table, {'b': base, 'o': left})}"):
        if chosen not in (OnConflict.OURS, OnConflict.THEIRS):
            kind = "change/delete" if table.ours else "delete/change"
            clash = Conflict(table.name, {}, None, None, None, None, kind, still.report.name)
            return replace(still, conflicts=(clash,))
        if table.ours is not None and chosen is OnConflict.OURS:
            return still
        if theirs is not None and chosen is OnConflict.THEIRS:
            rows = count(session, theirs.query)
            report = counted(table, 0, rows, new=rows)
            return Outcome(table, report, add=f"SELECT {listed(table.names)} FROM ({theirs.query})")
    if table.ours is None:
        return None
    rows = still.report.here
    note = f"table {table.name} dropped: theirs dropped it"
    return Outcome(table, counted(table, rows, 0, removed=rows), notes=(note,), gone=True)
