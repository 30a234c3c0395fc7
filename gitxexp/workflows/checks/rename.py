"""Rename a column in every results table that has it, as a reversible step."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import atomic_write
from gitxexp.common.sql import quote
from gitxexp.common.text import counted
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc.databases import held_still
from gitxexp.trackers.databases import Database, reading, writing
from gitxexp.trackers.tables import RunTable, all_tables


def tables_with(path: Path, column: str) -> list[str]:
    """The tables of a database that have the column."""
    return reading(path, lambda db: [t.name for t in all_tables(db) if column in t.columns])


def rename(project: Project, running: Running, path: Path, old: str, new: str) -> None:
    """Rename the column in all tables of a database that have it: in a copy that replaces the file.

    Where a table has ``new`` too, rows without it get the value of ``old``, which is then dropped.
    Raises XexpError if rows have two different values, a view or trigger uses the column, or the file
    cannot be written.
    """
    running.save_file(path)
    with held_still([path]), atomic_write(path) as temporary:
        shutil.copyfile(path, temporary)
        with writing(temporary) as database:
            _require_unused(database, old, project.inside(path) or path.name)
            tables = [table for table in all_tables(database) if old in table.columns]
            with database.triggers_aside(views=True):
                for table in tables:
                    _rename_in(database, table, old, new)
    running.summary.append(
        f"{old} is {new} in {counted(len(tables), 'table')} of {project.shown(path)}"
    )


def _require_unused(database: Database, column: str, shown: str) -> None:
    """Raise XexpError if a view, trigger or index uses the column: the next row could not be written."""
    schema = (
        "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger')"
        if database.kind == "sqlite"
        else "SELECT 'view ' || view_name, sql FROM duckdb_views() WHERE NOT internal"
        # DuckDB alters no table that has an index, whatever its columns
        " UNION ALL SELECT 'index ' || index_name, ? FROM duckdb_indexes() AS i JOIN duckdb_columns() AS c"
        " USING (database_name, schema_name, table_name) WHERE lower(c.column_name) = lower(?)"
    )
    params = [] if database.kind == "sqlite" else [column, column]
    word = re.compile(rf"(?<!\w){re.escape(column)}(?!\w)", re.IGNORECASE)
    users = [name for name, sql in database.rows(schema, params) if word.search(sql or "")]
    if users:
        raise XexpError(
            f"{column} is not renamed: {' and '.join(users)} of {shown} may use it",
            "drop what uses it, and create it again with the new name afterwards",
        )


def _rename_in(database: Database, table: RunTable, old: str, new: str) -> None:
    name, one, other = quote(table.name), quote(old), quote(new)
    if old in table.key:
        raise XexpError(
            f"{old} is part of the key of {table.name}: it is not renamed",
            "rename it in the tracker, for new runs",
        )
    if new not in table.columns:
        database.run(f"ALTER TABLE {name} RENAME COLUMN {one} TO {other}")
        return
    where = f"{one} IS NOT NULL AND {other} IS NOT NULL AND {one} <> {other}"
    ((clash,),) = database.rows(f"SELECT count(*) FROM {name} WHERE {where}")
    if clash:
        raise XexpError(
            f"{counted(clash, 'row')} of {table.name} have another {old} than {new}",
            f"look at them: SELECT * FROM {name} WHERE {where}",
        )
    database.run(f"{database.update} {name} SET {other} = {one} WHERE {other} IS NULL")
    database.run(f"ALTER TABLE {name} DROP COLUMN {one}")
