"""Adapters read a tracker's files as runs; this selects the adapter for a file.

An adapter is one file in :mod:`gitxexp.trackers.adapters` with a subclass of :class:`Adapter` and an
instance of it named ``ADAPTER``. They are asked in the order of :attr:`Adapter.order`; the first that
knows the layout of a file or folder reads it, and no other is asked. None of them ever writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from gitxexp.common.dataclass import dataclass
from gitxexp.common.files import database_kind
from gitxexp.trackers.databases import Database, kind_of, reading
from gitxexp.trackers.logged import Logged
from gitxexp.trackers.roles import NO_RULES, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run, Windows


@dataclass(frozen=True)
class RunQuery:
    """What to read: ``table`` is the only table to read, None detects them. ``newest``: an adapter
    may skip all but the last so many runs. ``windows``: only these rows of a run that is requested
    by id."""

    table: str | None = None
    rules: RoleRules = NO_RULES
    newest: int | None = None
    windows: Windows = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a metric, with the step and the time at which it was logged if known."""

    value: float | int
    step: float | int | None = None
    time: Any = None


class Adapter(ABC):
    """Reads the runs of one kind of tracker."""

    name: ClassVar[str]
    order: ClassVar[int]  #: lowest first; a layout that others may mistake comes first
    #: Whether runs have ids and times of their own; others come last, because their files are
    #: the last run's, whatever wrote them.
    identified: ClassVar[bool] = True
    #: Whether the layout can be that of a parquet file: one table without a key.
    in_parquet: ClassVar[bool] = False

    def knows(self, path: Path, table: str | None = None) -> bool:
        """Whether the file or folder has this tracker's layout."""
        return kind_of(path) is not None and reading(path, lambda d: self.recognises(d, table))

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether the tables of a database have this tracker's layout. A tracker of folders has none."""
        return False

    @abstractmethod
    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """Every run, newest first, each once."""

    @abstractmethod
    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """The role of every column or named value."""

    @abstractmethod
    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The values of a metric, oldest first."""

    def latest(self, path: Path, query: RunQuery) -> Run | None:
        """The run that wrote last; None if there is none."""
        return next(iter(self.runs(path, query)), None)

    def find(self, path: Path, query: RunQuery, id: str) -> Run | None:
        """Return the run of that id; if the tracker keeps rows, from those in ``query.windows``."""
        return next((run for run in self.runs(path, query) if run.named(id)), None)

    def rows(self, path: Path, table: str | None) -> dict[tuple[str, str], int]:
        """The number of rows by (table, run)."""
        runs = self.runs(path, RunQuery(table))
        return {(part.table, part.run): part.rows for run in runs for part in run.parts}

    def logged(self, path: Path, table: str | None) -> dict[tuple[str, str], Logged]:
        """What each run has now, by (table, run)."""
        runs = self.runs(path, RunQuery(table))
        return {
            (part.table, part.run): Logged(part.rows, None, (run.started, run.ended), whole=True)
            for run in runs
            for part in run.parts
        }

    def files(self, path: Path) -> list[Path]:
        """The files that a tracker without times writes last, for their own times."""
        return []

    def has_runs(self, path: Path, table: str | None = None) -> bool:
        """Whether a file found by name, which has this tracker's layout, contains results."""
        return True


@cache
def adapters() -> Sequence[Adapter]:
    """Return all adapters, in the order in which they are asked."""
    folder = Path(__file__).with_name("adapters")
    names = sorted(path.stem for path in folder.glob("[a-z]*.py"))
    modules = [import_module(f"gitxexp.trackers.adapters.{name}") for name in names]
    found = [module.ADAPTER for module in modules if hasattr(module, "ADAPTER")]
    return sorted(found, key=lambda adapter: adapter.order)


def adapter_of(path: Path, table: str | None = None) -> Adapter | None:
    """The adapter that reads ``path``; None if no known tracker has this layout.

    Raises XexpError for an existing file that cannot be read.
    """
    parquet = database_kind(path) == "parquet"
    asked = [each for each in adapters() if each.in_parquet or not parquet]
    if kind_of(path) is None:
        return next((each for each in asked if each.knows(path, table)), None)
    return reading(
        path, lambda d: next((each for each in asked if each.recognises(d, table)), None)
    )
