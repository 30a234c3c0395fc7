"""Access to SQLite files, wherever they come from.

A database may come with a clone, so its schema is not trusted (sqlite.org/security.html): no
extension is loaded, no function in a schema may have a side effect, only ordinary tables are read,
and triggers are removed while rows are written. A view is never evaluated or inspected: ``PRAGMA
table_list`` resolves the columns of each, which doubles with every level of nested views and cannot
be interrupted.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gitxexp.common import checked, processes
from gitxexp.common.sql import quote

Mode = Literal["ro", "rw", "rwc"]
TableKind = Literal["table", "virtual", "shadow"]

#: Size in bytes of the largest cell that is read to show or summarise it.
CELL = 256_000_000

#: SQLite VM steps between two checks of the clock: a few milliseconds.
_STEPS = 1_000_000

#: The tables that SQLite's own modules create for a virtual table (``xShadowName`` of each).
_SHADOWS = {
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts3": ("content", "segments", "segdir", "docsize", "stat"),
    "rtree": ("node", "parent", "rowid"),
    "rtree_i32": ("node", "parent", "rowid"),
    "geopoly": ("node", "parent", "rowid"),
}
_VIRTUAL = re.compile(r"CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+[\"'`\[]?(\w+)", re.I | re.S)
#: Comments and quoted text; what is not closed ends with the text, which takes no second look.
_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)|'[^']*'|\"[^\"]*\"", re.S)


class Connection(sqlite3.Connection):
    """A connection whose statements are interrupted by a signal or a time limit."""

    _end = float("inf")

    def limit_cells(self, size: int = CELL) -> None:
        """Refuse larger cells (bytes): a generated column can create a giant one from nothing."""
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size)

    def execute(self, *args: Any) -> sqlite3.Cursor:
        """Like sqlite3's method; raises KeyboardInterrupt if that caused the failure."""
        try:
            return super().execute(*args)
        except sqlite3.OperationalError as error:
            processes.signals_first()
            if "interrupted" in str(error) and time.monotonic() > self._end:
                raise sqlite3.OperationalError("reading it takes too long") from error
            raise

    def limit(self, seconds: float, cell: int) -> None:
        """Interrupt statements after so many seconds, and refuse larger cells (bytes)."""
        self._end = time.monotonic() + seconds
        self.set_progress_handler(self._late, _STEPS)
        self.limit_cells(cell)

    def _late(self) -> bool:
        return time.monotonic() > self._end


def address(path: Path, mode: Mode = "ro", *, immutable: bool = False) -> str:
    """``path`` as an SQLite URI; ``%``, ``?`` and ``#`` are escaped (sqlite.org/uri.html)."""
    whole = quote_from_bytes(os.fsencode(path.absolute()))
    return f"file:{whole}?mode={mode}{'&immutable=1' if immutable else ''}"


def path_of(uri: str) -> Path:
    """The file of an :func:`address`."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file:").partition("?")[0])))


def attach(con: sqlite3.Connection, uri: str, name: str) -> None:
    """Attach the file of an :func:`address`; raises as :func:`connect` does."""
    checked.confirmed(
        path_of(uri),
        lambda: con.execute(f"ATTACH ? AS {quote(name)}", (uri,)),
        lambda _: con.execute(f"DETACH {quote(name)}"),
    )


def connect(
    where: Path | str,
    mode: Mode = "rwc",
    *,
    immutable: bool = False,
    timeout: float = 10.0,
    isolation: Literal["DEFERRED", "IMMEDIATE"] | None = None,
) -> Connection:
    """Connect to the file (or URI) ``where``; raises ``sqlite3.Error``, and XexpError if its path was
    checked and another file is there now.

    ``timeout``: seconds to wait for another writer. Without ``isolation`` only an explicit
    ``BEGIN`` starts a transaction.
    """
    uri = where if isinstance(where, str) else address(where, mode, immutable=immutable)

    def opening() -> Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=timeout, isolation_level=isolation, factory=Connection
        )

    con = checked.confirmed(path_of(uri), opening, Connection.close)
    processes.interruptible(con)
    con.execute("PRAGMA trusted_schema = OFF")
    return con


class TableEntry(NamedTuple):
    """A table as listed in ``sqlite_schema``. ``kind``: as in ``PRAGMA table_list``."""

    name: str
    sql: str
    root: int
    kind: TableKind
    without_rowid: bool
    strict: bool


def tables(con: sqlite3.Connection, schema: str = "main") -> list[TableEntry]:
    """Return the tables of one attached database, oldest first, without views and SQLite's own."""
    rows = con.execute(
        f"SELECT type, name, sql, rootpage FROM {quote(schema)}.sqlite_schema "
        "WHERE type IN ('table', 'index') ORDER BY rowid"
    ).fetchall()
    indexes = {name for kind, name, _, _ in rows if kind == "index"}
    listed = [(name, sql or "", root or 0) for kind, name, sql, root in rows if kind == "table"]
    modules = {name: found[1] for name, sql, _ in listed if (found := _VIRTUAL.match(sql))}
    shadows = {
        f"{name}_{part}".lower()
        for name, module in modules.items()
        for part in _SHADOWS.get(module.lower(), ())
    }
    entries: list[TableEntry] = []
    for name, sql, root in listed:
        if name.lower().startswith("sqlite_"):
            continue
        virtual = name in modules or not root
        kind: TableKind = "virtual" if virtual else "table"
        if name.lower() in shadows:
            kind = "shadow"
        bare = not virtual and _without_rowid(con, schema, name, indexes)
        options = _COMMENT.sub(" ", sql).rpartition(")")[2].upper()
        entries.append(TableEntry(name, sql, root, kind, bare, "STRICT" in options))
    return entries


def _without_rowid(con: sqlite3.Connection, schema: str, table: str, indexes: set[str]) -> bool:
    """Return whether the primary key's index is the table itself (``sqlite_schema`` lists no such
    index)."""
    sql = f"PRAGMA {quote(schema)}.index_list({quote(table)})"
    return any(row[3] == "pk" and row[1] not in indexes for row in con.execute(sql).fetchall())


@contextmanager
def triggers_aside(con: sqlite3.Connection, *names: str, views: bool = False) -> Iterator[None]:
    """Remove the triggers of the tables ``names`` (none: all tables) during the block, then restore
    them.

    For use inside a transaction: rows that are merged or stamped were already inserted once.
    ``views``: remove views too, because SQLite resolves all of them when a column is dropped.
    """
    rows = con.execute(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_schema "
        "WHERE type IN ('trigger', 'view') ORDER BY rowid"
    ).fetchall()
    wanted = {name.lower() for name in names}
    aside = [
        (kind, name, sql)
        for kind, name, table, sql in rows
        if (views if kind == "view" else not names or table.lower() in wanted)
    ]
    for kind, name, _ in aside:
        if kind == "trigger":
            con.execute(f"DROP TRIGGER main.{quote(name)}")
    for kind, name, _ in aside:
        if kind == "view":  # and with it its own triggers, which were removed before
            con.execute(f"DROP VIEW main.{quote(name)}")
    yield
    for _, _, sql in aside:
        con.execute(sql)
