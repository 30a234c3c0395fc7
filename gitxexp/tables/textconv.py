"""Print a database or parquet file as text that git can diff, one line per row.

A line has only the cells that are not NULL, key first and then by column name, so that neither a new
column nor another column order changes the lines of old rows. Names and values come from a file that
anybody may have written, so non-printable characters are escaped and cannot break a line or control
a terminal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from gitxexp.common import sqlite
from gitxexp.common.errors import XexpError
from gitxexp.common.files import kind_of
from gitxexp.common.sql import quote
from gitxexp.common.text import visible
from gitxexp.tables.row_changes import TableRows, key_first

#: Longer blobs are shown by their length and hash.
_BLOB = 32


def textconv(path: Path) -> Iterator[str]:
    """Lines (without line ends) of all user tables: columns, then rows by key or in file order.

    SQLite is opened ``mode=ro&immutable=1``: rows still in a ``-wal`` are not in the file. Raises
    :class:`~gitxexp.common.errors.XexpError`. An empty file has no lines.
    """
    if path.exists() and path.stat().st_size == 0:
        return
    if kind_of(path) == "sqlite":
        tables = _sqlite(path)
    else:
        from gitxexp.tables.duckdb.row_diff import contents  # late: it needs DuckDB

        tables = contents(path)
    for table in tables:
        yield f"table {shown(table.name)}"
        for name, kind in sorted(table.columns):
            yield f"  column {shown(name)} {visible(kind)}".rstrip()
        for row in table.rows:
            yield _line(table.names, row)


def _line(names: Sequence[str], row: Sequence[Any]) -> str:
    cells = (f"{visible(n)}={shown(v)}" for n, v in zip(names, row, strict=True) if v is not None)
    return "  " + " ".join(["row", *cells])


def shown(value: Any) -> str:
    """Format a value on one line so that text, numbers and blobs are distinct."""
    if isinstance(value, str):
        return visible(json.dumps(value, ensure_ascii=False))
    if isinstance(value, bytes):
        if len(value) <= _BLOB:
            return f"x'{value.hex()}'"
        return f"blob({len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]})"
    return repr(value)


def sqlite_tables(con: sqlite3.Connection) -> list[tuple[str, int]]:
    """Name and root page of each table that a user made, by name."""
    return sorted((t.name, t.root) for t in sqlite.tables(con) if t.kind == "table")


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


def _sqlite(path: Path) -> Iterator[TableRows]:
    try:
        with closing(sqlite.connect(path, "ro", immutable=True)) as con:
            con.limit_cells()
            con.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            for name, _ in sqlite_tables(con):
                yield _sqlite_table(con, name)
    except sqlite3.Error as error:
        raise XexpError(f"cannot read {path}: {error}") from None


def _sqlite_table(con: sqlite3.Connection, name: str) -> TableRows:
    info = con.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    columns = [(row[1], row[2]) for row in info if row[6] != 1]
    key = sqlite_key(con, name)
    names = key_first([column for column, _ in columns], key)
    order = f" ORDER BY {', '.join(map(quote, key))}" if key else ""
    rows = con.execute(f"SELECT {', '.join(map(quote, names))} FROM {quote(name)}{order}")
    return TableRows(name, columns, names, rows)
