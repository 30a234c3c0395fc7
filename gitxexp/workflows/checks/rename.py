"""Rename a column in every results table that has it, as a reversible step."""

from __future__ import annotations

import shutil
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import atomic_write
from gitxexp.common.text import counted
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc.databases import held_still
from gitxexp.trackers.databases import reading, writing
from gitxexp.trackers.tables import all_tables, quoted


def tables_with(path: Path, column: str) -> list[str]:
    """The tables of a database that have the column."""
    return reading(path, lambda db: [t.name for t in all_tables(db) if column in t.columns])


def rename(project: Project, running: Running, path: Path, old: str, new: str) -> None:
    """Rename the column in all tables of a database that have it: in a copy that replaces the file.

    Where a table has ``new`` too, rows without it get the value of ``old``, which is then dropped.
    Raises XexpError if rows have two different values, or the file cannot be written.
    """
    running.save_file(path)
    with held_still([path]), atomic_write(path) as temporary:
        shutil.copyfile(path, temporary)
        with writing(temporary) as database, database.triggers_aside(views=True):
            changed = 0
            for table in all_tables(database):
                if old not in table.columns:
                    continue
                changed += 1
                name, one, other = quoted(table.name), quoted(old), quoted(new)
                if old in table.key:
                    raise XexpError(f"{old} is part of the key of {table.name}: it is not renamed")
                if new not in table.columns:
                    database.run(f"ALTER TABLE {name} RENAME COLUMN {one} TO {other}")
                    continue
                where = f"{one} IS NOT NULL AND {other} IS NOT NULL AND {one} <> {other}"
                ((clash,),) = database.rows(f"SELECT count(*) FROM {name} WHERE {where}")
                if clash:
                    raise XexpError(
                        f"{counted(clash, 'row')} of {table.name} have another {old} than {new}",
                        f"look at them: SELECT * FROM {name} WHERE {where}",
                    )
                database.run(f"{database.update} {name} SET {other} = {one} WHERE {other} IS NULL")
                database.run(f"ALTER TABLE {name} DROP COLUMN {one}")
    running.summary.append(
        f"{old} is {new} in {counted(changed, 'table')} of {project.inside(path)}"
    )
