"""Convert MLflow's record of a run, from any of its stores, to a :class:`Run`.

Tags that begin with ``mlflow.`` are MLflow's own (``mlflow/utils/mlflow_tags.py``); ``system/`` begins
the name of each system metric (``mlflow/system_metrics``). Parameters are text in every store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.limits import scalar
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.roles import RoleDecision, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run, RunPart

#: MLflow's tags that describe a run, and their names here.
_TAGS = {
    "mlflow.source.name": "source_name",
    "mlflow.source.type": "source_type",
    "mlflow.source.git.commit": "git_commit",
    "mlflow.source.git.branch": "git_branch",
    "mlflow.user": "user",
    "mlflow.parentRunId": "parent_run",
    "mlflow.note.content": "note",
    "mlflow.project.entryPoint": "entry_point",
}
_VERSIONS = ("experiment_version", "version")


@dataclass
class Record:
    """The content of a store about one run. Times are milliseconds since 1970."""

    id: str
    name: str = ""
    experiment: str = ""
    start: int | None = None
    end: int | None = None
    status: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  #: the last value of each
    counts: dict[str, int] = field(default_factory=dict)  #: how many values each has
    tags: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)  #: name → digest


def run_of(record: Record, database: Path, tracker: str, rules: RoleRules, table: str = "") -> Run:
    """The run that a store's record describes."""
    values = _values(record)
    decided = decisions(record, rules, table)
    roles = {name: decision.role for name, decision in decided.items()}
    numbers = {name: v for name, v in values.items() if isinstance(v, int | float)}
    commit = record.tags.get("mlflow.source.git.commit")
    said = [record.tags.get(name) or record.params.get(name) for name in _VERSIONS]
    rows = 1 + len(record.params) + sum(record.counts.values())
    return Run(
        id=record.id,
        database=database,
        tracker=tracker,
        parts=(RunPart(table, record.id, rows),) if table else (),
        started=_time(record.start),
        ended=_time(record.end if record.end is not None else record.start),
        params={n: v for n, v in values.items() if roles[n] is Role.PARAM},
        metrics={n: v for n, v in numbers.items() if roles[n] is Role.METRIC},
        context={n: v for n, v in values.items() if roles[n] is Role.CONTEXT},
        values=values,
        roles=roles,
        versions=tuple(dict.fromkeys(version for version in said if version)),
        commits=(commit,) if commit else (),
        series=tuple(name for name, count in record.counts.items() if count > 1),
    )


def facts(record: Record, database: Path, rules: RoleRules, table: str = "") -> list[ColumnFacts]:
    """The role of every value of a record, and why."""
    values = _values(record)
    return [
        ColumnFacts(database, table, name, each.role, each.why, values.get(name))
        for name, each in decisions(record, rules, table).items()
    ]


def decisions(record: Record, rules: RoleRules, table: str) -> dict[str, RoleDecision]:
    """Role by the store's own structure, unless the configuration says otherwise."""
    own: dict[str, RoleDecision] = {}
    for name in _context(record):
        own[name] = RoleDecision(Role.CONTEXT, "recorded by MLflow")
    for name in record.metrics:
        system = name.startswith("system/")
        own[name] = (
            RoleDecision(Role.CONTEXT, "a system metric of MLflow")
            if system
            else RoleDecision(Role.METRIC, "a metric of MLflow")
        )
    for name in record.params:
        key = name in _VERSIONS
        own[name] = RoleDecision(Role.KEY if key else Role.PARAM, "a parameter of MLflow")
    return {name: rules.decide(table, name) or decision for name, decision in own.items()}


def _values(record: Record) -> dict[str, Any]:
    params = {name: scalar(text) for name, text in record.params.items()}
    return {**_context(record), **record.metrics, **params}


def _context(record: Record) -> dict[str, Any]:
    context: dict[str, Any] = {"run_name": record.name, "experiment_name": record.experiment}
    context["run_status"] = record.status
    context |= {ours: record.tags.get(theirs, "") for theirs, ours in _TAGS.items()}
    own = {n: v for n, v in record.tags.items() if not n.startswith("mlflow.")}
    context |= {name: value for name, value in own.items() if name not in _VERSIONS}
    context |= {f"dataset.{name}": digest for name, digest in record.datasets.items()}
    return {name: value for name, value in context.items() if value}


def _time(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(" ")
    except (ValueError, OverflowError, OSError):
        return None


def newest_first(runs: list[Run]) -> list[Run]:
    """Sort by end time, because MLflow's ids have no order."""
    from gitxexp.trackers.times import moment

    return sorted(runs, key=lambda run: moment(run.ended), reverse=True)


def clean_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags as text, without those that hold documents (MLflow logs whole model signatures)."""
    return {str(name): str(v) for name, v in tags.items() if v is not None and len(str(v)) <= 500}
