"""Runs: the rows of one training, summed up into parameters and metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitxexp.errors import NoAnswer
from gitxexp.results.engines import Database, reading
from gitxexp.results.summary import Names, RunRows
from gitxexp.results.tables import Table, quoted, tables_of
from gitxexp.results.times import Moment, moment


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tracker.

    ``first`` and ``last`` are the earliest and latest timestamps, as the tracker wrote them.
    ``values`` holds the last non-NULL value of every column; ``params`` and ``metrics`` the part
    of them that configures and measures (see :mod:`gitxexp.results.summary`). ``versions`` and
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
