"""A private DuckDB for one merge: bounded memory, a spill folder, no extensions, clear errors.

Opened inputs are tables that DuckDB can select from.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from gitxexp.common import checked, processes
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import Folder, Kind
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.core import core


class DuckdbRefused(XexpError):
    """DuckDB could not do one of its steps."""


class Shortage(XexpError):
    """DuckDB's memory limit was too small for one of its steps."""


class Session:
    """A DuckDB connection with its scratch folder; close it to remove both.

    ``memory`` is in bytes; 0 is :data:`MEMORY`. Everything beyond it spills to the
    scratch folder, which lies in ``beside`` (the folder of the output, so that spilling needs no
    second disk) or in the system's.
    """

    def __init__(self, memory: int, beside: Path | None = None) -> None:
        self._folder = Folder(beside)
        self.scratch = self._folder.path
        self._numbers = itertools.count()
        self._apart: Folder | None = None
        memory = max(memory, LEAST) if memory else MEMORY
        self._kept: list[str] = []
        self._handles: list[int] = []  #: closed after the connection, whose locks they would drop
        self._disk = ""
        self._con = _connect(self.scratch, memory)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and remove the scratch folder."""
        self._con.close()
        while self._handles:
            os.close(self._handles.pop())
        for folder in filter(None, (self._folder, self._apart)):
            folder.close()

    @property
    def connection(self) -> Any:
        """DuckDB's own connection, whose errors are not converted."""
        return self._con

    def rows(self, sql: str, params: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows; errors become :class:`XexpError`."""
        with translated():
            return self._con.execute(sql, params).fetchall()  # type: ignore[no-any-return]

    def thrifty(self, sql: str) -> None:
        """Run a repeatable statement; if memory is short, retry with one thread.

        Each thread of a COPY holds row groups, and more of them the slower the disk is.
        """
        try:
            self.rows(sql)
        except Shortage:
            self.rows("SET threads = 1")
            self.rows(sql)

    def statements(self, script: str) -> list[str]:
        """Split a script into statements, each as written."""
        with translated():
            return [statement.query for statement in self._con.extract_statements(script)]

    def batches(self, sql: str, size: int = 4096) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query in lists of at most ``size``."""
        with translated():
            cursor = self._con.execute(sql)
            while batch := cursor.fetchmany(size):
                yield batch

    def value(self, sql: str) -> Any:
        """The first column of the first row."""
        return self.rows(sql)[0][0]

    def describe(self, relation: str) -> dict[str, str]:
        """Column name to type of a FROM clause or a parenthesised query, in order."""
        return {row[0]: row[1] for row in self.rows(f"DESCRIBE SELECT * FROM {relation}")}

    @contextlib.contextmanager
    def within(self, alias: str) -> Iterator[None]:
        """Let statements find the types, macros and sequences of one file, in whatever schema they are.

        They hide functions of DuckDB's own that have their names, so such a statement should call none.
        """
        schemas = self.rows(
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = $1 AND NOT internal "
            "ORDER BY schema_name <> 'main', oid",
            [alias],
        )
        path = ",".join(f"{quote(alias)}.{quote(name)}" for (name,) in [("main",), *schemas])
        self.rows(f"SET search_path = {literal(path)}")
        try:
            yield
        finally:
            self.rows("USE memory")

    def name(self, prefix: str) -> str:
        """A name not yet used in this session."""
        return f"xexp_{prefix}_{next(self._numbers)}"

    def keep(self, prefix: str, query: str) -> str:
        """Store a query's result in a temporary table (which may spill) and return its name."""
        name = self.name(prefix)
        self.rows(f"CREATE TEMP TABLE {name} AS {query}")
        self._kept.append(name)
        return name

    def store(self, prefix: str, query: str) -> str:
        """Like :meth:`keep`, but in a file: only what is being read is in memory."""
        if not self._disk:
            self._disk = self.name("disk")
            self.rows(f"ATTACH {literal(str(self.scratch / 'disk.duckdb'))} AS {self._disk}")
        name = f"{self._disk}.{self.name(prefix)}"
        self.rows(f"CREATE TABLE {name} AS {query}")
        self._kept.append(name)
        return name

    def mark(self) -> int:
        """A mark for :meth:`forget`."""
        return len(self._kept)

    def forget(self, mark: int, spare: Sequence[str] = ()) -> None:
        """Drop what was kept since ``mark``, without ``spare``."""
        late = self._kept[mark:]
        for name in late:
            if name not in spare:
                self.rows(f"DROP TABLE {name}")
        self._kept[mark:] = [name for name in late if name in spare]

    def workplace(self, path: Path) -> Path:
        """Return where to build a DuckDB file: DuckDB misplaces the log of a path with ``?``."""
        if "?" not in str(path.resolve()):
            return path
        if self._apart is None:
            self._apart = Folder()
        return self._apart.path / path.name

    def seal(self, sources: Sequence[Source], out: Path | None = None) -> None:
        """Restrict access to reading the opened ``sources`` and writing the folder of ``out``.

        A view or macro of a source could name any file, or a FIFO without a writer.
        """
        folders = [self.scratch, *([out.parent] if out else [])]
        if self._apart is not None:
            folders.append(self._apart.path)
        places = ", ".join(literal(f"{folder.resolve()}/") for folder in folders)
        files = ", ".join(literal(str(source.path.resolve())) for source in sources)
        self.rows(f"SET allowed_directories = [{places}]")
        self.rows(f"SET allowed_paths = [{files}]")
        self.rows("SET enable_external_access = false")

    def inside(self, path: Path) -> str:
        """Return a plain name, through a link to its folder, for a file to be written."""
        folder = self.scratch / f"out{next(self._numbers)}"
        folder.symlink_to(path.parent.resolve())
        return str(folder / path.name)

    def link(self, path: Path, suffix: str) -> str:
        """A plain name for ``path``: DuckDB would expand ``*?[`` and read ``%`` or ``:`` specially.

        A database's write-ahead log is found by name, so it gets its link too.
        """
        link = self.scratch / f"in{next(self._numbers)}{suffix}"
        link.symlink_to(self._opened(path) or path.resolve())
        wal = path.resolve().with_name(path.resolve().name + ".wal")
        if suffix == ".duckdb" and wal.exists():
            link.with_name(link.name + ".wal").symlink_to(wal)
        return str(link)

    def _opened(self, path: Path) -> Path | None:
        """Open a file whose path was checked, and return a name of the descriptor: what is put at
        the path meanwhile is not read. None for another file, or if the system has no such name."""
        if checked.identity_of(path) is None or not _DESCRIPTORS.is_dir():
            return None
        handle = checked.open_file(path)
        self._handles.append(handle)
        return _DESCRIPTORS / str(handle)


#: Open files of this process, by descriptor (proc(5)).
_DESCRIPTORS = Path("/proc/self/fd")


def _connect(scratch: Path, memory: int) -> Any:
    duckdb = core()
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{memory // 1_000_000}MB",
        "temp_directory": str(scratch / "spill"),
        "preserve_insertion_order": "true",
    }
    with translated():
        con = duckdb.connect(":memory:", config=config)
        con.execute("SET TimeZone = 'UTC'")
        _quiet(con)
    return con


def _quiet(con: Any) -> None:
    """Let signals end a statement, and draw no progress bar on standard output, as DuckDB does in
    notebooks and in ``python -c``."""
    con.execute("SET enable_progress_bar = false")
    processes.interruptible(con)


#: Settings that keep a file from loading code, and from reading or writing another file.
_SEALED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def connect_file(path: Path, *, read_only: bool, limits: Mapping[str, str] | None = None) -> Any:
    """A connection to one DuckDB file, and to nothing else: its views and macros reach no other
    file. ``limits`` are settings of DuckDB's. Raises ``duckdb.Error``."""
    duckdb = core()
    config = {**_SEALED, **(limits or {})}
    con = checked.confirmed(
        path,
        lambda: duckdb.connect(str(path), read_only=read_only, config=config),
        lambda opened: opened.close(),
    )
    _quiet(con)
    con.execute("SET lock_configuration = true")
    return con


#: Comment of a column that is not in the file.
ROW_NUMBER = "number of the row"


def connect_parquet(path: Path, limits: Mapping[str, str] | None = None) -> Any:
    """A connection with one view, named as the file, of its rows; it reaches no other file, and only
    what is being read is in memory. Unless a column of the file has that name, ``rowid`` numbers the
    rows as in a table; its comment is :data:`ROW_NUMBER`. ``limits`` are settings of DuckDB's. Raises
    ``duckdb.Error``."""
    duckdb = core()
    con = duckdb.connect(":memory:", config=dict(limits or {}))
    _quiet(con)
    place = path.resolve()
    if checked.identity_of(path) is not None and _DESCRIPTORS.is_dir():
        handle = checked.open_file(path)
        weakref.finalize(con, os.close, handle)
        place = _DESCRIPTORS / str(handle)
    file = literal(str(place))
    con.execute(f"SET allowed_paths = [{file}]")
    con.execute("SET enable_external_access = false")
    rows = f"SELECT * FROM read_parquet({file}, hive_partitioning = false)"
    columns = {name.lower() for name, *_ in con.execute(f"DESCRIBE {rows}").fetchall()}
    numbered = columns.isdisjoint(("rowid", "file_row_number"))
    if numbered:
        rows = (
            "SELECT * RENAME (file_row_number AS rowid)"
            f" FROM read_parquet({file}, hive_partitioning = false, file_row_number = true)"
        )
    view = quote(path.stem)
    con.execute(f"CREATE VIEW {view} AS {rows}")
    if numbered:
        con.execute(f"COMMENT ON COLUMN {view}.rowid IS '{ROW_NUMBER}'")
    return con


@contextlib.contextmanager
def translated(what: str = "") -> Iterator[None]:
    """Turn DuckDB's exceptions into ours; ``what`` names the file or step at work."""
    duckdb = core()
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except RuntimeError as error:  # DuckDB's exception for a KeyboardInterrupt that it caught
        if "Query interrupted" not in str(error):
            raise
        raise KeyboardInterrupt from error
    except duckdb.Error as error:
        raise explain(error, what) from None


def explain(error: Exception, what: str = "") -> XexpError:
    """Convert a DuckDB error to a :class:`DuckdbRefused` (or :class:`Shortage`) with the next step."""
    first = str(error).strip().split("\n")[0]
    where = f"{what}: " if what else ""
    if "Out of Memory" in str(error):
        return Shortage(
            f"{where}the merge needs more memory than it may use", "raise it with --memory"
        )
    for needle, message, hint in _KNOWN:
        if needle in str(error):
            return DuckdbRefused(f"{where}{message}", hint=hint or first)
    return DuckdbRefused(f"{where}{first}")


_KNOWN = (
    (
        "Could not set lock",
        "another program has this DuckDB file open for writing",
        "close it there, then merge again; nothing was changed",
    ),
    (
        "newer version of DuckDB",
        "this file was written by a newer DuckDB than the one installed here",
        "pip install --upgrade duckdb",
    ),
    ("is encrypted", "the file is encrypted", "decrypt it first"),
    ("Cannot open encrypted database", "the file is encrypted", "decrypt it first"),
    ("No space left", "the disk is full", "free space or write elsewhere with -o"),
    ("too small to be a Parquet", "the parquet file is cut short", ""),
    ("No magic bytes", "the parquet file is cut short or damaged", ""),
    ("Footer length error", "the parquet file is damaged", ""),
    ("Could not read enough bytes", "the file is cut short or damaged", ""),
    ("Corrupt database", "the DuckDB file is damaged", ""),
    ("Invalid Input Error: Invalid unicode", "a text value is not valid UTF-8", ""),
)

#: Bytes below which DuckDB cannot even read the wider parquet files.
LEAST = 64_000_000

#: Without ``--memory``. More does not make DuckDB write parquet faster; larger needs spill.
MEMORY = 1_000_000_000


#: The type of a column without any value.
EMPTY = '"NULL"'


@dataclass(frozen=True)
class Table:
    """One table of one input. ``relation`` is a FROM item, ``row`` its row number expression."""

    name: str | None  #: None for parquet, whose one table has no name of its own
    relation: str
    row: str
    columns: Mapping[str, str]  #: column name -> DuckDB type, in order; :data:`EMPTY` if all NULL
    kind: Kind
    unique: tuple[tuple[str, ...], ...] = ()  #: unique keys that are declared, primary key first
    primary: bool = False  #: the first of ``unique`` is one integer column, the primary key
    ddl: str = ""  #: its CREATE TABLE, for a database
    schema: str = "main"
    generated: Mapping[str, str] = field(default_factory=dict)  #: further columns, computed ones

    @property
    def short(self) -> str:
        """The name of a DuckDB table without its schema."""
        name = self.name or ""
        return name if self.schema == "main" else name[len(self.schema) + 1 :]


@dataclass(frozen=True)
class Source:
    """One opened input."""

    path: Path
    kind: Kind
    tables: tuple[Table, ...]
    alias: str = ""  #: the DuckDB catalog of a DuckDB file
    stamp: tuple[int, ...] = ()  #: its state when opened; empty if a transaction locks it
    #: SQLite's indexes, views and triggers: name -> CREATE statement
    objects: Mapping[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None
    handle: Any = None  #: the SQLite connection that holds the snapshot


def stamp(path: Path) -> tuple[int, ...]:
    """A fingerprint to detect changes to a file: inode, size, time, also of its log."""
    found: list[int] = []
    for item in (path, path.with_name(path.name + ".wal"), path.with_name(path.name + "-wal")):
        try:
            stat = item.stat()
        except OSError:
            found += [0, 0, 0]
        else:
            found += [stat.st_ino, stat.st_size, stat.st_mtime_ns if stat.st_size else 0]
    return tuple(found)
