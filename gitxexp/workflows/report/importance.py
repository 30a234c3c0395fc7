"""How strongly each parameter relates to a metric, over the existing runs.

The rank correlation is Spearman's: Pearson's of the ranks, ties with their mean rank. The share of
the variance is eta squared: the variance between groups of equal values, divided by the total. Both
describe association in these runs, not causation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.repository.tag_message import show_all
from gitxexp.workflows.explore.filters import finite, missing, number

#: Minimum number of runs: with two or three any parameter explains everything.
LEAST_RUNS = 5
#: Standard deviations that chance exceeds less than once in a hundred times.
_RARE = 2.6


@dataclass(frozen=True)
class Importance:
    """``correlation`` from -1 to 1, None if values are not numbers or are all equal; ``share`` from
    0 to 1, None if every run has a different value; ``runs`` is the number with both the parameter
    and the metric, ``values`` the number of distinct parameter values."""

    name: str
    correlation: float | None
    share: float | None
    runs: int
    values: int

    @property
    def beyond_chance(self) -> float:
        """The larger excess of either measure over chance for a parameter with as many values in as
        many runs; 0 if there is none.

        Without any effect r sqrt((n - 2)/(1 - r^2)) of a correlation r has Student's t distribution (Kendall,
        Rank Correlation Methods), and the share deviates from (k - 1)/(n - 1) by sqrt(2(k - 1)(n - k)/(n +
        1))/(n - 1) (a beta distribution, as that of R squared is).
        """
        n, k = self.runs, self.values
        t = _RARE + 8 / (n - 2)  # approximately the 99th percentile
        correlation = abs(self.correlation or 0.0)
        if correlation < t / math.sqrt(n - 2 + t * t):
            correlation = 0.0
        usual = (k - 1) / (n - 1)
        spread = math.sqrt(2 * (k - 1) * (n - k) / (n + 1)) / (n - 1)
        share = self.share or 0.0
        return max(
            correlation, (share - usual) / (1 - usual) if share > usual + _RARE * spread else 0
        )


class Params:
    """The parameters of some runs, read once for any number of metrics; values are in run order,
    None if missing."""

    def __init__(self, params: Mapping[str, Sequence[Any]]) -> None:
        self._columns = {name: _Column(values) for name, values in params.items()}

    def importance(self, metric: Sequence[Any]) -> list[Importance]:
        """Return each varying parameter, strongest first."""
        amounts = [finite(result) for result in metric]
        found = []
        for name, values in self._columns.items():
            at = [n for n in values.present if amounts[n] is not None]
            if len(at) >= LEAST_RUNS and len({values.texts[n] for n in at}) > 1:
                results = [float(amounts[n] or 0) for n in at]
                found.append(_of(name, values, at, results))
        return sorted(found, key=_weight, reverse=True)


class _Column:
    """A parameter's values as texts, and as numbers if possible; with the indices of present
    values."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.present = [at for at, value in enumerate(values) if not missing(value)]
        self.texts = show_all(values)
        self.numbers = [number(value) for value in values]


def _weight(one: Importance) -> tuple[float, float]:
    """With many values in few runs each, chance alone makes the share large."""
    return one.beyond_chance, max(abs(one.correlation or 0.0), one.share or 0.0)


def _of(name: str, values: _Column, at: Sequence[int], amounts: Sequence[float]) -> Importance:
    known = [float(n) for place in at if (n := values.numbers[place]) is not None]
    correlation = _pearson(_ranks(known), _ranks(amounts)) if len(known) == len(at) else None
    groups = [values.texts[n] for n in at]
    return Importance(name, correlation, _share(groups, amounts), len(at), len(set(groups)))


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value; ties share the mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for at in order[start:end]:
            ranks[at] = (start + end - 1) / 2
        start = end
    return ranks


def _pearson(one: Sequence[float], other: Sequence[float]) -> float | None:
    mean, other_mean = sum(one) / len(one), sum(other) / len(other)
    spread = sum((x - mean) ** 2 for x in one) * sum((y - other_mean) ** 2 for y in other)
    if not spread:
        return None
    together = sum((x - mean) * (y - other_mean) for x, y in zip(one, other, strict=True))
    return float(together / spread**0.5)


def squares(values: Sequence[float]) -> float:
    """The sum of squared deviations from the mean, which may be infinite."""
    mean = sum(values) / len(values)
    apart = [value - mean for value in values]
    return sum(each * each for each in apart)  # ** raises OverflowError instead


def _share(groups: Sequence[str], amounts: Sequence[float]) -> float | None:
    by_group: dict[str, list[float]] = {}
    for group, amount in zip(groups, amounts, strict=True):
        by_group.setdefault(group, []).append(amount)
    mean = sum(amounts) / len(amounts)
    total = squares(amounts)
    if not 0 < total < math.inf or len(by_group) == len(amounts):
        return None
    means = [(len(each), sum(each) / len(each) - mean) for each in by_group.values()]
    between = sum(count * apart * apart for count, apart in means)
    return min(between / total, 1.0)
