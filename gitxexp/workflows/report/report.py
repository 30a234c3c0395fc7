"""What a report says of the experiments of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitxexp.common.errors import XexpError
from gitxexp.trackers import column_names
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.explore import compare, query, show
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row, column
from gitxexp.workflows.report.importance import Importance, importance

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.tags import Experiment
    from gitxexp.workflows.explore.compare import Comparison
    from gitxexp.workflows.explore.query import ExperimentList

#: Parameters that the table of importance has at most.
_MOST = 12


@dataclass(frozen=True)
class Best:
    """The best experiment by the metric, and what it changed against its parent."""

    experiment: Experiment
    value: float | int
    since: Comparison | None  #: None where it has no parent


@dataclass(frozen=True)
class Report:
    """``runs`` counts the rows that ``importance`` is of: tracked runs where there are, else experiments."""

    title: str
    experiments: ExperimentList
    metric: str | None  #: the primary one, None where there is none
    maximize: bool
    best: Best | None
    importance: Sequence[Importance]
    runs: int


def report(project: Project, versions: Sequence[str] = (), metric: str | None = None) -> Report:
    """The report on ``versions`` (none: all), ranked by ``metric`` (None: the primary one).

    Raises XexpError for a version or metric that does not exist, and where there is no experiment.
    """
    found = query.list_experiments(project, query.Query(names=tuple(versions)))
    if not found.rows:
        raise XexpError("there are no experiments to report on", "make one: git xexp tag")
    names = ColumnNames(found.rows)
    primary = _metric(project, names, metric)
    title = project.top.name
    if primary is None:
        return Report(title, found, None, True, None, (), 0)
    directions = query.directions(project.config)
    maximize = column_names.maximize(primary.name, directions)
    rows = _runs(project, found.rows) if not versions else list(found.rows)
    return Report(
        title, found, primary.name, maximize, _best(project, found.rows, primary, maximize),
        _importance(rows, primary), len(rows),
    )  # fmt: skip


def _metric(project: Project, names: ColumnNames, asked: str | None) -> ColumnName | None:
    if asked is not None:
        found = names.find(asked)
        if found.kind != "metric":
            raise XexpError(f"'{asked}' is not a metric", f"metrics: {', '.join(names.metrics)}")
        return found
    primary = describe.primary_metric(names.metrics, project.config)
    return ColumnName("metric", primary) if primary else None


def _best(project: Project, rows: Sequence[Row], metric: ColumnName, maximize: bool) -> Best | None:
    from gitxexp.workflows.explore.filters import number

    ranked = [
        (amount, row.experiment) for row in rows
        if row.experiment is not None and (amount := number(metric.value(row))) is not None
    ]  # fmt: skip
    if not ranked:
        return None
    value, experiment = (max if maximize else min)(ranked, key=lambda pair: pair[0])
    parent = show.parent_of(project, experiment, project.experiments())
    since = None
    if parent is not None:
        sides = (compare.of_experiment(project, each) for each in (parent, experiment))
        since = compare.compare(project, *sides)
    return Best(experiment, value, since)


def _runs(project: Project, experiments: Sequence[Row]) -> list[Row]:
    """Every run that a tracker logged, where there are more of them than experiments."""
    found = query.list_experiments(project, query.Query(runs=True)).rows
    return list(found if len(found) > len(experiments) else experiments)


def _importance(rows: Sequence[Row], metric: ColumnName) -> list[Importance]:
    params = {name: column(rows, ColumnName("param", name)) for name in ColumnNames(rows).params}
    return importance(params, column(rows, metric))[:_MOST]
