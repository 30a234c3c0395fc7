"""Facts about the runs behind models: version, parameters, metrics, labels, time.

Tags come first, because they cannot change; the results databases are read only for runs without a
tag, because that may take long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.values import is_ordered
from gitxexp.repository.config import Config
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.runs.record import RunRecord, loaded, seconds_of

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.trackers.run import Run


class RunFacts(NamedTuple):
    """One run. ``seconds``: when it wrote last (its tag's date), None if unknown."""

    run: str | None = None
    version: str | None = None  #: the newest experiment that names the run
    recorded: str | None = None  #: a version in the run's rows that no tag has
    params: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}
    labels: frozenset[str] = frozenset()
    seconds: float | None = None


NO_FACTS = RunFacts()


class RunIndex:
    """Everything known about runs, read on demand."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.notes: list[str] = []
        self._experiments = project.experiments_later()

    @cached_property
    def experiments(self) -> list[Experiment]:
        """Every experiment, newest first."""
        return self._experiments()

    @cached_property
    def by_run(self) -> dict[str, list[Experiment]]:
        """The experiments of each run, newest first."""
        by_run: dict[str, list[Experiment]] = {}
        for experiment in self.experiments:
            if experiment.payload.run:
                by_run.setdefault(experiment.payload.run, []).append(experiment)
        return by_run

    @cached_property
    def logged(self) -> dict[str, Run]:
        """The runs of the results databases; an unreadable database becomes a note."""
        from gitxexp.workflows.experiments import collect  # late: most listings need no results

        try:
            newest_first = collect.all_runs(self.project.top, self.project.config)
        except XexpError as error:
            self.notes.append(error.message)
            return {}
        by_id: dict[str, Run] = {}
        for run in reversed(newest_first):
            by_id |= dict.fromkeys((part.run for part in run.parts), run)
            by_id[run.id] = run
        return by_id

    @cached_property
    def records(self) -> list[RunRecord]:
        """The run records of the registry, newest first."""
        return [loaded(row) for row in self.project.registry.runs()]

    def recorded(self, run: str) -> RunRecord | None:
        """The record of a run, by its own id or the tracker's."""
        return next((one for one in self.records if one.named(run)), None)

    @cached_property
    def promotions(self) -> list[Promotion]:
        """Every promotion, newest first."""
        return self.project.registry.promotions()

    @cached_property
    def _registry_labels(self) -> dict[str, frozenset[str]]:
        rows = self.project.registry.rows()
        return {version: frozenset(row.labels) for version, row in rows.items()}

    def labels(self, version: str) -> frozenset[str]:
        """The labels of a version that only the registry has."""
        return self._registry_labels.get(version, frozenset())

    def facts(self, run: str | None) -> RunFacts:
        """Return the facts about a run; empty if neither a tag nor a database has it."""
        if run is None:
            return NO_FACTS
        tagged = self.by_run.get(run, ())
        if tagged:
            labels = frozenset(label for e in tagged for label in e.payload.labels)
            return self.facts_at(tagged[0])._replace(labels=labels)
        record = self.recorded(run)
        logged = self.logged.get(run) if record is None or record.tracker_run else None
        if logged is None and record is not None:
            return _facts_of_record(run, record)
        return _facts_of(logged) if logged else RunFacts(run)

    def facts_at(self, experiment: Experiment) -> RunFacts:
        """Return the facts in an experiment's tag."""
        payload = experiment.payload
        return RunFacts(
            run=payload.run or None,
            version=experiment.name,
            params=payload.params,
            metrics=metrics_today(payload.metrics, self.project.config),
            labels=frozenset(payload.labels),
            seconds=float(experiment.date),
        )

    def why_not(self, run: str | None, metric: str) -> str:
        """Return why there is no number: NULL, or the value there instead."""
        row = self.logged.get(run) if run else None
        value = row.values.get(metric) if row else None
        if row is None:
            return "not known"
        if number(value) is not None:  # the tag, which comes first, does not have it
            return f"none in its tag {self.by_run[run][0].name}" if run in self.by_run else "none"
        return "NULL" if value is None else f"'{value}'"


def _facts_of_record(run: str, record: RunRecord) -> RunFacts:
    return RunFacts(
        run=run,
        recorded=record.version or None,
        params=record.params,
        metrics=record.metrics,
        seconds=seconds_of(record.ended),
    )


def _facts_of(run: Run) -> RunFacts:
    from gitxexp.trackers.times import moment  # late, as above

    when = moment(run.ended)
    return RunFacts(
        run=run.id,
        recorded=run.versions[-1] if run.versions else None,
        params=run.params,
        metrics=run.metrics,
        seconds=when.seconds if when.rank == 2 else None,
    )


def metrics_today(metrics: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Return those metrics of a tag that are metrics by today's roles: earlier releases treated
    function times and token counts as metrics."""
    from gitxexp.trackers import column_names
    from gitxexp.trackers.column_names import Role
    from gitxexp.workflows.experiments.column_roles import role_rules  # late, as above

    rules = role_rules(config)

    def is_metric(name: str) -> bool:
        known = rules.decide("", name) or column_names.role_of(name)
        return known is None or known.role is Role.METRIC

    return {name: value for name, value in metrics.items() if is_metric(name)}


def number(value: Any) -> float | None:
    """A metric's value as a number; None for NULL, text, booleans and NaN."""
    return value if is_ordered(value) else None


def primary_metric(project: Project, facts: Iterable[RunFacts]) -> str | None:
    """Return the metric that ranks these models: the configured one, else the best known by its
    name."""
    if project.config.metrics_primary:
        return project.config.metrics_primary
    names = dict.fromkeys(name for each in facts for name in each.metrics)
    return describe.primary_metric(names, project.config)


def check_metric(runs: RunIndex, metric: str, facts: Iterable[RunFacts]) -> None:
    """Raise XexpError with similar names if no model has a metric of that name."""
    from difflib import get_close_matches  # only for an error

    of_models = dict.fromkeys(name for each in facts for name in each.metrics)
    if metric in of_models:
        return
    logged = runs.logged.values()
    rest = f"the metrics of the models are: {', '.join(of_models) or 'none'}"
    if any(metric in run.metrics for run in logged):
        raise XexpError(
            f"no model has a value for {metric}: the runs that have one kept no model", rest
        )
    text = [run.id for run in logged if run.values.get(metric) is not None]
    if text:
        raise XexpError(
            f"{metric} is not a metric (as in run {text[0]}): it cannot rank models", rest
        )
    close = get_close_matches(metric, of_models, 3)
    hint = f"did you mean {' or '.join(close)}?" if close else rest
    raise XexpError(f"no metric is named '{metric}'", hint)
