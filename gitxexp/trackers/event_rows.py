"""Summarise the rows of one table of runs, run by run, without keeping any row.

The value of a metric is the last number by timestamp (then by position), because the rows of a run
are its progress; choosing among runs is done elsewhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.common.values import is_number
from gitxexp.tables.rules import STAMPS
from gitxexp.trackers import column_names, roles
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.databases import Database
from gitxexp.trackers.logged import Logged
from gitxexp.trackers.roles import ColumnValues, RoleDecision, RoleRules
from gitxexp.trackers.run import Window
from gitxexp.trackers.tables import RunTable
from gitxexp.trackers.times import NEVER, Moment, moment

#: xetrack 0.7's own columns (``config.py``, ``tracker.py``: ``_run_func``, ``_apply_system_params``).
XETRACK_COLUMNS = frozenset(
    ("function_name", "function_time", "function_result", "args", "kwargs", "error", "cache",
     "git_commit_hash", "cpu_percent", "ram_percent", "p_memory_percent", "disk_percent",
     "bytes_sent", "bytes_recv")
)  # fmt: skip


@dataclass(slots=True)
class RunColumn:
    """What is known about one column within one run."""

    count: int = 0  #: rows with a value
    value: Any = None  #: the last one
    when: Moment = NEVER
    number: float | int | None = None  #: the last one that is a number
    number_when: Moment = NEVER
    constant: bool = True
    numeric: bool = True  #: every value is a number
    has_float: bool = False
    flags: bool = True  #: every value is 0 or 1

    def add(self, value: Any, when: Moment) -> None:
        """Add one non-NULL value."""
        kind = type(value)
        number = kind is float or kind is int or kind is Decimal
        self.numeric &= number
        self.has_float |= number and kind is not int
        self.flags &= number and value in (0, 1)
        if self.count and self.constant and value != self.value and value == value:
            self.constant = False
        if not self.count or when >= self.when:
            self.value, self.when = value, when
        if number and (self.number is None or when >= self.number_when):
            self.number = float(value) if kind is Decimal else value
            self.number_when = when
        self.count += 1

    def repeat(self, when: Moment) -> None:
        """Add a value equal to the last one, at a time not before any other."""
        self.count += 1
        self.when = when
        if self.number is not None and self.number == self.value:
            self.number_when = when


class RunRows:
    """The rows of one run in one table, added one at a time."""

    def __init__(self, table: RunTable) -> None:
        self.table = table
        self.count = 0
        self.first = self.last = NEVER
        self.columns = [RunColumn() for _ in table.columns]
        self._time = table.columns.index(table.time_column) if table.time_column else None
        tracked = {*table.version_columns, *table.commit_columns}
        self._seen: dict[str, dict[str, None]] = {name: {} for name in tracked}

    def add(self, values: Sequence[Any]) -> None:
        """Add one row: its values in the order of the table's columns."""
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
            if value is not None and value != "":
                seen[str(value)] = None

    @property
    def versions(self) -> tuple[str, ...]:
        """The distinct versions that its rows name."""
        return self._distinct(self.table.version_columns)

    @property
    def commits(self) -> tuple[str, ...]:
        """The distinct commits of code that its rows name."""
        return self._distinct(self.table.commit_columns)

    def _distinct(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for name in names for value in self._seen[name]))

    def constant(self, column: str) -> Any:
        """The one value of a column in the run; None if it has none or several."""
        state = self.columns[self.table.columns.index(column)]
        return state.value if state.count and state.constant else None

    def values(self) -> dict[str, Any]:
        """The last non-NULL value of every column that has one; binary values are left out."""
        return {
            name: plain(column.value)
            for name, column in self._states()
            if column.count and not isinstance(column.value, bytes | bytearray | memoryview)
        }

    def decisions(self, rules: RoleRules) -> dict[str, RoleDecision]:
        """The role of each column, by :mod:`gitxexp.trackers.roles`."""
        names = frozenset(name.lower() for name in self.table.columns)
        sparse = any(0 < c.count < self.count and c.number is not None for c in self.columns)
        own, facts = {}, {}
        for name, column in self._states():
            full = column.count == self.count
            facts[name] = ColumnValues(
                self.count, column.count, column.value, column.constant, column.numeric,
                column.has_float, column.number, sparse and full and column.constant, names,
                column.flags,
            )  # fmt: skip
            if known := rules.decide(self.table.name, name) or structure(self.table, name):
                own[name] = known
        return roles.of_table(self.table.name, facts, own, rules)

    def split(self, found: Mapping[str, RoleDecision]) -> Split:
        """Parameters, metrics and context by the roles in ``found``."""
        params: dict[str, Any] = {}
        metrics: dict[str, float | int] = {}
        context: dict[str, Any] = {}
        series = []
        values = self.values()
        for name, column in self._states():
            role = found[name].role
            if name not in values:
                continue
            if role is Role.PARAM:
                params[name] = values[name]
            elif role is Role.METRIC and column.number is not None:
                metrics[name] = column.number
                series += [name] if column.count > 1 and not column.constant else []
            elif role is Role.CONTEXT:
                context[name] = values[name]
        return Split(params, metrics, context, tuple(series))

    def _states(self) -> Iterable[tuple[str, RunColumn]]:
        return zip(self.table.columns, self.columns, strict=True)


