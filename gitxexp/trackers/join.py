"""Join the parts of one run in several tables.

``predictions`` (a row for each input) and ``metrics`` (a row for each configuration), written by two
trackers, are one run where their rows share a run id, an ``experiment_id``, an
``experiment_version`` or a ``version``, and the match is one to one: by that value, else by that
value and time. Otherwise the tables are not joined, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from gitxexp.common.dataclass import dataclass
from gitxexp.trackers.databases import Database
from gitxexp.trackers.event_rows import RunRows, Span, spans, summed
from gitxexp.trackers.run import Windows
from gitxexp.trackers.tables import RunTable

#: Columns that show that rows of two tables belong together, the most reliable first.
SHARED = ("run_id", "experiment_id", "experiment_version", "version")


@dataclass(frozen=True)
class Piece:
    """The rows of a run in one table."""

    table: RunTable
    run: str
    rows: RunRows

    @property
    def span(self) -> Span:
        """Its times."""
        return Span(self.rows.first, self.rows.last)


@dataclass
class Joined:
    """The pieces of one run, with that of the preferred table first."""

    pieces: list[Piece]
    notes: list[str] = field(default_factory=list)


def join_all(
    tables: Sequence[RunTable], found: Mapping[str, Mapping[str, RunRows]]
) -> list[Joined]:
    """The runs of a database: ``found`` is table → run → rows, ``tables`` in order of preference."""
    groups = [Joined([Piece(t, run, rows)]) for t in tables for run, rows in found[t.name].items()]
    at = {(group.pieces[0].table.name, group.pieces[0].run): group for group in groups}
    for place, one in enumerate(tables):
        for other in tables[place + 1 :]:
            _join_pair(one, other, found, at)
    return list({id(group): group for group in at.values()}.values())


def _join_pair(
    one: RunTable,
    other: RunTable,
    found: Mapping[str, Mapping[str, RunRows]],
    at: dict[tuple[str, str], Joined],
) -> None:
    for run in found[one.name]:
        if run in found[other.name] and _is_named(one, other, run):
            _unite(at, (one.name, run), (other.name, run))
    for key in _shared(one, other):
        left, right = _by_value(found[one.name], key), _by_value(found[other.name], key)
        for value in left:
            if value not in right:
                continue
            pairs, rest = match(left[value], right[value])
            for a, b in pairs:
                _unite(at, (one.name, a), (other.name, b))
            for run in rest:
                group = at[one.name, run]
                if all(piece.table.name != other.name for piece in group.pieces):
                    group.notes.append(_not_joined(one, other, key, value))


def _unite(at: dict[tuple[str, str], Joined], one: tuple[str, str], other: tuple[str, str]) -> None:
    a, b = at[one], at[other]
    if a is b or {p.table.name for p in a.pieces} & {p.table.name for p in b.pieces}:
        return
    a.pieces += b.pieces
    a.notes += b.notes
    for piece in b.pieces:
        at[piece.table.name, piece.run] = a


def join_one(
    database: Database, tables: Sequence[RunTable], start: Piece, windows: Windows | None = None
) -> Joined:
    """The run that ``start`` belongs to; of other runs only the times are read. ``windows``: the
    rows to read."""
    within = windows or {}
    pieces, notes = [start], []
    for other in tables:
        if other.name == start.table.name:
            continue
        run, note = _sibling(database, start, other)
        window = within.get((other.name, run or ""))
        rows = summed(database, other, run, window=window).get(run) if run else None
        if run and rows:
            pieces.append(Piece(other, run, rows))
        elif note:
            notes.append(note)
    order = {table.name: place for place, table in enumerate(tables)}
    return Joined(sorted(pieces, key=lambda piece: order[piece.table.name]), notes)


def _sibling(database: Database, start: Piece, other: RunTable) -> tuple[str | None, str]:
    if _is_named(start.table, other, start.run) and other.run_column:
        same = spans(database, other, other.run_column, start.run)
        if same:
            return start.run, ""
    note = ""
    for key in _shared(start.table, other):
        column = start.table.first_of((key,))
        value = start.rows.constant(column) if column else None
        if value is None or value == "" or column is None:
            continue
        theirs = spans(database, other, other.first_of((key,)) or key, value)
        if not theirs:
            continue
        ours = spans(database, start.table, column, value) | {start.run: start.span}
        pairs, _ = match(ours, theirs)
        run = dict(pairs).get(start.run)
        if run is not None:
            return run, ""
        note = note or _not_joined(start.table, other, key, value)
    return None, note


def _is_named(one: RunTable, other: RunTable, run: str) -> bool:
    """Whether a run's id is one that its tracker gave, in both tables."""
    return bool(one.run_column and other.run_column) and not run.startswith("row")


def _shared(one: RunTable, other: RunTable) -> Iterable[str]:
    return [key for key in SHARED if one.first_of((key,)) and other.first_of((key,))]


def _by_value(runs: Mapping[str, RunRows], key: str) -> dict[str, dict[str, Span]]:
    found: dict[str, dict[str, Span]] = {}
    for run, rows in runs.items():
        column = rows.table.first_of((key,))
        value = rows.constant(column) if column else None
        if value is not None and value != "":
            found.setdefault(str(value), {})[run] = Span(rows.first, rows.last)
    return found


def match(
    ours: Mapping[str, Span], theirs: Mapping[str, Span]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the pairs of runs that share a value, and those of ``ours`` without a certain partner.

    A single run on each side is a pair. Of several, two are a pair if each is nearer in time to
    the other than to any other, without a tie.
    """
    if len(ours) == 1 and len(theirs) == 1:
        return [(next(iter(ours)), next(iter(theirs)))], []
    near = {a: _nearest(span, theirs) for a, span in ours.items()}
    back = {b: _nearest(span, ours) for b, span in theirs.items()}
    pairs = [(a, b) for a, b in near.items() if b is not None and back[b] == a]
    paired = {a for a, _ in pairs}
    return pairs, [a for a in ours if a not in paired]


def _nearest(span: Span, others: Mapping[str, Span]) -> str | None:
    """Return the run nearest in time; None if two are equally near or times cannot be read."""
    if span.first.rank != 2:
        return None
    gaps = sorted(
        (_gap(span, other), run) for run, other in others.items() if other.first.rank == 2
    )
    if not gaps or (len(gaps) > 1 and gaps[0][0] == gaps[1][0]):
        return None
    return gaps[0][1]


def _gap(one: Span, other: Span) -> float:
    """Return the seconds between two spans, negative if they overlap."""
    return max(one.first.seconds, other.first.seconds) - min(one.last.seconds, other.last.seconds)


def _not_joined(one: RunTable, other: RunTable, key: str, value: object) -> str:
    return (
        f"tables {one.name} and {other.name} share {key}={value}, but not one to one:"
        " they are not joined"
    )
