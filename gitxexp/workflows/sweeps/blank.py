"""A results database without its runs: the one that a sweep's run writes to.

Tables of runs and xetrack's objects are empty; other tables keep their rows, because a script may
look something up in them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gitxexp.common import sqlite
from gitxexp.common.errors import XexpError
from gitxexp.common.files import database_kind
from gitxexp.common.sql import quote
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.tables import tables_of

_XETRACK = {"assets", "keys", "counts"}


def write_blank(source: Path, target: Path) -> bool:
    """Write ``target``, a blank copy of the SQLite database ``source``; False, with nothing
    written, if the tables of runs cannot be determined."""
    if database_kind(source) != "sqlite":
        return False
    target.unlink(missing_ok=True)
    try:
        return reading(source, lambda database: _write(database, target))
    except (XexpError, sqlite3.Error):
        target.unlink(missing_ok=True)
        return False


def _write(database: Database, target: Path) -> bool:
    runs = {table.name for table in tables_of(database)}
    if not runs:
        return False
    raw: sqlite3.Connection = database.raw
    entries = sqlite.tables(raw)
    names = {entry.name.lower() for entry in entries}
    empty = {name.lower() for name in runs} | (_XETRACK if names >= _XETRACK else set())
    with closing(sqlite.connect(target)) as copy:
        for name in ("encoding", "page_size", "auto_vacuum", "application_id", "user_version"):
            (value,) = raw.execute(f"PRAGMA {name}").fetchone()
            copy.execute(f"PRAGMA {name} = '{value}'")
        copy.execute("BEGIN")
        for entry in entries:
            if entry.kind == "shadow":
                continue
            copy.execute(entry.sql)
            if entry.kind == "table" and entry.name.lower() not in empty:
                _fill(raw, copy, entry.name)
        if "sqlite_sequence" in _all_names(raw):  # ids continue from the current values
            copy.execute("DELETE FROM sqlite_sequence")
            _fill(raw, copy, "sqlite_sequence")
        rest = (
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND type <> 'table' ORDER BY rowid"
        )
        for (sql,) in raw.execute(rest).fetchall():
            copy.execute(sql)
        copy.execute("COMMIT")
    return True


def _fill(raw: sqlite3.Connection, copy: sqlite3.Connection, table: str) -> None:
    rows = raw.execute(f"SELECT * FROM {quote(table)}")
    marks = ", ".join("?" * len(rows.description))
    copy.executemany(f"INSERT INTO {quote(table)} VALUES ({marks})", rows)


def _all_names(raw: sqlite3.Connection) -> set[str]:
    return {name for (name,) in raw.execute("SELECT name FROM sqlite_schema")}