class Split(NamedTuple):
    """The values of a run by role; ``series`` names the metrics with more than one value."""

    params: dict[str, Any]
    metrics: dict[str, float | int]
    context: dict[str, Any]
    series: tuple[str, ...]


def structure(table: RunTable, name: str) -> RoleDecision | None:
    """Return the role that the table's layout gives a column, or None."""
    if name == table.run_column or (name.lower() == "id" and not table.run_column):
        return RoleDecision(Role.KEY, "the run's id")
    if name == table.time_column:
        return RoleDecision(Role.KEY, "the time of a row")
    if name in table.version_columns:
        return RoleDecision(Role.KEY, "the experiment's version")
    if table.is_xetrack and name in XETRACK_COLUMNS:
        return RoleDecision(Role.CONTEXT, "written by xetrack itself")
    if table.is_optuna and (role := _of_optuna(name)):
        return RoleDecision(role, "written by Optuna")
    return None


def _of_optuna(name: str) -> Role | None:
    if name == "value" or name.startswith("values_"):
        return Role.METRIC
    if name in ("number", "trial_id"):
        return Role.KEY
    if name in ("state", "duration") or name.startswith(("datetime_", "system_attrs_")):
        return Role.CONTEXT
    return Role.PARAM if name.startswith("params_") else None


#: Types that JSON and TOML store unchanged.
_PLAIN = (str, int, float)


def plain(value: Any) -> Any:
    """A value that JSON and TOML can hold: DuckDB's dates, decimals and UUIDs as text or float."""
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value)


# -- reading -------------------------------------------------------------------------------------


def summed(
    database: Database, table: RunTable, *runs: str, window: Window | None = None
) -> dict[str, RunRows]:
    """Return the runs of one table by id (only ``runs``, if given). Rows of other runs, and rows outside
    the ``window`` of a run, are not read."""
    where, values = condition(database, table, *runs, window=window) if runs else ("", [])
    columns = ", ".join(quote(column) for column in table.columns)
    sql = f"SELECT {table.run_id}, {columns} FROM {quote(table.name)}{where}"
    found: dict[str, RunRows] = {}
    for id, *cells in database.rows(sql, values):
        rows = found.get(id)
        if rows is None:
            rows = found[id] = RunRows(table)
        rows.add(cells)
    return found


def condition(
    database: Database, table: RunTable, *runs: str, window: Window | None = None
) -> tuple[str, list[Any]]:
    """Return a ``WHERE`` clause for the rows of ``runs`` that uses an index on their column. For a run with
    a ``window`` it selects the rows in it, if the table has an order."""
    column, values = quote(table.run_column or ""), list[Any](runs)
    if not table.run_column or database.kind != "sqlite" or any(r.startswith("row") for r in runs):
        column = table.run_id
    else:
        values = [value for run in runs for value in _spellings(run)]
    where = f" WHERE {column} IN ({', '.join('?' * len(values))})"
    if window is None or not table.order:
        return where, values
    rows = f"SELECT {table.order} FROM {quote(table.name)}{where} ORDER BY 1 LIMIT ? OFFSET ?"
    within = f"{where} AND {table.order} IN ({rows})"
    return within, [*values, *values, window.rows, window.before]


