"""Tables that people write themselves, in SQLite, DuckDB or parquet files.

A table holds runs where a column names them or the time of a row. The database of another program is
left alone: a known layout is not guessed at, and a database that is only found, not configured,
has to have a column of runs and a metric, or a time and a metric.
"""

from __future__ import annotations

from pathlib import Path

from gitxexp.trackers.adapters.event_tables import EventTables, is_database
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.event_rows import is_metric_table
from gitxexp.trackers.tables import STRONG_RUN_COLUMNS, Table, all_tables, tables_of

#: Tables that tell the database of another program (Optuna, Aim, Django, Airflow, Dagster, Prefect,
#: Chroma, IPython's history, coverage, mypy, browsers), each with all its names needed.
FOREIGN = (
    {"studies", "trials", "trial_params"},
    {"run", "run_tag"},
    {"django_migrations"},
    {"dag", "dag_run"},
    {"runs", "event_logs", "run_tags"},
    {"flow_run", "task_run"},
    {"collections", "embeddings", "segments"},
    {"history", "sessions", "output_history"},
    {"file", "line_bits"},
    {"files2"},
    {"moz_places"},
)


class PlainTable(EventTables):
    """Reads runs from any table that has them."""

    name = "table"
    order = 90

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether the database is of no other program, or its table is named by the user."""
        if table is not None:
            return True
        names = {each.name.lower() for each in all_tables(database)}
        return not any(foreign <= names for foreign in FOREIGN)

    def has_runs(self, path: Path, table: str | None = None) -> bool:
        """Whether a database that was only found holds runs."""
        if not is_database(path):
            return False
        if table is not None:
            return reading(path, lambda d: any(each.name == table for each in all_tables(d)))
        return self.knows(path) and reading(
            path, lambda database: any(map(_has_results, tables_of(database)))
        )


def _has_results(table: Table) -> bool:
    if table.first_of(STRONG_RUN_COLUMNS) and table.time_column:
        return True
    has_results = is_metric_table(table) or table.is_optuna
    return has_results and bool(table.run_column or table.time_column)


ADAPTER = PlainTable()
