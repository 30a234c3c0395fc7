"""Runs: the rows of one training, summed up into parameters and metrics.

Sums up the rows of one run, and tells its parameters from its metrics.

A tracker's row holds both. For every column, the first rule that fits decides:

1. The caller's lists (``.xexp/config.toml``): a name in one of them is what it says.
2. Ids, timestamps, versions, commits, machine load and counters (``epoch``, ``step``) are neither.
   Nor is any other column whose value is a date with a time of day: it differs in every run, so no
   two would have the same configuration.
3. A name known as a metric (:func:`gitxexp.trackers.column_names.is_metric_name`) is one if it has a number;
   ``error`` without one is a message, and neither.
4. A name known as a parameter is one if it is the same in all rows of the run, else neither.
5. Numbers that vary: a metric if any of them is a float, else neither (an index, a label).
6. Numbers in some rows only, in a run of several: a metric, since trackers attach parameters to
   every row.
7. Anything else that is the same in all rows: a parameter.

The value of a metric is the last number by timestamp (then by position), because the rows
of a run are its progress; choosing among runs is ``best_run``'s task.

How many rows each run of a results database has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.errors import NoAnswer
from gitxexp.trackers import column_names
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.tables import Table, quoted, tables_of
from gitxexp.trackers.times import NEVER, Moment, is_instant, moment


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tracker.

    ``first`` and ``last`` are the earliest and latest timestamps, as the tracker wrote them.
    ``values`` holds the last non-NULL value of every column; ``params`` and ``metrics`` the part
    of them that configures and measures (see :mod:`gitxexp.trackers.runs`). ``versions`` and
    ``commits`` are the distinct ones found in the run's rows.
    """

    id: str
    table: str
    database: Path
    first: str | None
    last: str | None
    rows: int
    params: dict[str, Any]
    metrics: dict[str, float | int]
    values: dict[str, Any]
    versions: tuple[str, ...]
    commits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Best:
    """The winner of a sweep; ``ties``: ids of older runs with the same value, newest first."""

    run: Run
    value: float
    ties: tuple[str, ...]
    considered: int  #: runs that have the metric


def runs(
    path: Path,
    table: str | None = None,
    *,
    param_names: Collection[str] = (),
    metric_names: Collection[str] = (),
) -> list[Run]:
    """Every run of the database (of ``table``, or of all event tables), newest first.

    A run that wrote to two tables is listed once for each. Runs without a readable timestamp
    come last. Raises XexpError when the file is not a readable database.
    """
    names = Names.of(param_names, metric_names)

    def action(database: Database) -> list[tuple[Moment, Run]]:
        tables = tables_of(database, table)
        return [pair for each in tables for pair in _summed(database, each, names)]

    return [run for _, run in _newest_first(reading(path, action))]


def latest_run(
    path: Path,
    table: str | None = None,
    *,
    param_names: Collection[str] = (),
    metric_names: Collection[str] = (),
) -> Run | None:
    """The run that wrote last, or None if there is none; reads no other run's columns."""
    names = Names.of(param_names, metric_names)

    def action(database: Database) -> Run | None:
        found = [(*_last_writer(database, t), t) for t in tables_of(database, table)]
        present = [(when, run, t) for when, run, t in found if run is not None]
        if not present:
            return None
        _, run, where = max(present, key=lambda item: item[0])
        return next(run for _, run in _summed(database, where, names, run))

    return reading(path, action)


def find_run(
    path: Path,
    id: str,
    table: str | None = None,
    *,
    param_names: Collection[str] = (),
    metric_names: Collection[str] = (),
) -> Run:
    """The run named ``id`` (of several tables, where it wrote last).

    Raises XexpError naming similar ids when there is none.
    """
    names = Names.of(param_names, metric_names)

    def action(database: Database) -> list[tuple[Moment, Run]]:
        tables = tables_of(database, table)
        return [pair for each in tables for pair in _summed(database, each, names, id)]

    found = _newest_first(reading(path, action))
    if not found:
        raise NoAnswer(f"no run {id} in {path}", _candidates(path, id, table))
    return found[0][1]