def _spellings(run: str) -> list[Any]:
    """A column without a type may hold 12 or '12'."""
    if re.fullmatch(r"-?(?:0|[1-9]\d{0,17})", run):
        return [run, int(run)]
    return [run, float(run)] if re.fullmatch(r"-?\d+\.\d+", run) else [run]


#: Rows to search per requested run when looking for the runs that wrote last.
_ROWS_A_RUN = 100


def last_runs(database: Database, table: RunTable, count: int) -> list[str] | None:
    """Return the ``count`` runs that wrote the last rows, newest first; None if unknown."""
    if not table.has_rowid:
        return None
    rows = database.rows(
        f"SELECT {table.run_id} FROM {quote(table.name)} ORDER BY rowid DESC"
        f" LIMIT {_ROWS_A_RUN * count}"
    )
    return list(dict.fromkeys(run for (run,) in rows))[:count] or None


def last_writer(database: Database, table: RunTable) -> tuple[Moment, str | None]:
    """Return which run wrote last and when; if times compare as stored, the database finds it."""
    if table.time_column:
        quick = _quick_last(database, table, quote(table.time_column))
        if quick is not None:
            return quick
    time = quote(table.time_column) if table.time_column else "NULL"
    best: tuple[Moment, str | None] = (moment(None), None)
    for run, value in database.rows(f"SELECT {table.run_id}, {time} FROM {quote(table.name)}"):
        when = moment(value)
        if best[1] is None or when >= best[0]:
            best = when, run
    return best


class Newest(NamedTuple):
    """The run that wrote last, with its ``rows`` if the search read them."""

    when: Moment
    run: str | None
    rows: RunRows | None = None


def newest_run(database: Database, table: RunTable) -> Newest:
    """Return which run wrote last and when. In a table without an index on its runs, one scan also gives
    its rows, unless another run is newer than the row written last."""
    return _scanned(database, table) or Newest(*last_writer(database, table))


def _scanned(database: Database, table: RunTable) -> Newest | None:
    time, column = table.time_column, table.run_column
    if database.kind != "sqlite" or not (time and column and table.has_rowid):
        return None
    if table.key[:1] == (column,):  # two look-ups in the index are quicker
        return None
    last = _last_row(database, table, quote(time))
    if last is None or not _comparable(last[1], last[1]):
        return None
    run, latest = last
    where, values = condition(database, table, run)
    columns = ", ".join(quote(name) for name in table.columns)
    sql = f"SELECT {table.run_id}, {columns} FROM {quote(table.name)}{where} OR {_newer(time, latest)}"
    rows = RunRows(table)
    for id, *cells in database.rows(sql, [*values, latest]):
        if id != run:
            return None
        rows.add(cells)
    return Newest(rows.last, run, rows)


def _last_row(database: Database, table: RunTable, time: str) -> tuple[str, Any] | None:
    """Return the run and time of the row written last."""
    sql = f"SELECT {table.run_id}, {time} FROM {quote(table.name)} ORDER BY rowid DESC LIMIT 1"
    found = next(iter(database.rows(sql)), None)
    return None if found is None else (found[0], found[1])


def _newer(time: str, than: Any) -> str:
    """A condition for rows that are newer than a time, or whose time is of another kind."""
    name = quote(time)
    return f"{name} > ?" + (
        f" OR {name} < ''" if isinstance(than, str) else ""
    )  # numbers sort first


_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d(?:\.\d+)?")


