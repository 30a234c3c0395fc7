"""Build a table, in memory with a row per run, for runs that have none with a column per value:
those of MLflow and DVCLive, and those known only from a record or tag (a script that writes
metrics.json)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.repository.repository import Project
from gitxexp.trackers.databases import Database
from gitxexp.trackers.roles import RoleRules
from gitxexp.trackers.run import Run
from gitxexp.workflows.runs import record

#: Rules for whole runs; the other rules check rows.
RULES = frozenset(
    (
        "missing-params",
        "constant-metric",
        "metric-out-of-range",
        "duplicate-run",
        "cache-key",
        "clock",
    )
)
#: Columns for the run's id, end, code and data.
_OWN = ("run_id", "timestamp", "git_commit", "dvc_hash")
#: SQLite's integers have eight bytes, and a table at most 2,000 columns.
_LARGEST, _COLUMNS = 1 << 63, 1900


@dataclass(frozen=True)
class StoredRun:
    """A run: ``group`` names the runs to compare, such as MLflow's experiment."""

    id: str
    ended: str | None
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    code: str = ""
    data: str = ""
    group: str = "runs"


@dataclass(frozen=True)
class Store:
    """Where runs are, and which."""

    path: Path
    runs: Sequence[StoredRun]
    seen: tuple[Path, ...] = ()  #: content of a folder whose changes matter


def of_tracker(path: Path, runs: Iterable[Run]) -> Store:
    """The runs of a store of MLflow or DVCLive."""
    found = [
        StoredRun(
            run.id,
            run.ended,
            run.params,
            run.metrics,
            run.commits[-1] if run.commits else "",
            " ".join(sorted(str(v) for n, v in run.context.items() if n.startswith("dataset."))),
            str(run.context.get("experiment_name") or "runs"),
        )
        for run in runs
    ]
    return Store(path, found, (path, *path.rglob("*")) if path.is_dir() else ())


def of_registry(project: Project) -> Store:
    """The runs that are in no tracker: records without rows, and experiments without a run."""
    records = [one for one in record.read(project) if one.status == "done" and not one.tables]
    found = [
        StoredRun(
            one.version or one.id, one.ended, one.params, one.metrics, one.code_hash, one.data
        )
        for one in records
    ]
    known = {one.id for one in found} | {one.id for one in records}
    for experiment in project.experiments():
        own = experiment.payload
        if not own.results and not known.intersection((experiment.name, own.run)):
            at = record.timestamp(float(experiment.date))
            run = StoredRun(experiment.name, at, own.params, own.metrics, own.code, own.data)
            found.append(run)
    return Store(project.registry.path, found)


@contextmanager
def as_database(store: Store) -> Iterator[tuple[Database, RoleRules]]:
    """Its runs as tables, oldest first, one for each group; and the roles of their columns."""
    with closing(sqlite3.connect(":memory:")) as raw:
        groups: dict[str, list[StoredRun]] = {}
        for run in sorted(store.runs, key=lambda run: run.ended or ""):
            groups.setdefault(run.group, []).append(run)
        for name, runs in groups.items():
            _write(raw, name, runs)
        params = frozenset(name for run in store.runs for name in run.params)
        metrics = frozenset(name for run in store.runs for name in run.metrics) - params
        yield Database(store.path, "sqlite", raw), RoleRules(params=params, metrics=metrics)


def _write(raw: sqlite3.Connection, name: str, runs: Sequence[StoredRun]) -> None:
    spelled = {own: own for own in _OWN}
    for run in runs:
        for column in (*run.params, *run.metrics):
            if len(spelled) < _COLUMNS:
                spelled.setdefault(column.lower(), column)
    columns = list(spelled.values())
    numbers = {column.lower() for run in runs for column in run.metrics}
    types = (f"{quote(c)} REAL" if c.lower() in numbers else quote(c) for c in columns)
    raw.execute(f"CREATE TABLE {quote(name)} ({', '.join(types)})")
    rows = []
    for run in runs:
        own = {**run.metrics, **run.params, "run_id": run.id, "timestamp": run.ended,
               "git_commit": run.code or None, "dvc_hash": run.data or None}  # fmt: skip
        rows.append([_cell(own.get(column)) for column in columns])
    marks = ", ".join("?" * len(columns))
    raw.executemany(f"INSERT INTO {quote(name)} VALUES ({marks})", rows)


def _cell(value: Any) -> Any:
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return float(value)
    return value if isinstance(value, int | float | str | None) else str(value)
