"""Aggregate the runs of a large SQLite table range by range, if the rows of each are contiguous.

``GROUP BY`` would sort all rows. Here bisection finds the range of rowids of each run. A few of its
rows show what to expect of a column: one value in all rows, or no NULL and known extremes. The
expectations become the condition of the statement: if it leaves no row out, they hold for all rows,
and only the other columns need aggregates, each of which costs as much as many comparisons. If rows
are left out, the range is aggregated without expectations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gitxexp.trackers.databases import Database

#: Rows of a range that show what to expect.
_SAMPLE = 32
#: Distinct values in these rows up to which a column is expected to have no others.
_FEW = 4


class Aggregates(NamedTuple):
    """The aggregates of a column: the rows in which the expression ``value`` is not NULL, and where
    wanted its extremes and the sum ``total``."""

    value: str
    extremes: bool = False
    total: str = ""

    @property
    def items(self) -> list[str]:
        """The aggregates in SQL, in order."""
        ends = [f"min({self.value})", f"max({self.value})"] if self.extremes else []
        return [f"count({self.value})", *ends, *([self.total] if self.total else [])]


class RowRange(NamedTuple):
    """The rows of a run, by rowid."""

    run: Any
    first: int
    last: int


def ranges(database: Database, source: str, run: str, most: int) -> list[RowRange] | None:
    """The range of each run of a table with ``run`` as its column, where each is contiguous; None if
    runs are known not to be, or if they are more than ``most``."""

    def after(rowid: int, value: Any) -> tuple[Any, ...] | None:
        """The next row, its run, and whether that is ``value``."""
        sql = (
            f"SELECT rowid, {run}, {run} IS ? FROM {source} WHERE rowid >= ? ORDER BY rowid LIMIT 1"
        )
        return next(iter(database.rows(sql, [value, rowid])), None)

    ((end,),) = database.rows(f"SELECT max(rowid) FROM {source}")
    found: list[RowRange] = []
    seen: set[Any] = set()
    begin = after(-(1 << 63), None)
    while begin is not None:
        first, value, _ = begin
        low, high = first, end + 1
        while high - low > 1:
            middle = (low + high) // 2
            row = after(middle, value)
            if row is not None and row[0] < high and row[2]:
                low = row[0]
            else:
                high = middle
        if value in seen or len(found) == most:
            return None
        seen.add(value)
        found.append(RowRange(value, first, low))
        begin = after(low + 1, None) if low < end else None
    return found


@dataclass(frozen=True)
class Ranges:
    """The ranges of a table, and what to aggregate: ``first`` as it stands, and of each column what is
    wanted."""

    database: Database
    source: str
    run: str
    each: Sequence[RowRange]
    first: Sequence[str]
    wanted: Mapping[str, Aggregates]

    def rows(self) -> list[list[Any]] | None:
        """A row per run: its id, the number of its rows, the first and the last rowid, and the values of
        ``first`` and of the items of each column; None if a range has rows of another run."""
        found = []
        expecting = True
        for one in self.each:
            row = self._expected(one) if expecting else None
            if row is None:
                expecting = False  # the columns of this table are not as their samples
                row = self._aggregated(one)
            if row is None:
                return None
            found.append(row)
        return found

    def _aggregated(self, one: RowRange) -> list[Any] | None:
        items = [item for each in self.wanted.values() for item in each.items]
        picks = ", ".join(["count(*)", f"sum(NOT ({self.run} IS ?))", *self.first, *items])
        sql = f"SELECT {picks} FROM {self.source} WHERE rowid BETWEEN ? AND ?"
        ((count, others, *values),) = self.database.rows(sql, [one.run, one.first, one.last])
        return None if others else [one.run, count, one.first, one.last, *values]

    def _expected(self, one: RowRange) -> list[Any] | None:
        """The row of a range by expectations; None if a row does not meet them."""
        sample = self._sample(one)
        columns = [
            _expectation(each, [row[at] for row in sample])
            for at, each in enumerate(self.wanted.values())
        ]
        asked = [item for column in columns for item in column.asked]
        tests = [f"{self.run} IS ?", *(column.test for column in columns if column.test)]
        within = f"FROM {self.source} WHERE rowid BETWEEN ? AND ?"
        sql = f"SELECT {', '.join(['count(*)', *self.first, *asked])} {within} AND {' AND '.join(tests)}"
        params = [one.first, one.last, one.run, *(p for column in columns for p in column.params)]
        ((count, *values),) = self.database.rows(sql, params)
        if count != one.last - one.first + 1:  # rows were deleted, or do not meet the expectations
            ((every,),) = self.database.rows(f"SELECT count(*) {within}", params[:2])
            if count != every:
                return None
        got = iter(values)
        own = [next(got) for _ in self.first]
        for each, column in zip(self.wanted.values(), columns, strict=True):
            own += column.values(each, count, got)
        return [one.run, count, one.first, one.last, *own]

    def _sample(self, one: RowRange) -> list[tuple[Any, ...]]:
        """Of some rows, the first and the last among them, the values; of a column without extremes whether
        there is one."""
        picks = (
            each.value if each.extremes else f"nullif({each.value} IS NOT NULL, 0)"
            for each in self.wanted.values()
        )
        step = max((one.last - one.first) // (_SAMPLE - 1), 1)
        rowids = sorted({*range(one.first, one.last + 1, step), one.last})
        marks = ", ".join("?" * len(rowids))
        sql = (
            f"SELECT {', '.join(picks)} FROM {self.source} WHERE rowid IN ({marks}) ORDER BY rowid"
        )
        return list(self.database.rows(sql, rowids))


@dataclass(frozen=True)
class _Expectation:
    """What to expect of a column: ``test`` is true of each row if no row of it has NULL, and where
    ``ends`` are given no value beyond these. ``asked`` are the aggregates that are not known then."""

    asked: Sequence[str]
    test: str = ""
    params: Sequence[Any] = ()
    ends: Sequence[Any] = field(default=())

    def values(self, wanted: Aggregates, count: int, got: Iterator[Any]) -> list[Any]:
        """The values of the items of ``wanted`` in ``count`` rows, those asked for being ``got``."""
        if not self.test:
            return [next(got) for _ in self.asked]
        rest = [next(got) for _ in self.asked]
        if wanted.total and not self.asked:  # all rows have one value
            rest = [float(self.ends[0]) * count]
        return [count, *self.ends, *rest]


def _expectation(wanted: Aggregates, sample: Sequence[Any]) -> _Expectation:
    value, items = wanted.value, wanted.items
    if not sample or any(each is None for each in sample):
        return _Expectation(items)
    if not wanted.extremes:
        return _Expectation((), f"{value} IS NOT NULL")
    first, last = sample[0], sample[-1]
    number = isinstance(first, int | float)
    if all(type(each) is type(first) and each == first for each in sample):
        if number or not wanted.total:
            return _Expectation((), f"{value} IS ?", (first,), (first, first))
    elif not wanted.total and (number or isinstance(first, str)):
        alike = (int, float) if number else str
        if all(isinstance(each, alike) for each in sample):
            least, most = min(sample), max(sample)
            if (least, most) == (first, last) or len(set(sample)) <= _FEW:
                return _Expectation((), f"{value} BETWEEN ? AND ?", (least, most), (least, most))
    return _Expectation(items[1:], f"{value} IS NOT NULL")
