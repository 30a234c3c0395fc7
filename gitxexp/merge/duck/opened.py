"""What an opened input is to DuckDB: tables that it can select from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitxexp.merge.kinds import Kind


@dataclass(frozen=True)
class Table:
    """One table of one input. ``relation`` is a FROM item, ``row`` its row number expression."""

    name: str | None  #: None for parquet, whose one table has no name of its own
    relation: str
    row: str
    columns: Mapping[str, str]  #: column name -> DuckDB type, in order; ``"NULL"`` if all NULL
    kind: Kind
    unique: tuple[tuple[str, ...], ...] = ()  #: unique keys that are declared, primary key first
    primary: bool = False  #: the first of ``unique`` is one integer column, the primary key
    ddl: str = ""  #: its CREATE TABLE, for a database
    schema: str = "main"


@dataclass(frozen=True)
class Source:
    """One opened input."""

    path: Path
    kind: Kind
    tables: tuple[Table, ...]
    alias: str = ""  #: the DuckDB catalog of a DuckDB file
    stamp: tuple[int, ...] = ()  #: how it was when opened; empty if a transaction holds it still
    objects: Mapping[str, str] = field(default_factory=dict)  #: index/view name -> CREATE statement
    close: Callable[[], None] = lambda: None
    handle: Any = None  #: the SQLite connection that holds the snapshot


def stamp(path: Path) -> tuple[int, ...]:
    """What tells that a file was not touched since: inode, size, time, also of its log."""
    found: list[int] = []
    for item in (path, path.with_name(path.name + ".wal"), path.with_name(path.name + "-wal")):
        try:
            stat = item.stat()
        except OSError:
            found += [0, 0, 0]
        else:
            found += [stat.st_ino, stat.st_size, stat.st_mtime_ns if stat.st_size else 0]
    return tuple(found)
