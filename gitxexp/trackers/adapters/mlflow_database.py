"""MLflow's SQL store in SQLite (``sqlite:///mlflow.db``), of MLflow 1 to 3.

Tables as in ``mlflow/store/tracking/dbmodels/models.py``: ``experiments``, ``runs``, ``params``,
``metrics``, ``latest_metrics`` (since 1.0), ``tags``, ``inputs`` and ``datasets`` (since 2.4). The schema is
MLflow's: its migrations check it, so nothing is ever written there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitxexp.trackers import mlflow
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.mlflow import Record
from gitxexp.trackers.run import ColumnFacts, Run
from gitxexp.trackers.tables import all_tables

_TABLES = {"experiments", "runs", "params", "metrics"}
_LIVE = "coalesce(r.lifecycle_stage, 'active') = 'active'"
#: A run ends when MLflow says so, or with its last logged value.
_ENDED = "coalesce(r.end_time, r.start_time)"


class MlflowDatabase(Adapter):
    """Reads the runs of an MLflow database."""

    name = "mlflow"
    order = 10

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether a database has MLflow's tables."""
        return _is_mlflow(database)

    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """Every run that was not deleted."""
        found = reading(path, lambda database: _records(database, None))
        return mlflow.newest_first([self._run(each, path, query) for each in found])

    def latest(self, path: Path, query: RunQuery) -> Run | None:
        """The run that ended last."""

        def action(database: Database) -> list[Record]:
            sql = (
                f"SELECT r.run_uuid FROM runs r WHERE {_LIVE} ORDER BY {_ENDED} DESC, r.rowid DESC"
            )
            ids = [id for (id,) in database.rows(f"{sql} LIMIT 1")]
            return _records(database, ids[0]) if ids else []

        found = reading(path, action)
        return self._run(found[0], path, query) if found else None

    def find(self, path: Path, query: RunQuery, id: str) -> Run | None:
        """The run of that id, or of that name where only one has it."""

        def action(database: Database) -> list[Record]:
            exact = _records(database, id)
            if exact or not _has(database, "runs", "name"):
                return exact
            sql = f"SELECT r.run_uuid FROM runs r WHERE r.name = ? AND {_LIVE}"
            ids = [runs for (runs,) in database.rows(sql, [id])]
            return _records(database, ids[0]) if len(ids) == 1 else []

        runs = reading(path, action)
        return self._run(runs[0], path, query) if runs else None

    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """The values of the newest run, and of others the names that it does not have."""
        found: dict[str, ColumnFacts] = {}
        records = reading(path, lambda database: _records(database, None))
        records.sort(key=lambda record: record.end or record.start or 0, reverse=True)
        for record in records:
            for each in mlflow.facts(record, path, query.rules, "runs"):
                found.setdefault(each.column, each)
        return list(found.values())

    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The values of a metric by step and time."""
        sql = (
            "SELECT value, step, timestamp FROM metrics WHERE run_uuid = ? AND key = ?"
            " AND NOT is_nan ORDER BY step, timestamp"
        )
        return reading(
            run.database,
            lambda d: [MetricPoint(*values) for values in d.rows(sql, [run.id, metric])],
        )

    def _run(self, record: Record, path: Path, query: RunQuery) -> Run:
        return mlflow.run_of(record, path, self.name, query.rules, "runs")


def _is_mlflow(database: Database) -> bool:
    tables = {table.name: table for table in all_tables(database)}
    return tables.keys() >= _TABLES and "run_uuid" in tables["runs"].columns


def read_records(database: Database) -> list[Record]:
    """Every run that was not deleted, with everything in the tables except its earlier values."""
    return _records(database, None)


def _has(database: Database, table: str, column: str = "") -> bool:
    tables = {each.name: each for each in all_tables(database)}
    return table in tables and (not column or column in tables[table].columns)


def _records(database: Database, run: str | None) -> list[Record]:
    """The runs (only ``run``, if given) with all that the tables hold of them."""
    where, values = ("", []) if run is None else (" AND r.run_uuid = ?", [run])
    name = "r.name" if _has(database, "runs", "name") else "NULL"
    sql = (
        f"SELECT r.run_uuid, {name}, e.name, r.start_time, {_ENDED}, r.status FROM runs r"
        f" LEFT JOIN experiments e ON e.experiment_id = r.experiment_id WHERE {_LIVE}{where}"
        " ORDER BY r.start_time, r.rowid"
    )
    records = {
        row[0]: Record(row[0], row[1] or "", row[2] or "", row[3], row[4], str(row[5] or ""))
        for row in database.rows(sql, values)
    }
    for id, key, value in _of(database, "params", "key, value", run):
        if id in records:
            records[id].params[key] = str(value)
    _add_metrics(database, run, records)
    if _has(database, "tags"):
        for id, key, value in _of(database, "tags", "key, value", run):
            if id in records:
                records[id].tags |= mlflow.clean_tags({key: value})
    for record in records.values():
        record.name = record.name or record.tags.get("mlflow.runName", "")
    if _has(database, "inputs") and _has(database, "datasets"):
        _add_datasets(database, records)
    return list(records.values())


def _of(database: Database, table: str, columns: str, run: str | None) -> Sequence[tuple[Any, ...]]:
    where, values = ("", []) if run is None else (" WHERE run_uuid = ?", [run])
    return list(database.rows(f"SELECT run_uuid, {columns} FROM {table}{where}", values))


def _add_metrics(database: Database, run: str | None, found: dict[str, Record]) -> None:
    """The last value of each metric, as MLflow tells it: the highest step, then the latest time. One
    that is NaN, which MLflow writes as 0 beside ``is_nan``, is NaN."""
    where, values = ("", []) if run is None else (" WHERE run_uuid = ?", [run])
    sql = f"SELECT run_uuid, key, count(*) FROM metrics{where} GROUP BY run_uuid, key"
    for id, key, count in database.rows(sql, values):
        if id in found:
            found[id].counts[key] = int(count)
    latest = _has(database, "latest_metrics")
    table, order = ("latest_metrics", "") if latest else ("metrics", " ORDER BY step, timestamp")
    sql = f"SELECT run_uuid, key, value, is_nan FROM {table}{where}{order}"
    for id, key, value, is_nan in database.rows(sql, values):
        if id in found and isinstance(value, int | float):
            found[id].metrics[key] = math.nan if is_nan else value
    if latest and run is None:
        return  # every run of that version of MLflow has them
    missing = {id for id, record in found.items() if record.counts and not record.metrics}
    for id in missing:
        sql = "SELECT key, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY step, timestamp"
        for key, value, is_nan in database.rows(sql, [id]):
            found[id].metrics[key] = math.nan if is_nan else value


def _add_datasets(database: Database, found: dict[str, Record]) -> None:
    sql = (
        "SELECT i.destination_id, d.name, d.digest FROM inputs i JOIN datasets d"
        " ON d.dataset_uuid = i.source_id WHERE i.destination_type = 'RUN'"
    )
    for id, name, digest in database.rows(sql):
        if id in found:
            found[id].datasets[name] = digest


ADAPTER = MlflowDatabase()
