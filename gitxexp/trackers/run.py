"""The runs that a tracker adapter returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.trackers.column_names import Role


class Window(NamedTuple):
    """A range of a run's rows in a table, in the order written: how many come ``before`` it, and its
    length."""

    before: int
    rows: int


#: By (table, run): the rows of a run to read, if not all.
Windows = Mapping[tuple[str, str], Window]


@dataclass(frozen=True, slots=True)
class RunPart:
    """The rows of a run in one table. ``run`` is its id there, which another tracker may have given;
    ``window`` says which of its rows were read, None: all."""

    table: str
    run: str
    rows: int
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tracker.

    ``database`` is the file or folder that holds it, ``tracker`` the name of the adapter that read it,
    ``parts`` the tables that its rows are in (none if the tracker keeps files). ``started`` and
    ``ended`` are its earliest and latest times, as the tracker wrote them. ``params``, ``metrics`` and
    ``context`` hold its last values by role, ``values`` those of all columns, ``roles`` the role of
    each. ``versions`` and ``commits`` are the distinct ones in its rows, ``series`` the metrics with more
    than one value, ``notes`` descriptions of what could not be read or joined.
    """

    id: str
    database: Path
    tracker: str
    parts: tuple[RunPart, ...] = ()
    started: str | None = None
    ended: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float | int] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table that the run is listed under, "" if the tracker keeps files."""
        return self.parts[0].table if self.parts else ""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that hold rows of the run."""
        return tuple(part.table for part in self.parts)

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return sum(part.rows for part in self.parts)

    @property
    def declared_version(self) -> str | None:
        """The version that all rows of the run name, or None."""
        return self.versions[0] if len(self.versions) == 1 else None

    def named(self, id: str) -> bool:
        """Whether ``id`` is the run's id in any of its tables."""
        return id == self.id or any(id == part.run for part in self.parts)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column (or named value) of a results database: its role and why."""

    database: Path
    table: str
    column: str
    role: Role
    why: str
    example: Any = None
