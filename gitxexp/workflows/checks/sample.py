"""Samples of a metric from the rows of one configuration or run: its mean or rate with a 95%
interval.

``check``'s rule few-samples and ``explore diff`` share this code, so that both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gitxexp.common.sql import quote
from gitxexp.trackers.databases import Database
from gitxexp.workflows.checks import intervals
from gitxexp.workflows.checks.intervals import Interval


class Sample(NamedTuple):
    """The interval of a metric; ``values`` are given for a mean of few rows, for the bootstrap."""

    interval: Interval
    values: Sequence[float] = ()


class RowSample(NamedTuple):
    """A selection of rows: an item of FROM, a condition, and its parameters."""

    database: Database
    source: str
    condition: str
    params: Sequence[Any]

    def ask(self, picks: str, also: str = "", before: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the values of ``picks``, whose parameters are ``before``; ``also`` is an
        additional condition."""
        where = f"{self.condition} AND {also}" if also else self.condition
        sql = f"SELECT {picks} FROM {self.source} WHERE {where}"
        return list(self.database.rows(sql, [*before, *self.params]))


class Summary(NamedTuple):
    """Statistics of a numeric column: count, sum, minimum and maximum."""

    n: int
    total: float
    ends: frozenset[float]


def of_rate(hits: float, n: int) -> Sample:
    """Wilson's interval of ``hits`` among ``n``. Raises ValueError if ``n`` is 0."""
    return Sample(intervals.wilson(hits, n))


def of_column(rows: RowSample, name: str, known: Summary) -> Sample:
    """The interval of a column's numbers: Wilson's if all are 0 or 1, else a bootstrap of the mean,
    or the normal one for many rows. Needs at least one number."""
    column, n = quote(name), known.n
    if known.ends <= {0, 1} and not rows.ask("1", f"{column} NOT IN (0, 1) LIMIT 1"):
        return of_rate(known.total, n)
    if n < intervals.LARGE:
        values = [float(value) for (value,) in rows.ask(column, f"{column} IS NOT NULL")]
        return Sample(intervals.bootstrap(values), values)
    mean = known.total / n
    ((square,),) = rows.ask(f"sum(({column} - ?) * ({column} - ?))", before=[mean, mean])
    half = intervals.Z * (float(square or 0) / (n - 1) / n) ** 0.5
    return Sample(Interval(mean, mean - half, mean + half, n))


def difference(one: Sample, other: Sample) -> Interval:
    """The interval of ``one`` minus ``other``. Newcombe's square-and-add method also holds for
    means of many rows, whose intervals are symmetric."""
    if one.values and other.values:
        return intervals.difference_of_means(one.values, other.values)
    return intervals.difference_of_rates(one.interval, other.interval)