def best_run(
    path: Path,
    metric: str,
    maximize: bool,
    table: str | None = None,
    *,
    param_names: Collection[str] = (),
    metric_names: Collection[str] = (),
) -> Best:
    """The run with the best value of ``metric``.

    A run's value is its last non-NULL one. Runs in which it is missing, text or NaN do not
    compete. Of equal runs the newest wins and the others are reported. Raises XexpError when no
    run has the metric.
    """
    every = runs(path, table, param_names=param_names, metric_names={*metric_names, metric})
    able = [(run, run.metrics[metric]) for run in every if _is_number(run.metrics.get(metric))]
    if not able:
        known = sorted({name for run in every for name in run.metrics} - {metric})
        hint = f"metrics there: {', '.join(known)}" if known else "no run has a numeric metric"
        raise NoAnswer(f"no run in {path} has a number for {metric}", hint)
    top = (max if maximize else min)(value for _, value in able)
    winners = [run for run, value in able if value == top]
    return Best(winners[0], top, tuple(run.id for run in winners[1:]), len(able))


_XETRACK_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def _newest_first(found: Iterable[tuple[Moment, Run]]) -> list[tuple[Moment, Run]]:
    """By last timestamp; among equals the one that the database listed later is the newer."""
    latest_listed_first = list(found)[::-1]
    return sorted(latest_listed_first, key=lambda pair: pair[0], reverse=True)


def _last_writer(database: Database, table: Table) -> tuple[Moment, str | None]:
    """When and which run wrote last; reads two columns, never the whole table."""
    time = quoted(table.time_column) if table.time_column else "NULL"
    best: tuple[Moment, str | None] = (moment(None), None)
    plain: tuple[str, str | None] = ("", None)  # the same of texts that compare as they stand
    for run, value in database.rows(f"SELECT {table.run_id}, {time} FROM {quoted(table.name)}"):
        if type(value) is str and _XETRACK_TIME.fullmatch(value):
            if value >= plain[0]:
                plain = value, run
            continue
        when = moment(value)
        if best[1] is None or when >= best[0]:
            best = when, run
    if plain[1] is None:
        return best
    return max((moment(plain[0]), plain[1]), best, key=lambda found: found[0])


def _summed(
    database: Database, table: Table, names: Names, run: str | None = None
) -> list[tuple[Moment, Run]]:
    """The runs of one table (only ``run``, if given), each with the time of its last row."""
    where = "" if run is None else f" WHERE {table.run_id} = ?"
    columns = ", ".join(quoted(column) for column in table.columns)
    sql = f"SELECT {table.run_id}, {columns} FROM {quoted(table.name)}{where}"
    found: dict[str, RunRows] = {}
    for id, *values in database.rows(sql, [] if run is None else [run]):
        rows = found.get(id)
        if rows is None:
            rows = found[id] = RunRows(table)
        rows.add(values)
    return [(rows.last, _run(id, table, database.path, rows, names)) for id, rows in found.items()]


def _run(id: str, table: Table, path: Path, rows: RunRows, names: Names) -> Run:
    params, metrics = rows.split(names)
    return Run(
        id=id,
        table=table.name,
        database=path,
        first=rows.first.text,
        last=rows.last.text,
        rows=rows.count,
        params=params,
        metrics=metrics,
        values=rows.values(),
        versions=rows.distinct(table.version_columns),
        commits=rows.distinct(table.commit_columns),
    )


def _candidates(path: Path, id: str, table: str | None) -> str:
    from difflib import get_close_matches  # only for an error

    known = [run.id for run in runs(path, table)]
    near = [run for run in known if run.startswith(id)] or get_close_matches(id, known, 5, 0.4)
    listed = near or known
    if not listed:
        return "the database holds no runs"
    more = f" … ({len(known)} runs)" if len(known) > 5 else ""
    return f"runs there: {', '.join(listed[:5])}{more}"


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
        if column_names.is_bookkeeping(name) or column_names.is_counter(name):
            return None
        if column_names.is_metric_name(name) and (
            column.number is not None or name.lower() == "error"
        ):
            return "metric"
        if column_names.is_param_name(name):
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


def run_rows(path: Path, table: str | None = None) -> dict[tuple[str, str], int]:
    """The number of rows by (table, run), of ``table`` or of all tables of runs.

    Raises XexpError when the file is not a readable database.
    """

    def action(database: Database) -> dict[tuple[str, str], int]:
        tables = tables_of(database, table)
        return {(t.name, run): int(rows) for t in tables for run, rows in _count(database, t)}

    return reading(path, action)


def _count(database: Database, table: Table) -> list[tuple[str, int]]:
    sql = f"SELECT {table.run_id}, count(*) FROM {quoted(table.name)} GROUP BY 1"
    return [(run, rows) for run, rows in database.rows(sql)]
