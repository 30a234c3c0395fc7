"""How much a metric varies by chance.

Two sources: the predictions of runs in the results, which give rates an interval
(:mod:`gitxexp.workflows.checks.differences`), and runs with the same parameters, seeds aside, on
the same code and data, as far as known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.workflows.checks import differences, intervals
from gitxexp.workflows.checks.differences import RecordedRun
from gitxexp.workflows.explore.filters import as_text, finite, missing
from gitxexp.workflows.explore.rows import ColumnName, Row, column
from gitxexp.workflows.report.importance import squares

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.checks.intervals import Interval

#: Number of rows for which intervals of means are computed, by bootstrap if there are few values.
_MEANS = 20
#: Minimum number of repeated runs for a spread to be meaningful.
_LEAST = 5
#: Parameters that change nothing but chance.
_SEEDS = frozenset(("seed", "random_state", "random_seed", "split_seed", "seed_index"))


@dataclass(frozen=True)
class Spread:
    """The pooled standard deviation of a metric over runs with the same parameters, seeds aside: of ``runs``
    runs of ``configurations`` configurations."""

    deviation: float
    runs: int
    configurations: int

    @property
    def is_sure(self) -> bool:
        """Whether there are enough runs to estimate noise."""
        return self.runs - self.configurations >= _LEAST

    @property
    def least(self) -> float:
        """The difference of two runs that chance alone exceeds in 5 of 100 cases."""
        return float(intervals.Z * 2**0.5 * self.deviation)


def spread(rows: Sequence[Row], metric: ColumnName) -> Spread | None:
    """How much ``metric`` varies between rows of one configuration, code and data; None if no two
    rows share them. Rows without parameters, and handwritten tags, which may omit some, do not
    count."""
    groups: dict[Any, list[float]] = {}
    for row, value in zip(rows, column(rows, metric), strict=True):
        amount = finite(value)
        by_hand = row.experiment is not None and row.experiment.payload.handwritten
        if amount is not None and row.params and not by_hand:
            groups.setdefault(_configuration(row), []).append(amount)
    repeated = [values for values in groups.values() if len(values) > 1]
    runs = sum(map(len, repeated))
    total = sum(squares(values) for values in repeated)
    if not repeated or not math.isfinite(total):
        return None
    return Spread((total / (runs - len(repeated))) ** 0.5, runs, len(repeated))


def _configuration(row: Row) -> Any:
    params = frozenset(
        (name, as_text(value))
        for name, value in row.params.items()
        if not missing(value) and name.rpartition(".")[2].lower() not in _SEEDS
    )
    said = row.experiment.payload if row.experiment else None
    code = said.code or said.run_commit if said else row.field("commit")
    return params, code, said.data if said else None


def intervals_of(
    project: Project, rows: Sequence[Row], metrics: Sequence[str]
) -> dict[str, list[Interval | None]]:
    """The 95% interval of each metric in each row, if the rows of its run are in the results and
    allow one; metrics without any interval are left out.

    Accuracies and error rates of all rows; other means, which take longer, of the first :data:`_MEANS` rows.
    """
    if project.places.top is None:
        return {}
    runs = [_recorded(row, metrics) for row in rows]
    known = differences.rates(project, runs)
    left = [
        run._replace(metrics={n: value for n, value in run.metrics.items() if n not in found})
        for run, found in zip(runs[:_MEANS], known, strict=False)
    ]
    for found, means in zip(known, differences.samples_of_each(project, left), strict=False):
        found |= means
    return {
        name: [one[name].interval if name in one else None for one in known]
        for name in metrics
        if any(name in one for one in known)
    }


def _recorded(row: Row, metrics: Sequence[str]) -> RecordedRun:
    values = {name: ColumnName("metric", name).value(row) for name in metrics}
    return RecordedRun(str(row.field("run") or ""), str(row.field("version") or ""), values)


def ties(best: Interval, others: Mapping[str, Interval]) -> list[str]:
    """Return the names of those indistinguishable from the best: the interval of the difference
    contains 0."""
    return [
        name
        for name, other in others.items()
        if not intervals.difference_of_rates(best, other).excludes(0)
    ]
