"""Build a report on a project's experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.trackers import column_names
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.explore import compare, query, show
from gitxexp.workflows.explore.filters import number
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row, column
from gitxexp.workflows.models import history
from gitxexp.workflows.report import noise
from gitxexp.workflows.report.importance import Importance, Params

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.repository.repository import Project
    from gitxexp.repository.tags import Experiment
    from gitxexp.workflows.explore.compare import Comparison
    from gitxexp.workflows.explore.query import ExperimentList
    from gitxexp.workflows.report.noise import Spread

#: Maximum parameters in the importance table.
_MOST = 12


@dataclass(frozen=True)
class Best:
    """The best experiment by the metric (of several the newest), and its changes from its parent."""

    experiment: Experiment
    value: float | int
    since: Comparison | None  #: None if it has no parent
    equal: Sequence[str] = ()  #: the others with the same value, newest first


@dataclass(frozen=True)
class Report:
    """``rows`` are the basis of ``importance`` and ``spread``: tracked runs if there are more, else
    the experiments."""

    title: str
    experiments: ExperimentList
    metric: str | None  #: the primary one, None if there is none
    maximize: bool
    best: Best | None
    importance: Sequence[Importance]
    rows: Sequence[Row]
    spread: Spread | None = None  #: variation of the metric by chance, if runs were repeated
    ties: Sequence[str] | None = (
        None  #: experiments indistinguishable from the best; None if unknown
    )
    production: Sequence[Promotion] = ()  #: the newest promotion of each model


@dataclass(frozen=True)
class ReportRequest:
    """The request for a report: ``versions`` (none: all), restricted by ``filter`` and ``where``,
    ranked by ``metric`` (None: the primary one), under ``title`` (None: the name of the folder)."""

    versions: tuple[str, ...] = ()
    metric: str | None = None
    filter: str | None = None
    where: str | None = None
    title: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all experiments are reported on."""
        return not (self.versions or self.filter or self.where)


def report(project: Project, request: ReportRequest) -> Report:
    """Return the requested report.

    Raises XexpError for an unknown version or metric, or if there is no experiment.
    """
    chosen = query.ListQuery(names=request.versions, filter=request.filter, where=request.where)
    experiments = query.list_experiments(project, chosen)
    if not experiments.rows:
        if experiments.total:
            raise XexpError(
                f"none of {experiments.total} experiments match", "git xexp explore list"
            )
        raise XexpError("there are no experiments to report on", "make one: git xexp tag")
    names = ColumnNames(experiments.rows)
    primary = _metric(project, names, request.metric)
    title = request.title or _name(project)
    production = _production(project)
    if primary is None:
        return Report(
            title, experiments, None, True, None, (), experiments.rows, production=production
        )
    maximize = column_names.maximize(primary.name, query.directions(project.config))
    rows = _runs(project, experiments.rows) if request.is_whole else list(experiments.rows)
    best = _best(project, experiments.rows, primary, maximize)
    return Report(
        title, experiments, primary.name, maximize, best,
        importances(rows, [primary])[primary.name], rows,
        noise.spread(rows, primary), _ties(project, experiments.rows, primary, best), production,
    )  # fmt: skip


def _name(project: Project) -> str:
    """The name of the repository's folder, without the ``.git`` of a bare one."""
    if project.places.top is not None:
        return project.places.top.name
    folder = project.places.git_dir
    return (folder.parent if folder.name.startswith(".") else folder).name.removesuffix(".git")


def _metric(project: Project, names: ColumnNames, asked: str | None) -> ColumnName | None:
    if asked is not None:
        found = names.find(asked)
        if found.kind != "metric":
            raise XexpError(f"'{asked}' is not a metric", f"metrics: {', '.join(names.metrics)}")
        return found
    primary = describe.primary_metric(names.metrics, project.config)
    return ColumnName("metric", primary) if primary else None


def _best(project: Project, rows: Sequence[Row], metric: ColumnName, maximize: bool) -> Best | None:
    ranked = [
        (amount, row.experiment) for row in rows
        if row.experiment is not None and (amount := number(metric.value(row))) is not None
    ]  # fmt: skip
    if not ranked:
        return None
    value, experiment = (max if maximize else min)(ranked, key=lambda pair: pair[0])
    parent = show.parent_of(project, experiment, project.tags())
    since = None
    if parent is not None:
        sides = (compare.of_experiment(project, each) for each in (parent, experiment))
        since = compare.compare(project, *sides)
    equal = [other.name for amount, other in ranked if amount == value and other is not experiment]
    return Best(experiment, value, since, equal)


def _ties(
    project: Project, rows: Sequence[Row], metric: ColumnName, best: Best | None
) -> list[str] | None:
    """Return the experiments indistinguishable from the best by their predictions; None if the best
    has none."""
    found = noise.intervals_of(project, rows, [metric.name]).get(metric.name)
    known = {
        row.experiment.name: interval
        for row, interval in zip(rows, found or (), strict=False)
        if interval and row.experiment
    }
    own = known.pop(best.experiment.name, None) if best else None
    return noise.ties(own, known) if own and known else None


def _production(project: Project) -> list[Promotion]:
    """The promotion of each model that is in production; none if the registry is unreadable."""
    if project.places.top is None:
        return []
    try:
        promotions = history.history(project)
    except XexpError:  # reported by the command that needs it
        return []
    newest = {promotion.slot: promotion for promotion in reversed(promotions)}
    return list(newest.values())


def _runs(project: Project, experiments: Sequence[Row]) -> list[Row]:
    """Return all tracked runs, if there are more of them than experiments. What several trackers
    logged of one run, with all of its values, is one."""
    if project.places.top is None:  # runs are in the results of a work tree
        return list(experiments)
    found: dict[object, Row] = {}
    for at, row in enumerate(query.list_experiments(project, query.ListQuery(runs=True)).rows):
        record = row.field("record")
        same = (record, str(row.params), str(row.metrics)) if record else at
        found.setdefault(same, row)
    return list(found.values() if len(found) > len(experiments) else experiments)


def importances(
    rows: Sequence[Row], metrics: Sequence[ColumnName]
) -> dict[str, Sequence[Importance]]:
    """Return the importance of each parameter for each metric, strongest first."""
    params = Params({n: column(rows, ColumnName("param", n)) for n in ColumnNames(rows).params})
    return {each.name: params.importance(column(rows, each))[:_MOST] for each in metrics}