def _quick_last(database: Database, table: RunTable, time: str) -> tuple[Moment, str] | None:
    """:func:`last_writer` by the database; None if the times are of several kinds.

    The row written last is usually the newest, and one comparing scan verifies that; ``max()``
    copies every value that is larger than those before, and takes three times as long.
    """
    if database.kind != "sqlite" or not table.has_rowid:
        return _newest(database, table, time)
    last = _last_row(database, table, time)
    if last is None or not _comparable(last[1], last[1]):
        return None
    where = _newer(table.time_column or "", last[1])
    newer = database.rows(f"SELECT 1 FROM {quote(table.name)} WHERE {where} LIMIT 1", [last[1]])
    if next(iter(newer), None) is None:
        return moment(last[1]), last[0]
    return _newest(database, table, time)


def _newest(database: Database, table: RunTable, time: str) -> tuple[Moment, str] | None:
    name = quote(table.name)
    ((least, most, count),) = database.rows(
        f"SELECT min({time}), max({time}), count({time}) FROM {name}"
    )
    if not count or not _comparable(least, most):
        return None
    order = " ORDER BY rowid DESC" if table.has_rowid else ""
    sql = f"SELECT {table.run_id} FROM {name} WHERE {time} = ?{order} LIMIT 1"
    found = next(iter(database.rows(sql, [most])), None)
    return (moment(most), found[0]) if found else None


def _comparable(least: Any, most: Any) -> bool:
    """Whether the database orders times between these two correctly."""
    if type(least) is not type(most):
        return False
    if isinstance(least, str):
        one, other = _TIME.fullmatch(least), _TIME.fullmatch(most)
        return bool(one and other and one[1] == other[1])
    if isinstance(least, datetime):
        return True
    if is_number(least):
        return bool(0 < least <= most < 1e11)  # seconds, all of them (times.EPOCH_LIMIT)
    return False


class Span(NamedTuple):
    """The first and the last time of a run's rows."""

    first: Moment
    last: Moment


def spans(database: Database, table: RunTable, column: str, value: Any) -> dict[str, Span]:
    """The runs of a table whose rows hold ``value`` in ``column``, each with its times."""
    time = quote(table.time_column) if table.time_column else "NULL"
    sql = (
        f"SELECT {table.run_id}, min({time}), max({time}) FROM {quote(table.name)}"
        f" WHERE CAST({quote(column)} AS VARCHAR) = ? GROUP BY 1"
    )
    found = database.rows(sql, [str(value)])
    return {run: Span(moment(first), moment(last)) for run, first, last in found}


def count_rows(database: Database, table: RunTable) -> list[tuple[str, int]]:
    """The number of rows of each run."""
    sql = f"SELECT {table.run_id}, count(*) FROM {quote(table.name)} GROUP BY 1"
    return [(run, int(rows)) for run, rows in database.rows(sql)]


#: Rows of a table of which each is remembered while a command runs: 20 ms.
_EACH = 5000


def logged_rows(database: Database, table: RunTable) -> dict[str, Logged]:
    """Return the current rows of each run of a table. Stamps are not part of a row, nor are empty
    columns that another run added."""
    order = table.order
    known = (order, quote(table.time_column) if table.time_column else "")
    ends = ", ".join(f"min({name}), max({name})" if name else "NULL, NULL" for name in known)
    sql = f"SELECT {table.run_id}, count(*), {ends} FROM {quote(table.name)} GROUP BY 1"
    found = {
        run: Logged(int(rows), None, ((first, earliest), (last, latest)))
        for run, rows, first, last, earliest, latest in database.rows(sql)
    }
    if sum(one.rows for one in found.values()) > _EACH:
        return found
    names = [name for name in table.columns if name.lower() not in STAMPS]
    columns = ", ".join(map(quote, names))
    ordered = f" ORDER BY {order}" if order else ""
    each: dict[str, list[int]] = {run: [] for run in found}
    sql = f"SELECT {table.run_id}, {columns} FROM {quote(table.name)}{ordered}"
    for run, *cells in database.rows(sql):
        pairs = zip(names, cells, strict=True)
        own = tuple((name, value) for name, value in pairs if value is not None)
        each.setdefault(run, []).append(hash(repr(own)))
    return {run: Logged(len(rows), tuple(rows)) for run, rows in each.items()}


def is_metric_table(table: RunTable) -> bool:
    """Whether the table has a column with the name of a metric."""
    return any(column_names.is_metric_name(name) for name in table.columns)
