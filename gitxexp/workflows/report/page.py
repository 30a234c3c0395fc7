"""The data of a report page beyond the report itself: enough to compare any two experiments
offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.trackers import column_names
from gitxexp.workflows.checks import unchanged
from gitxexp.workflows.checks.check import check
from gitxexp.workflows.checks.report import CheckReport, CheckRequest
from gitxexp.workflows.experiments import collect, describe
from gitxexp.workflows.explore import artifacts, query
from gitxexp.workflows.explore.filters import number
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row, column
from gitxexp.workflows.report import code, curves, lineage, noise
from gitxexp.workflows.report.importance import Importance
from gitxexp.workflows.report.report import Report, ReportRequest, importances, report
from gitxexp.workflows.runs import record

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.trackers.run import Run
    from gitxexp.workflows.checks.intervals import Interval
    from gitxexp.workflows.explore.artifacts import ArtifactPlaces
    from gitxexp.workflows.report.code import CodeFile
    from gitxexp.workflows.report.curves import Curve

#: Maximum rows of a page: more make it slow to open.
MOST_ROWS = 10_000
#: Maximum runs with curves: half the best, half the newest.
MOST_CURVES = 60
#: Maximum metrics with parameter importance.
_MOST_METRICS = 8
#: Maximum handwritten experiments whose artifacts are read from their commits.
_HANDWRITTEN = 50


@dataclass(frozen=True)
class Page:
    """``rows`` are the experiments of the report, in its order, followed by runs without an
    experiment; ``left_out`` counts those beyond the limit. ``parents``, ``intervals`` and the
    commits of ``code`` are per experiment; ``metrics`` lists all metrics, most important first, and
    whether more is better."""

    report: Report
    rows: Sequence[Row]
    experiments: int  #: how many of the rows are experiments
    left_out: int
    metrics: Mapping[str, bool]
    parents: Sequence[str]
    intervals: Mapping[str, Sequence[Interval | None]]
    importance: Mapping[str, Sequence[Importance]]
    curves: Sequence[Curve]
    code: Sequence[CodeFile]
    artifacts: Sequence[Mapping[str, str]]
    places: Sequence[ArtifactPlaces]
    checks: CheckReport | None
    problem: str  #: why there are no checks
    notes: Sequence[str]


def page(project: Project, request: ReportRequest) -> Page:
    """Return everything about the requested experiments. Raises XexpError as :func:`report` does."""
    found = report(project, request)
    everything = list(found.experiments.rows)
    listed = everything[:MOST_ROWS]
    if request.is_whole and project.places.top is not None:  # runs are in a work tree's results
        tagged = {row.field("run") for row in everything}
        every = query.list_experiments(project, query.ListQuery(runs=True)).rows
        everything += [
            row for row in every if row.field("run") not in tagged and row.experiment is None
        ]
    rows = everything[:MOST_ROWS]
    names = ColumnNames(rows)
    metrics = _metrics(project, names, found.metric)
    experiments = [row.experiment for row in listed if row.experiment]
    known = project.experiments()
    parents = dict(zip((one.name for one in known), lineage.parents(project, known), strict=True))
    places, notes = artifacts.artifacts_of_all(project, experiments)
    checks, problem = _checks(project)
    return Page(
        report=found,
        rows=rows,
        experiments=len(listed),
        left_out=len(everything) - len(rows),
        metrics=metrics,
        parents=[parents.get(one.name, "") for one in experiments],
        intervals=noise.intervals_of(project, listed, list(metrics)[:_MOST_METRICS]),
        importance=_importance(found, list(metrics)),
        curves=_curves(project, found, rows, list(metrics)),
        code=code.code_of(project, [one.commit for one in experiments]),
        artifacts=_artifacts(project, listed),
        places=places,
        checks=checks,
        problem=problem,
        notes=notes,
    )


def _metrics(project: Project, names: ColumnNames, first: str | None) -> dict[str, bool]:
    key = describe.key_metrics(dict.fromkeys(names.metrics), project.config)
    order = [*([first] if first else []), *key, *column_names.key_metrics_order(names.metrics)]
    known = query.directions(project.config)
    return {n: column_names.maximize(n, known) for n in dict.fromkeys([*order, *names.metrics])}


def _importance(found: Report, metrics: Sequence[str]) -> dict[str, Sequence[Importance]]:
    rest = [ColumnName("metric", n) for n in metrics[:_MOST_METRICS] if n != found.metric]
    known = {found.metric: found.importance} if found.metric else {}
    return known | importances(found.rows, rest)


def _artifacts(project: Project, rows: Sequence[Row]) -> list[Mapping[str, str]]:
    """Path → content of each experiment's outputs, as far as its tag names them."""
    from gitxexp.workflows.explore.compare import of_experiment

    found: list[Mapping[str, str]] = []
    left = _HANDWRITTEN
    for row in rows:
        said = row.experiment.payload if row.experiment else None
        if row.experiment and said and said.handwritten and left:
            left -= 1
            found.append(of_experiment(project, row.experiment).artifacts)
        else:
            found.append(said.artifacts if said else {})
    return found


def _curves(
    project: Project, found: Report, rows: Sequence[Row], metrics: Sequence[str]
) -> list[Curve]:
    """Those of the best and of the newest runs that are in the results here."""
    if project.places.top is None:
        return []
    try:
        known: dict[str, Run] = {
            run.id: run for run in collect.all_runs(project.top, project.config) if run.series
        }
    except XexpError:  # reported by the checks
        return []
    ids = record.ids_of(record.read(project))
    own = {run: [known[id] for id in ids(run) if id in known]
           for row in rows if (run := str(row.field("run")))}  # fmt: skip
    wanted = [row for row in rows if own.get(str(row.field("run")))]
    newest = wanted[: MOST_CURVES // 2]
    ranked = _ranked(wanted, found) if found.metric else []
    chosen = dict.fromkeys(str(row.field("run")) for row in [*newest, *ranked, *wanted])
    drawn = {(run, each.metric): replace(each, run=run) for run in list(chosen)[:MOST_CURVES]
             for each in reversed(curves.curves(own[run], metrics))}  # fmt: skip
    return list(reversed(drawn.values()))


def _ranked(rows: Sequence[Row], found: Report) -> list[Row]:
    """The best rows by the primary metric."""
    values = column(rows, ColumnName("metric", found.metric or ""))
    known = [
        (amount, at) for at, value in enumerate(values) if (amount := number(value)) is not None
    ]
    known.sort(key=lambda pair: pair[0], reverse=found.maximize)
    return [rows[at] for _, at in known[: MOST_CURVES // 2]]


def _checks(project: Project) -> tuple[CheckReport | None, str]:
    request = CheckRequest()
    try:
        return unchanged.known(project, request) or check(project, request), ""
    except XexpError as error:
        return None, error.message
