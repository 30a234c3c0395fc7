"""A database or parquet file as lines of text that git can diff: one line per row.

A line names only the cells that are not NULL, key first and then by column name, so that neither a
new column nor another column order touches the lines of old rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote as percent

from gitxexp.common.errors import XexpError
from gitxexp.common.files import kind_of
from gitxexp.tables.lines import header, line, ordered, quote


def textconv(path: Path) -> Iterator[str]:
    """Lines (without line ends) of all user tables: columns, then rows by key or in file order.

    SQLite is opened ``mode=ro&immutable=1``: rows still in a ``-wal`` are not in the file. Raises
    :class:`~gitxexp.common.errors.XexpError`. An empty file has no lines.
    """
    if path.exists() and path.stat().st_size == 0:
        return
    if kind_of(path) == "sqlite":
        yield from _sqlite(path)
    else:
        from gitxexp.tables.duckdb.textconv import lines  # late: it needs DuckDB

        yield from lines(path)


def sqlite_tables(con: sqlite3.Connection) -> list[tuple[str, int]]:
    """Name and root page of each table that a user made, by name."""
    kinds = {row[1]: row[2] for row in con.execute("PRAGMA table_list") if row[0] == "main"}
    rows = con.execute(
        "SELECT name, rootpage FROM sqlite_master WHERE type = 'table' ORDER BY name"
    )
    return [
        (name, root)
        for name, root in rows.fetchall()
        if not name.startswith("sqlite_") and kinds.get(name) == "table"
    ]


def sqlite_key(con: sqlite3.Connection, name: str) -> tuple[str, ...]:
    """The primary key's columns, else those of the first whole unique index, else nothing."""
    info = con.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    primary = sorted((row[5], row[1]) for row in info if row[5])
    if primary:
        return tuple(column for _, column in primary)
    for row in con.execute(f"PRAGMA index_list({quote(name)})").fetchall():
        parts = [r[2] for r in con.execute(f"PRAGMA index_info({quote(row[1])})").fetchall()]
        if row[2] and not row[4] and None not in parts:
            return tuple(parts)
    return ()


def _sqlite(path: Path) -> Iterator[str]:
    uri = f"file:{percent(str(path.absolute()))}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as con:
            con.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            for name, _ in sqlite_tables(con):
                yield from _sqlite_table(con, name)
    except sqlite3.Error as error:
        raise XexpError(f"cannot read {path}: {error}") from None


def _sqlite_table(con: sqlite3.Connection, name: str) -> Iterator[str]:
    info = con.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    columns = [row[1] for row in info if row[6] != 1]
    yield from header(name, [(row[1], row[2]) for row in info if row[6] != 1])
    key = sqlite_key(con, name)
    names = ordered(columns, key)
    order = f" ORDER BY {', '.join(map(quote, key))}" if key else ""
    cells = ", ".join(map(quote, names))
    for row in con.execute(f"SELECT {cells} FROM {quote(name)}{order}"):
        yield line(names, row)
