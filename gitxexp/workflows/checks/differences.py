"""Confidence intervals of a run's metrics, computed from its rows in the results.

For ``explore diff``: the same intervals as ``check``'s rule few-samples. Uses tables with a row per
input: accuracy and error rate from prediction and truth (or a column of correctness), and metrics
that are the mean of a column of the same name. An interval is only given if the recorded value
follows from the rows; only a run's own rows are read, by the index that trackers create.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.sql import quote
from gitxexp.repository.repository import Project
from gitxexp.trackers import column_names
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.event_rows import condition
from gitxexp.trackers.tables import RunTable, tables_of
from gitxexp.workflows.checks import sample
from gitxexp.workflows.checks.layout import ID_COLUMNS, PREDICTIONS, RIGHT, TRUTHS
from gitxexp.workflows.checks.sample import RowSample, Sample, Summary
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.explore.filters import finite

#: Tables without an index on their runs are read up to this many rows.
_SCANNED = 500_000
#: Of larger tables the rows of at most this many runs are read, by index.
_MOST = 100
#: Allowed difference between a recorded value and the rows, because of rounding.
_ROUNDED = 0.005
#: Words that mark a metric as the mean of what the other words name.
_MEAN = {"mean", "avg", "average"}


class RecordedRun(NamedTuple):
    """A run as it is on record: its id, the version that its rows may name, and its metrics."""

    id: str
    version: str
    metrics: Mapping[str, Any]


def samples(project: Project, run: RecordedRun) -> dict[str, Sample]:
    """Return the samples for the metrics of ``run`` from the rows here, by metric name."""
    return samples_of_each(project, [run])[0]


def samples_of_each(project: Project, runs: Sequence[RecordedRun]) -> list[dict[str, Sample]]:
    """Return :func:`samples` of each run; the results databases are looked for once."""
    wanted = [_finite(run.metrics) if run.id or run.version else {} for run in runs]
    if not any(wanted) or project.places.top is None:
        return [{} for _ in runs]
    paths = stores.databases(project.top, project.config)
    return [_of_files(paths, run, metrics) for run, metrics in zip(runs, wanted, strict=True)]


def _of_files(
    paths: Sequence[Path], run: RecordedRun, wanted: Mapping[str, float]
) -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for path in paths:
        missing = {name: value for name, value in wanted.items() if name not in found}
        if not missing:
            break
        try:
            found |= reading(path, partial(_of_file, run=run, wanted=missing))
        except XexpError:  # reported by the command that needs it
            continue
    return found


def rates(project: Project, runs: Sequence[RecordedRun]) -> list[dict[str, Sample]]:
    """Like :func:`samples`, for the accuracy and error rate of many runs, reading each file once."""
    names = {run.id for run in runs if run.id}
    counts: dict[str, tuple[float, int]] = {}
    for path in stores.databases(project.top, project.config) if names else ():
        try:
            counts |= reading(path, partial(_counts, runs=names - counts.keys()))
        except XexpError:  # reported by the command that needs it
            continue
    found = []
    for run in runs:
        hits, n = counts.get(run.id, (0, 0))
        wanted = {name: value for name, value in run.metrics.items() if _is_rate(name)}
        found.append(_of_rates(hits, n, _finite(wanted)))
    return found


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    amounts = {name: finite(value) for name, value in metrics.items()}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _counts(database: Database, runs: Collection[str]) -> dict[str, tuple[float, int]]:
    """Return the number of correct rows per run, and of all rows with an answer."""
    found: dict[str, tuple[float, int]] = {}
    for table in tables_of(database):
        right = _is_right(database, table)
        if not (right and table.first_of(ID_COLUMNS) and table.run_column):
            continue
        picks = f"count({right}), sum({right})"
        if not _is_large(database, table):
            sql = f"SELECT {table.run_id}, {picks} FROM {quote(table.name)} GROUP BY 1"
            counts = {str(run): (hits or 0, n) for run, n, hits in database.rows(sql)}
        elif table.key[:1] == (table.run_column,):
            counts = {}
            for run in sorted(runs)[:_MOST]:
                where, params = condition(database, table, run)
                sql = f"SELECT {picks} FROM {quote(table.name)}{where}"
                ((n, hits),) = database.rows(sql, params)
                counts[run] = hits or 0, n
        else:
            continue
        known = {run: counts[run] for run in runs if run not in found and run in counts}
        found |= {run: pair for run, pair in known.items() if pair[1]}
    return found


def _of_file(
    database: Database, run: RecordedRun, wanted: Mapping[str, float]
) -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for table in tables_of(database):
        missing = {name: value for name, value in wanted.items() if name not in found}
        right = _is_right(database, table)
        rates = {name: value for name, value in missing.items() if right and _is_rate(name)}
        means = {
            name: (column, value)
            for name, value in missing.items()
            if name not in rates and (column := _column_of(table, name))
        }
        if not table.first_of(ID_COLUMNS) or not (rates or means):
            continue
        rows = _rows(database, table, run)
        if rows is not None:
            found |= _rates(rows, right or "NULL", rates) | _means(rows, means)
    return found


def _is_rate(metric: str) -> bool:
    """Whether the metric follows from predictions and truth."""
    return column_names.canonical(metric) in ("accuracy", "error_rate")


def _column_of(table: RunTable, metric: str) -> str | None:
    """Return the column whose mean a metric may be: with its name, or its name without "mean"."""
    bare = [word for word in column_names.words(column_names.bare(metric)) if word not in _MEAN]
    for column in table.columns:
        if column == metric or column_names.words(column) == bare:
            return column
    return None


def _is_right(database: Database, table: RunTable) -> str | None:
    """Return an SQL expression: 1 if the row is correct, 0 if not, NULL without an answer."""
    one, other = table.first_of(PREDICTIONS), table.first_of(TRUTHS)
    if one and other:
        a, b = quote(one), quote(other)
        if database.kind == "duckdb":  # DuckDB does not compare text with a number
            a, b = f"CAST({a} AS VARCHAR)", f"CAST({b} AS VARCHAR)"
        return f"CASE WHEN {a} = {b} THEN 1 WHEN {a} <> {b} THEN 0 END"
    right = table.first_of(RIGHT)
    return None if right is None else f"CAST({quote(right)} AS INTEGER)"


def _rows(database: Database, table: RunTable, run: RecordedRun) -> RowSample | None:
    """Return the rows of a run in a table, by its id or else its version; None if there are none,
    or a large table would have to be scanned."""
    if table.key[:1] != (table.run_column,) and _is_large(database, table):
        return None
    for where, params in _conditions(database, table, run):
        rows = RowSample(database, quote(table.name), where, params)
        if rows.ask("1", "1 = 1 LIMIT 1"):
            return rows
    return None


def _conditions(
    database: Database, table: RunTable, run: RecordedRun
) -> Iterator[tuple[str, Sequence[Any]]]:
    if run.id and table.run_column:
        where, params = condition(database, table, run.id)
        yield where.removeprefix(" WHERE "), params
    if run.version:
        for name in table.version_columns:
            yield f"{quote(name)} = ?", [run.version]


def _is_large(database: Database, table: RunTable) -> bool:
    if not table.has_rowid:
        return True
    ((last,),) = database.rows(f"SELECT max(rowid) FROM {quote(table.name)}")
    return (last or 0) > _SCANNED


def _rates(rows: RowSample, right: str, wanted: Mapping[str, float]) -> dict[str, Sample]:
    if not wanted:
        return {}
    ((n, hits),) = rows.ask(f"count({right}), sum({right})")
    return _of_rates(hits or 0, n, wanted)


def _of_rates(hits: float, n: int, wanted: Mapping[str, float]) -> dict[str, Sample]:
    """The sample of each rate whose value follows from ``hits`` among ``n``."""
    if not n or not 0 <= hits <= n:
        return {}
    found = {}
    for name, value in wanted.items():
        count = n - hits if column_names.canonical(name) == "error_rate" else hits
        if abs(value - count / n) < _ROUNDED:
            found[name] = sample.of_rate(count, int(n))
    return found


def _means(rows: RowSample, wanted: Mapping[str, tuple[str, float]]) -> dict[str, Sample]:
    found = {}
    for name, (column, value) in wanted.items():
        shown = quote(column)
        ((n, total, least, most),) = rows.ask(
            f"count({shown}), sum({shown}), min({shown}), max({shown})"
        )
        numbers = all(isinstance(end, int | float | Decimal) for end in (total, least, most))
        if not numbers or n < 2 or least == most:  # one value for all rows is not a sample
            continue
        mean = float(total) / n
        if abs(value - mean) <= _ROUNDED * max(abs(value), abs(mean)):
            known = Summary(int(n), float(total), frozenset((float(least), float(most))))
            found[name] = sample.of_column(rows, column, known)
    return found
