"""Sums up the rows of one run, and tells its parameters from its metrics.

A tracker's row holds both. For every column, the first rule that fits decides:

1. The caller's lists (``.xexp/config.toml``): a name in one of them is what it says.
2. Ids, timestamps, versions, commits, machine load and counters (``epoch``, ``step``) are neither.
   Nor is any other column whose value is a date with a time of day: it differs in every run, so no
   two would have the same configuration.
3. A name known as a metric (:func:`gitxexp.naming.is_metric_name`) is one if it has a number;
   ``error`` without one is a message, and neither.
4. A name known as a parameter is one if it is the same in all rows of the run, else neither.
5. Numbers that vary: a metric if any of them is a float, else neither (an index, a label).
6. Numbers in some rows only, in a run of several: a metric, since trackers attach parameters to
   every row.
7. Anything else that is the same in all rows: a parameter.

The value of a metric is the last number by timestamp (then by position), because the rows
of a run are its progress; choosing among runs is ``best_run``'s task.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from gitxexp import naming
from gitxexp.results.tables import Table
from gitxexp.results.times import NEVER, Moment, is_instant, moment


class Names(NamedTuple):
    """Columns that the caller knows to be parameters and metrics."""

    params: frozenset[str]
    metrics: frozenset[str]

    @classmethod
    def of(cls, params: Collection[str], metrics: Collection[str]) -> Names:
        """From any collections."""
        return cls(frozenset(params), frozenset(metrics))


@dataclass(slots=True)
class Column:
    """What is known of one column within one run."""

    count: int = 0  #: rows with a value
    value: Any = None  #: the last one
    when: Moment = NEVER
    number: float | int | None = None  #: the last one that is a number
    number_when: Moment = NEVER
    constant: bool = True
    numeric: bool = True  #: every value is a number
    has_float: bool = False

    def add(self, value: Any, when: Moment) -> None:
        """Take one non-NULL value in."""
        kind = type(value)
        number = kind is float or kind is int or kind is Decimal
        self.numeric &= number
        self.has_float |= number and kind is not int
        if self.count and self.constant and value != self.value and value == value:
            self.constant = False
        if not self.count or when >= self.when:
            self.value, self.when = value, when
        if number and (self.number is None or when >= self.number_when):
            self.number = float(value) if kind is Decimal else value
            self.number_when = when
        self.count += 1

    def repeat(self, when: Moment) -> None:
        """Take in, at a time not before any other, a value equal to the last one."""
        self.count += 1
        self.when = when
        if self.number is not None and self.number == self.value:
            self.number_when = when


class RunRows:
    """The rows of one run, seen one at a time and never kept."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.count = 0
        self.first = self.last = NEVER
        self.columns = [Column() for _ in table.columns]
        self._time = table.columns.index(table.time_column) if table.time_column else None
        tracked = {*table.version_columns, *table.commit_columns}
        self._seen: dict[str, dict[str, None]] = {name: {} for name in tracked}

    def add(self, values: Sequence[Any]) -> None:
        """Take one row in: its values in the order of the table's columns."""
        when = NEVER if self._time is None else moment(values[self._time])
        if when.rank and (not self.first.rank or when < self.first):
            self.first = when
        newest = when >= self.last
        if newest:
            self.last = when
        self.count += 1
        for column, value in zip(self.columns, values, strict=True):
            if value is None:
                continue
            if newest and value == column.value:  # most cells repeat the row before
                column.repeat(when)
            else:
                column.add(value, when)
        for name, seen in self._seen.items():
            value = values[self.table.columns.index(name)]
            if value is not None:
                seen[str(value)] = None

    def distinct(self, names: Sequence[str]) -> tuple[str, ...]:
        """The distinct non-NULL values of some version or commit columns, first seen first."""
        return tuple(dict.fromkeys(value for name in names for value in self._seen[name]))

    def values(self) -> dict[str, Any]:
        """The last non-NULL value of every column that has one; binary values are left out."""
        pairs = zip(self.table.columns, self.columns, strict=True)
        return {
            name: plain(column.value)
            for name, column in pairs
            if column.count and not isinstance(column.value, bytes | bytearray | memoryview)
        }

    def split(self, names: Names) -> tuple[dict[str, Any], dict[str, float | int]]:
        """``(params, metrics)`` by the rules of this module."""
        params: dict[str, Any] = {}
        metrics: dict[str, float | int] = {}
        states = dict(zip(self.table.columns, self.columns, strict=True))
        for name, value in self.values().items():
            kind = self._kind(name, states[name], names)
            number = states[name].number
            if kind == "param":
                params[name] = value
            elif kind == "metric" and number is not None:
                metrics[name] = number
        return params, metrics

    def _kind(self, name: str, column: Column, names: Names) -> str | None:
        if name in names.params:
            return "param"
        if name in names.metrics:
            return "metric"
        own = (self.table.run_column, self.table.time_column)
        if name in own or name.lower() == "id" or name in self.table.version_columns:
            return None
        if naming.is_bookkeeping(name) or naming.is_counter(name):
            return None
        if naming.is_metric_name(name) and (column.number is not None or name.lower() == "error"):
            return "metric"
        if naming.is_param_name(name):
            return "param" if column.constant else None
        if is_instant(column.value):
            return None
        if not column.constant:
            return "metric" if column.numeric and column.has_float else None
        if column.numeric and column.count < self.count:
            return "metric"
        return "param" if column.count == self.count else None


def plain(value: Any) -> Any:
    """A value that JSON and TOML can hold: DuckDB's dates, decimals and UUIDs as text or float."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)
