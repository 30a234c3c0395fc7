"""Sources as consistent snapshots that are never written.

A live database is attached read-only and read inside one transaction. A database that SQLite would
have to recover (an unfinished journal, a WAL without its index), leaving files next to it, is read
from a private copy.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gitxexp.common import checked, sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import quote
from gitxexp.tables.rules import fold
from gitxexp.tables.sqlite.files import Header, child, clear_errors, read_headers
from gitxexp.tables.sqlite.schema import Schema, Table, read_schema

BUSY_SECONDS = 5.0
CHECKED_BYTES = 4 << 20  #: files up to this size are checked wholly before they are used
ENCODINGS = {1: "UTF-8", 2: "UTF-16le", 3: "UTF-16be"}
_CONSTRAINT_WORDS = ("CHECK constraint", "NULL value", "non-unique", "value in", "NUMERIC")


@dataclass(frozen=True)
class Source:
    """One input: the file the user named, what to attach for it, and its raw pages."""

    path: Path
    header: Header
    uri: str
    raw: Path | None  #: the file whose pages are the whole content, None if a WAL adds to them
    stamp: tuple[int, int] | None = None  #: set when nothing locks it: then it must not change
    size: int = 0

    def unchanged(self) -> None:
        """Raise XexpError if a file that was read without locks changed meanwhile."""
        if self.stamp is not None and (_stamp(self.path) != self.stamp or _wal_size(self.path)):
            raise XexpError(
                f"{self.path} was written to while it was read",
                "try again when nothing writes to it",
            )


def open_sources(paths: Sequence[Path], scratch: Path) -> list[Source]:
    """Every input, checked; ``scratch`` is a private folder for copies."""
    headers = read_headers(paths)
    return [
        _open(path, header, scratch / str(i))
        for i, (path, header) in enumerate(zip(paths, headers, strict=True))
    ]


def _open(path: Path, header: Header, private: Path) -> Source:
    with clear_errors(path):
        source = _choose(path, header, private)
        with closing(connect(source.uri)) as con:
            con.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if source.size <= CHECKED_BYTES:
                _quick_check(con, path)
        return source


def _choose(path: Path, header: Header, private: Path) -> Source:
    stamp, size = _stamp(path), path.stat().st_size
    if header.wal:
        if not _wal_size(path):
            return Source(path, header, sqlite.address(path, immutable=True), path, stamp, size)
        if _beside(path, "-shm").exists():
            return Source(path, header, sqlite.address(path), None, None, size)
        return _private(path, private, "-wal")
    if _hot_journal(path):
        return _private(path, private, "-journal")
    return Source(path, header, sqlite.address(path), path, None, size)


def _private(path: Path, private: Path, suffix: str) -> Source:
    """Copy a database and what an interrupted writer left; SQLite recovers it when it is opened."""
    before = _stamp(path)
    copied = copy_file(path, Path(f"{private}.db"))
    copy_file(_beside(path, suffix), Path(f"{private}.db{suffix}"))
    with closing(sqlite.connect(copied)) as con:
        con.execute("PRAGMA journal_mode=DELETE").fetchone()
        con.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if _stamp(path) != before:
        raise XexpError(
            f"{path} was written to while it was read", "try again when nothing writes to it"
        )
    return Source(path, read_headers([copied])[0], sqlite.address(copied), copied, None, before[1])


def copy_file(source: Path, target: Path) -> Path:
    """Copy raw bytes in a process of its own."""
    create_private(target)
    are = [checked.identity_of(source)]
    child({"files": [str(source)], "are": are, "out": str(target), "pairs": []})
    return target


def create_private(path: Path) -> None:
    """Create an empty file readable only by this user: the copied one may be private."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))


def _hot_journal(path: Path) -> bool:
    """Whether a rollback journal exists next to ``path`` and no writer holds it."""
    journal = _beside(path, "-journal")
    try:
        if journal.stat().st_size == 0:
            return False
        with closing(connect(sqlite.address(path))) as con:
            con.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except FileNotFoundError:
        return False
    except sqlite3.OperationalError as error:
        return "locked" not in str(error)
    return False


def _beside(path: Path, suffix: str) -> Path:
    return Path(f"{path.resolve()}{suffix}")


def _wal_size(path: Path) -> int:
    try:
        return _beside(path, "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def connect(uri: str) -> sqlite3.Connection:
    """Return a connection that reads invalid text without failing and waits briefly for a writer."""
    con = sqlite.connect(uri, timeout=BUSY_SECONDS)
    con.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    return con


def _quick_check(con: sqlite3.Connection, path: Path) -> None:
    try:
        rows = [str(r[0]) for r in con.execute("PRAGMA quick_check(100)")]
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # an extension that is not available here
            return
        raise
    bad = [r for r in rows if r != "ok" and not any(w in r for w in _CONSTRAINT_WORDS)]
    if bad:
        raise XexpError(f"{path} is corrupt: {bad[0]}", "try `sqlite3 FILE .recover` on a copy")


def transcode(source: Source, encoding: int, scratch: Path) -> Source:
    """``source`` itself, or a private copy in ``encoding``: SQLite attaches only one encoding."""
    if source.header.encoding == encoding:
        return source
    target = (
        scratch / f"encoded-{source.path.name.encode().hex()[:40]}-{len(list(scratch.iterdir()))}"
    )
    with (
        clear_errors(source.path),
        closing(connect(source.uri)) as con,
        closing(sqlite.connect(target)) as out,
    ):
        out.execute(f"PRAGMA encoding='{ENCODINGS[encoding]}'")
        out.execute("PRAGMA synchronous=OFF")
        con.execute("BEGIN")
        _copy_rows(con, out, read_schema(con))
    return Source(
        source.path, read_headers([target])[0], sqlite.address(target), None, None, source.size
    )


def _copy_rows(con: sqlite3.Connection, out: sqlite3.Connection, schema: Schema) -> None:
    out.execute("BEGIN")
    for table in schema.tables.values():
        out.execute(table.sql)
        _copy_table(con, out, table)
    for kind, name, _, sql in schema.objects:
        if kind != "table" and not (kind == "index" and fold(name) in schema.tables):
            out.execute(sql)
    out.execute("COMMIT")


def _copy_table(con: sqlite3.Connection, out: sqlite3.Connection, table: Table) -> None:
    if table.content is not None:
        return
    names = [quote(c.name) for c in table.stored]
    if table.rowid and not table.alias:
        names.insert(0, table.rowid)
    rows = con.execute(f"SELECT {', '.join(names)} FROM {quote(table.name)}")
    holes = ", ".join("?" * len(names))
    out.executemany(f"INSERT INTO {quote(table.name)} ({', '.join(names)}) VALUES ({holes})", rows)
