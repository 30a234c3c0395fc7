"""Tables that people write themselves, in SQLite, DuckDB or parquet files.

A table holds runs if it has a column of run ids or times. The databases of other programs are ignored:
a database with a known layout is never read as a plain table, and one that is found rather than
configured must have a metric and a column of runs or times.
"""

from __future__ import annotations

from pathlib import Path

from gitxexp.trackers.adapters.event_tables import EventTables, is_database
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.event_rows import is_metric_table
from gitxexp.trackers.tables import STRONG_RUN_COLUMNS, RunTable, all_tables, tables_of

#: Tables that identify the database of another program (Optuna, Aim, Django, Airflow, Dagster, Prefect,
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
    in_parquet = True

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether the user named the table, or the database is not another program's."""
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
        return reading(path, lambda database: any(map(_has_results, tables_of(database))))


def _has_results(table: RunTable) -> bool:
    if table.first_of(STRONG_RUN_COLUMNS) and table.time_column:
        return True
    has_results = is_metric_table(table) or table.is_optuna
    return has_results and bool(table.run_column or table.time_column)


ADAPTER = PlainTable()
