"""How many rows each run of a results database has."""

from __future__ import annotations

from pathlib import Path

from gitxexp.results.engines import Database, reading
from gitxexp.results.tables import Table, quoted, tables_of


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
