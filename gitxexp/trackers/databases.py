"""Open a results database, whichever engine wrote it, through one small SQL dialect.

xetrack 0.7 writes SQLite files with both of its engines; real DuckDB files come from other
trackers. Only standard SQL is used here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import Folder, kind_of_header, wal_of

#: The engine that opens a file.
Kind = Literal["sqlite", "duckdb"]
T = TypeVar("T")
Rows = Iterator[tuple[Any, ...]]

WAL_VERSION = 2  # bytes 18 and 19 of the SQLite header
CHUNK = 2000


class DatabaseProblem(XexpError):
    """A database that cannot be read or written as it is."""


class Locked(DatabaseProblem):
    """Another process is writing to the database."""


def kind_of(path: Path) -> Kind | None:
    """Which engine wrote ``path``, by its first bytes; None for any other or a missing file.

    Must not be called while this process has the file open in SQLite: closing the file drops
    the process's POSIX locks on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    return _kind(_head(path))


def _kind(head: bytes) -> Kind | None:
    """Return the engine; DuckDB reads a parquet file as a table of its name."""
    kind = kind_of_header(head)
    return "duckdb" if kind == "parquet" else kind


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(20)
    except OSError:
        return b""


@dataclass(frozen=True, slots=True)
class Database:
    """An open connection. ``kind`` selects the SQL where the engines differ."""

    path: Path
    kind: Kind
    raw: Any

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Rows:
        """The rows of a query, fetched in blocks."""
        cursor = self.raw.execute(sql, list(params))
        while block := cursor.fetchmany(CHUNK):
            yield from block

    def run(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement; return the number of rows that it changed."""
        cursor = self.raw.execute(sql, list(params))
        if self.kind == "sqlite":
            return max(int(cursor.rowcount), 0)
        found = cursor.fetchall() if cursor.description else []
        return int(found[0][0]) if found and isinstance(found[0][0], int) else 0

    @property
    def update(self) -> str:
        """The SQL of an UPDATE that fails rather than delete another row, as a constraint declared with
        ``ON CONFLICT REPLACE`` would."""
        return "UPDATE OR ABORT" if self.kind == "sqlite" else "UPDATE"

    def triggers_aside(self, *tables: str, views: bool = False) -> AbstractContextManager[None]:
        """Disable the triggers of the tables (none: of all), and optionally the views, for changes that
        are not new rows. DuckDB has no triggers, and its views are unaffected."""
        if self.kind == "duckdb":
            return nullcontext()
        return sqlite.triggers_aside(self.raw, *tables, views=views)


def reading(path: Path, action: Callable[[Database], T], memory: int = 0) -> T:
    """Run ``action`` on a read-only connection; return its result. ``memory``: bytes that DuckDB may
    use before it spills (0: its default).

    A SQLite file in WAL mode that nobody has open is read as immutable, because any other way
    leaves ``-wal`` and ``-shm`` files behind. If a writer appears meanwhile, ``action`` is run
    again on an ordinary connection.
    """
    head = _head(path)
    kind = _usable(path, head)
    with _explained(path):
        if kind == "duckdb":
            with Folder() if memory else nullcontext() as scratch:
                limits = (
                    {"memory_limit": f"{memory}B", "temp_directory": str(scratch.path)}
                    if scratch
                    else {}
                )
                raw = _duckdb(path, read_only=True, limits=limits)
                with _closing(path, kind, raw) as database:
                    return action(database)
        if head[18:20] == bytes((WAL_VERSION, WAL_VERSION)) and not wal_of(path).exists():
            before = _state(path)
            with _closing(path, kind, _sqlite(path, "ro", immutable=True)) as database:
                result = action(database)
            if _state(path) == before:
                return result
        with _closing(path, kind, _sqlite(path, "ro")) as database:
            return action(database)


@contextmanager
def writing(path: Path, timeout: float = 10.0) -> Iterator[Database]:
    """Yield a connection inside one transaction, committed at the end and rolled back on any error.

    ``timeout``: seconds to wait for another writer (SQLite; DuckDB refuses at once).
    Raises :class:`Locked`, or :class:`DatabaseProblem` for a file that cannot be written.
    """
    kind = _usable(path, _head(path))
    with _explained(path):
        raw = _sqlite(path, "rw", timeout) if kind == "sqlite" else _duckdb(path, False)
        with _closing(path, kind, raw) as database:
            database.run("BEGIN IMMEDIATE" if kind == "sqlite" else "BEGIN")
            try:
                yield database
            except BaseException:
                with suppress(Exception):  # a full disk has rolled back already
                    database.run("ROLLBACK")
                raise
            database.run("COMMIT")


def _sqlite(
    path: Path, mode: sqlite.Mode, timeout: float = 10.0, *, immutable: bool = False
) -> sqlite.Connection:
    connection = sqlite.connect(path, mode, immutable=immutable, timeout=timeout)
    connection.limit_cells()
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def _duckdb(path: Path, read_only: bool, limits: Mapping[str, str] = MappingProxyType({})) -> Any:
    from gitxexp.tables.duckdb.session import connect_file, connect_parquet  # 110 ms

    if kind_of_header(_head(path)) != "parquet":
        return connect_file(path, read_only=read_only, limits=limits)
    if not read_only:
        raise DatabaseProblem(f"a parquet file is written once and not changed: {path}")
    return connect_parquet(path, limits)


@contextmanager
def _closing(path: Path, kind: Kind, raw: Any) -> Iterator[Database]:
    try:
        yield Database(path, kind, raw)
    finally:
        raw.close()


def _state(path: Path) -> tuple[int, int, bool]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, wal_of(path).exists()


def _usable(path: Path, head: bytes) -> Kind:
    """Return the engine of an existing database; raises an error that says what is wrong otherwise."""
    kind = _kind(head)
    if kind is not None:
        return kind
    if not path.exists():
        raise DatabaseProblem(
            f"no such results database: {path}",
            "train first, or fetch it: dvc pull; another path: [results] in .xexp/config.toml",
        )
    if path.is_dir():
        raise DatabaseProblem(f"a folder, not a results database: {path}")
    if path.stat().st_size == 0:
        raise DatabaseProblem(f"the results database is empty (0 bytes): {path}", "train first")
    if not head:
        raise DatabaseProblem(f"the results database cannot be read: {path}", "check: ls -l")
    raise DatabaseProblem(
        f"not a SQLite or DuckDB database: {path}",
        "is it an unfinished download or a pointer? try: dvc checkout, git lfs pull",
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert both engines' errors to ours, so that no user sees their tracebacks."""
    try:
        yield
    except XexpError:
        raise
    except sqlite3.Error as error:
        raise _problem(path, str(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
            raise
        raise _problem(path, str(error)) from error


#: Words of the engines for a file that is not whole.
_DAMAGED = ("malformed", "not a database", "corrupt", "no magic bytes", "too small to be a parquet",
            "footer length", "read enough bytes")  # fmt: skip


def _problem(path: Path, message: str) -> DatabaseProblem:
    text = message.strip().split("\n")[0]  # DuckDB adds the statement
    lower = text.lower()
    if "locked" in lower or "could not set lock" in lower or "conflicting lock" in lower:
        return Locked(
            f"the results database is in use by another process: {path}",
            "let the training finish (or close the tracker and notebooks), then try again",
        )
    if any(words in lower for words in _DAMAGED):
        rescue = "; or rescue rows: sqlite3 FILE .recover" if kind_of(path) == "sqlite" else ""
        return DatabaseProblem(
            f"the results database is damaged: {path} ({text})",
            f"restore the last good one: dvc checkout{rescue}",
        )
    if "readonly" in lower or "read-only" in lower or "permission" in lower:
        return DatabaseProblem(
            f"the results database is read-only: {path} ({text})",
            "DVC may have linked it from the cache: dvc unprotect FILE",
        )
    return DatabaseProblem(f"the results database cannot be used: {path} ({text})")
