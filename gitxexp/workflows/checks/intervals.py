"""95% intervals of a rate, of a mean, and of the difference of two.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
(1927); R. G. Newcombe, "Interval estimation for the difference between independent proportions",
Statistics in Medicine 17 (1998), method 10; B. Efron and R. Tibshirani, "An Introduction to the Bootstrap"
(1993), chapter 13 (percentile intervals).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

#: The 97.5th percentile of the normal distribution.
Z = 1.959963984540054
#: Resamples of a bootstrap.
RESAMPLES = 2_000
#: From this many values on, the mean of resamples is treated as normal.
LARGE = 500


class Interval(NamedTuple):
    """From ``low`` to ``high``, around ``value``, of ``n`` observations."""

    value: float
    low: float
    high: float
    n: int

    def excludes(self, value: float) -> bool:
        """Whether ``value`` is outside the interval."""
        return value < self.low or value > self.high


def wilson(hits: float, n: int) -> Interval:
    """The score interval of a rate; raises ValueError without observations."""
    if n <= 0:
        raise ValueError("a rate of nothing")
    rate, square = hits / n, Z * Z
    middle = (rate + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * math.sqrt(rate * (1 - rate) / n + square / (4 * n * n))
    low = 0.0 if hits <= 0 else max(0.0, middle - half)
    high = 1.0 if hits >= n else min(1.0, middle + half)
    return Interval(rate, low, high, n)


def difference_of_rates(one: Interval, other: Interval) -> Interval:
    """Of ``one`` minus ``other``, both from :func:`wilson` (Newcombe's method 10)."""
    delta = one.value - other.value
    low = math.hypot(one.value - one.low, other.high - other.value)
    high = math.hypot(one.high - one.value, other.value - other.low)
    return Interval(delta, delta - low, delta + high, min(one.n, other.n))


def bootstrap(values: Sequence[float]) -> Interval:
    """The percentile interval of the mean, the same each time; normal from :data:`LARGE` values on.

    Raises ValueError without observations.
    """
    if not values:
        raise ValueError("a mean of nothing")
    n, mean = len(values), math.fsum(values) / len(values)
    if n >= LARGE:
        # avoids squares, which overflow for large values
        spread = math.dist(values, (mean,) * n) / math.sqrt((n - 1) * n)
        return Interval(mean, mean - Z * spread, mean + Z * spread, n)
    low, high = _percentiles(_resampled(tuple(values)))
    return Interval(mean, low, high, n)


def difference_of_means(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Of the mean of ``one`` minus that of ``other``: the percentile bootstrap of two samples."""
    a, b = bootstrap(one), bootstrap(other)
    delta, n = a.value - b.value, min(a.n, b.n)
    if a.n >= LARGE or b.n >= LARGE:
        half = math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2)
        return Interval(delta, delta - half, delta + half, n)
    means = zip(_resampled(tuple(one)), _resampled(tuple(other)), strict=True)
    low, high = _percentiles([x - y for x, y in means])
    return Interval(delta, low, high, n)


@lru_cache(64)
def _resampled(values: tuple[float, ...]) -> list[float]:
    """The means of resamples. Different values give independent ones, the same values the same."""
    source, n = random.Random(repr(values)), len(values)
    return [sum(source.choices(values, k=n)) / n for _ in range(RESAMPLES)]


def _percentiles(means: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(means)
    cut = int(RESAMPLES * 0.025)
    return ordered[cut], ordered[-cut - 1]
