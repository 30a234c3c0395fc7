"""What a merge will do, as frozen values that can be printed before anything is written.

The engines (``sqlite``, ``duckdb``) take :class:`MergeOptions` and return a :class:`MergeReport`, which
is the plan of ``--dry-run`` and the summary of a finished merge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum

from gitxexp.common.dataclass import dataclass


class Mode(StrEnum):
    """``merge`` accumulates (maximum multiplicity per exact row); ``rebase`` replaces by key."""

    MERGE = "merge"
    REBASE = "rebase"


class OnConflict(StrEnum):
    """What to do where one unique key has two different values."""

    FAIL = "fail"
    OURS = "ours"
    THEIRS = "theirs"
    BOTH = "both"


#: One SQL value in Python. ``1``, ``1.0`` and ``'1'`` are three different values.
Value = None | int | float | str | bytes

#: ``progress(done, total, unit)`` is called often and must be cheap; ``total`` is 0 if unknown.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class MergeOptions:
    """Options of a merge. The defaults lose nothing and ask nothing."""

    mode: Mode = Mode.MERGE
    key: tuple[str, ...] = ()  #: declared key columns; () means the table's own, or the default
    tables: tuple[str, ...] = ()  #: only these tables; () means all user tables
    fill: bool = True  #: fill a NULL or absent cell of a matching key from the other side
    on_conflict: OnConflict = OnConflict.FAIL
    renumber: bool = False  #: give different rows with the same INTEGER PRIMARY KEY new numbers
    rename: Mapping[str, str] = field(default_factory=dict)  #: source column -> target column
    stringify: tuple[str, ...] = ()  #: columns whose mixed storage classes may become text
    allow_lossy: bool = False  #: accept a type promotion that changes values
    memory: int = 0  #: bytes DuckDB may use before it spills; 0: 1 GB
    settled: tuple[tuple[Conflict, OnConflict], ...] = ()  #: single conflicts, each for one side
    in_place: bool = (
        False  #: change the target itself in one transaction instead of writing a new file
    )
    count: bool = False  #: count the target's rows in place too, which reads all of them


@dataclass(frozen=True)
class Conflict:
    """A key with two different values, or two changes that contradict each other.

    ``column`` is None for a conflict of whole rows (a deletion against a change). ``base`` is None
    in a two-way merge; ``kind`` distinguishes a missing row from a NULL cell.
    """

    table: str
    key: Mapping[str, Value]
    column: str | None
    ours: Value
    theirs: Value
    base: Value = None
    #: "value" | "delete/change" | "change/delete" | "primary key" | "constraint" | "schema"
    kind: str = "value"
    source: str = ""  #: which source disagrees

    @property
    def whole_table(self) -> bool:
        """Whether one side dropped the table, which the other one changed."""
        return not self.key and self.column is None and self.kind != "schema"


@dataclass(frozen=True)
class SimilarColumn:
    """A column of one side that looks like one of the other (``lr``, ``learning_rate``)."""

    table: str
    incoming: str
    existing: str


@dataclass(frozen=True)
class TableReport:
    """The row counts of one table: existing, incoming, and the outcome.

    In a merge by key each row offered is new or identical, fills a row or is in conflict with one.
    """

    name: str
    here: int = 0  #: rows in the target before
    incoming: int = 0  #: rows offered by all sources together
    new: int = 0  #: rows added
    identical: int = 0  #: rows offered that the target has already
    filled: int = 0  #: rows offered that gave a row a value for a NULL or absent cell
    replaced: int = 0  #: rows here that an incoming row replaced
    removed: int = 0  #: rows here that the other side deleted (three-way only)
    conflicting: int = 0  #: rows offered that contradict the row of their key
    columns_added: tuple[str, ...] = ()
    types_widened: tuple[str, ...] = ()  #: "column: OLD -> NEW"
    created: bool = False  #: the table itself is new
    estimated: bool = False  #: ``here`` is estimated from the row numbers, deleted rows included


@dataclass(frozen=True)
class MergeReport:
    """The plan before the merge, the result after. ``written`` says which of the two it is."""

    tables: tuple[TableReport, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    similar: tuple[SimilarColumn, ...] = ()
    carried: tuple[str, ...] = ()  #: tables, indexes, views only a source had
    notes: tuple[str, ...] = ()
    written: bool = False

    @property
    def changed(self) -> bool:
        """Whether applying this plan changes any row or column of the target."""
        return bool(self.carried) or any(
            t.new
            or t.filled
            or t.replaced
            or t.removed
            or t.columns_added
            or t.types_widened
            or t.created
            for t in self.tables
        )
