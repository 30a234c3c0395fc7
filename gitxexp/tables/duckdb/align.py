"""Columns of several inputs brought together by name, with one type each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitxexp.common.errors import XexpError
from gitxexp.common.files import Kind
from gitxexp.tables.duckdb.session import Session, Table, quote
from gitxexp.tables.duckdb.types import EMPTY, Use, common_type, null
from gitxexp.tables.plan import MergeOptions, SimilarColumn

#: The name of the row number that every aligned query carries beside the user's columns.
ROW = "xexp_row"


@dataclass(frozen=True)
class Side:
    """One input's version of a table. ``query`` gives the aligned columns and ``xexp_row``."""

    label: str
    table: Table
    query: str
    has: frozenset[str]  #: the aligned columns that this input really has


@dataclass(frozen=True)
class Aligned:
    """One table in all inputs that have it. ``ours`` is None where the target lacks the table."""

    name: str
    columns: Mapping[str, str]
    ours: Side | None
    others: tuple[Side, ...]
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    similar: tuple[SimilarColumn, ...] = ()
    dropped: tuple[str, ...] = ()  #: columns that ours still has and the result has not

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)


def align(
    session: Session,
    name: str,
    ours: tuple[str, Table] | None,
    others: Sequence[tuple[str, Table]],
    options: MergeOptions,
    out: Kind,
) -> Aligned:
    """Match columns without regard to case and find a type for each that changes no value.

    Raises :class:`XexpError` where there is no such type and the options do not accept the loss.
    """
    inputs = ([ours] if ours else []) + list(others)
    renames = {old.lower(): new for old, new in options.rename.items()}
    spelled: dict[str, str] = {}
    uses: dict[str, list[tuple[int, Use]]] = {}
    for index, (label, table) in enumerate(inputs):
        mine = index == 0 and ours is not None
        for column, kind in table.columns.items():
            shown = column if mine else renames.get(column.lower(), column)
            key = shown.lower()
            spelled.setdefault(key, shown)
            use = Use(label, table.relation, column, kind, table.kind)
            held = uses.setdefault(key, [])
            if any(i == index for i, _ in held):
                raise XexpError(f"{label}: two columns of {name} would both be called {shown}")
            held.append((index, use))
    columns = {
        spelled[key]: common_type(session, spelled[key], [u for _, u in held], options, out)
        for key, held in uses.items()
    }
    sides = [
        _side(label, table, index, columns, uses) for index, (label, table) in enumerate(inputs)
    ]
    first = sides.pop(0) if ours else None
    return Aligned(name, columns, first, tuple(sides), *_changes(name, first, columns, sides))


def _side(
    label: str,
    table: Table,
    index: int,
    columns: Mapping[str, str],
    uses: Mapping[str, list[tuple[int, Use]]],
) -> Side:
    parts = []
    has = set()
    for column, kind in columns.items():
        use = next((u for i, u in uses[column.lower()] if i == index), None)
        if use is None or use.type == EMPTY:
            cell = null(kind)
        elif use.type == kind:
            cell = quote(use.column)
        else:
            cell = f"CAST({quote(use.column)} AS {kind})"
        if use is not None:
            has.add(column)
        parts.append(f"{cell} AS {quote(column)}")
    query = f"SELECT {', '.join([*parts, f'{table.row} AS {ROW}'])} FROM {table.relation}"
    return Side(label, table, query, frozenset(has))


def _changes(
    name: str, ours: Side | None, columns: Mapping[str, str], others: Sequence[Side]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[SimilarColumn, ...]]:
    if ours is None:
        return (), (), ()
    added = tuple(column for column in columns if column not in ours.has)
    before = {column.lower(): kind for column, kind in ours.table.columns.items()}
    widened = tuple(
        f"{column}: {before[column.lower()]} -> {kind}"
        for column, kind in columns.items()
        if column in ours.has and before[column.lower()] not in (kind, EMPTY)
    )
    there = frozenset().union(*(side.has for side in others))
    lonely = [column for column in columns if column in ours.has and column not in there]
    similar = tuple(
        SimilarColumn(name, incoming, existing)
        for incoming in added
        for existing in lonely
        if alike(incoming, existing)
    )
    return added, widened, similar


def alike(one: str, other: str) -> bool:
    """Whether two names may mean one thing: ``lr``/``learning_rate``, ``f1_score``/``f1Score``."""
    a, b = (name.lower().replace("-", "_").replace(" ", "_") for name in (one, other))
    if a.replace("_", "") == b.replace("_", ""):
        return True
    initials = ["".join(part[:1] for part in name.split("_")) for name in (a, b)]
    if (len(a) > 1 and a == initials[1]) or (len(b) > 1 and b == initials[0]):
        return True
    short, long = sorted((a, b), key=len)
    return len(short) > 2 and (long.startswith(short + "_") or long.endswith("_" + short))
