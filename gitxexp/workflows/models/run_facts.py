"""What is known of the runs behind models: version, parameters, metrics, labels, time.

A tag is asked first, because it cannot change; the results databases only for runs that no tag
names, because reading them may take long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.workflows.experiments import describe

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.trackers.runs import Run


class Facts(NamedTuple):
    """One run. ``seconds``: when it wrote last (its tag's date), None when not known."""

    run: str | None = None
    version: str | None = None  #: the newest experiment that names the run
    recorded: str | None = None  #: a version in the run's rows that no tag has
    params: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}
    labels: frozenset[str] = frozenset()
    seconds: float | None = None


NOTHING = Facts()


class Book:
    """Everything known of runs, read when it is asked for."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.notes: list[str] = []
        self._begun = project.experiments_later()

    @cached_property
    def experiments(self) -> list[Experiment]:
        """Every experiment, newest first."""
        return self._begun()

    @cached_property
    def by_run(self) -> dict[str, list[Experiment]]:
        """The experiments of each run, newest first."""
        found: dict[str, list[Experiment]] = {}
        for experiment in self.experiments:
            if experiment.payload.run:
                found.setdefault(experiment.payload.run, []).append(experiment)
        return found

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The runs of the results databases; a database that cannot be read is noted."""
        from gitxexp.workflows.experiments import collect  # late: most listings need no results

        try:
            found = collect.all_runs(self.project.top, self.project.config)
        except XexpError as error:
            self.notes.append(error.message)
            return {}
        return {run.id: run for run in reversed(found)}

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

    def of(self, run: str | None) -> Facts:
        """What is known of a run; nothing of one that neither a tag nor a database names."""
        if run is None:
            return NOTHING
        tagged = self.by_run.get(run, ())
        if tagged:
            labels = frozenset(label for e in tagged for label in e.payload.labels)
            newest = tagged[0]
            said = newest.payload
            return Facts(
                run, newest.name, None, said.params, said.metrics, labels, float(newest.date)
            )
        found = self.runs.get(run)
        return _of_run(found) if found else Facts(run)

    def of_experiment(self, experiment: Experiment) -> Facts:
        """What a tag says."""
        said = experiment.payload
        labels, date = frozenset(said.labels), float(experiment.date)
        return Facts(
            said.run or None, experiment.name, None, said.params, said.metrics, labels, date
        )

    def known(self, run: str) -> bool:
        """Whether a tag or a results database names the run."""
        return run in self.by_run or run in self.runs

    def why_not(self, run: str | None, metric: str) -> str:
        """Why there is no number: NULL, or what stands there instead."""
        row = self.runs.get(run) if run else None
        value = row.values.get(metric) if row else None
        if row is None:
            return "not known"
        if number(value) is not None:  # the tag, which is asked first, does not have it
            return f"none in its tag {self.by_run[run][0].name}" if run in self.by_run else "none"
        return "NULL" if value is None else f"'{value}'"


def _of_run(run: Run) -> Facts:
    from gitxexp.trackers.times import moment  # late, as above

    when = moment(run.last)
    return Facts(
        run=run.id,
        recorded=run.versions[-1] if run.versions else None,
        params=run.params,
        metrics=run.metrics,
        seconds=when.seconds if when.rank == 2 else None,
    )


def number(value: Any) -> float | None:
    """A metric's value as a number; None for NULL, text, truth values and NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return value


def primary(project: Project, found: Iterable[Facts]) -> str | None:
    """The metric that ranks these models: the configured one, else the best known by its name."""
    if project.config.metrics_primary:
        return project.config.metrics_primary
    names = dict.fromkeys(name for facts in found for name in facts.metrics)
    return describe.primary_metric(names, project.config)


def check_metric(book: Book, metric: str, found: Iterable[Facts]) -> None:
    """Raises XexpError with similar names when nothing has a metric of that name."""
    from difflib import get_close_matches  # only for an error

    known = dict.fromkeys(name for facts in found for name in facts.metrics)
    if metric in known:
        return
    known |= dict.fromkeys(name for run in book.runs.values() for name in run.metrics)
    text = [run.id for run in book.runs.values() if run.values.get(metric) is not None]
    if metric in known:
        raise XexpError(
            f"no model has a number for {metric}",
            "rank by another metric; there are: " + ", ".join(known),
        )
    if text:
        raise XexpError(
            f"{metric} is text (as in run {text[0]}): it cannot rank models",
            f"the metrics are: {', '.join(known) or 'none'}",
        )
    close = get_close_matches(metric, known, 3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(known)}"
    raise XexpError(f"no metric is named '{metric}'", hint if known else "no run has a metric")
