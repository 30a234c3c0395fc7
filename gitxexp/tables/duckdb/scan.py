"""Convert SQLite tables to parquet files for DuckDB: without an extension, and without changing a
value.

SQLite's columns may mix storage classes, DuckDB's do not: integers mixed with reals become reals if
each converts exactly (below 2^53), any other mixture becomes text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.garbage import no_collection
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb import source
from gitxexp.tables.duckdb.parquet_writer import MixedColumn, ParquetWriter

#: Rows per group, and the maximum bytes per group if rows are large.
_ROWS, _BYTES = 1 << 14, 1 << 25

#: SQLite's rules for declared types (sqlite.org/datatype3.html, 3.1), in their order.
_AFFINITIES = ((b"INT", "integer"), (b"CHAR", "text"), (b"CLOB", "text"), (b"TEXT", "text"),
               (b"BLOB", "blob"), (b"REAL", "real"), (b"FLOA", "real"), (b"DOUB", "real"))  # fmt: skip
TYPES = {
    "integer": "BIGINT",
    "real": "DOUBLE",
    "text": "VARCHAR",
    "blob": "BLOB",
    "bool": "BOOLEAN",
}

Ranges = Sequence[Sequence[int]]


@dataclass(frozen=True)
class TablePart:
    """A part of a table: ``columns`` None means all, ``limit`` None all rows; ``ranges`` of rowids,
    None: all."""

    table: str
    columns: frozenset[str] | None = None  #: in lower case
    limit: int | None = None
    ranges: Ranges | None = None


def tables(path: Path) -> dict[str, dict[str, str]]:
    """Each table that a user made, with the DuckDB type that each column is declared as.

    Raises :class:`gitxexp.common.errors.XexpError` for a file that cannot be read.
    """
    con, _ = source.connect(path)
    with closing(con):
        try:
            return {
                name: {column: TYPES[kind] for column, kind in _columns(con, name).items()}
                for name, _ in source.user_tables(con)
            }
        except sqlite3.Error as error:
            raise source.sqlite_error(path, error) from None


def views(path: Path) -> list[str]:
    """The names of the views of an SQLite file. Raises as :func:`tables` does."""
    con, _ = source.connect(path)
    with closing(con):
        try:
            rows = con.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall()
            return [name for (name,) in rows]
        except sqlite3.Error as error:
            raise source.sqlite_error(path, error) from None


@dataclass(frozen=True)
class Written:
    """The result of :func:`write`: the kind of each column that has a value, and notes on columns
    that DuckDB gets in another form."""

    kinds: Mapping[str, str]
    notes: list[str]


def write(path: Path, part: TablePart, out: Path) -> Written:
    """Write ``part`` of the SQLite file ``path`` as the parquet file ``out``. Raises XexpError for a file
    that cannot be read."""
    con, _ = source.connect(path)
    with closing(con), no_collection():
        try:
            return _write(con, part, out)
        except sqlite3.Error as error:
            raise source.sqlite_error(path, error) from None


def _write(con: sqlite3.Connection, part: TablePart, out: Path) -> Written:
    declared = columns(con, part)
    names = list(declared)
    forms: dict[str, Callable[[Any], Any]] = {}
    notes: list[str] = []
    while True:
        writer = ParquetWriter(out, names)
        try:
            for batch in _batches(con, part, names):
                for at, name in enumerate(names):
                    if name in forms:
                        batch[at] = [None if v is None else forms[name](v) for v in batch[at]]
                writer.add(batch)
            writer.close(declared)
            return Written(writer.kinds, notes)
        except MixedColumn:
            writer.abandon()
            forms = _forms(con, part.table, names)
            texts = [name for name, form in forms.items() if form is as_text]
            notes += [f"column {name} of {part.table} mixes numbers and other values: it is read as text"
                      for name in texts]  # fmt: skip
        except (sqlite3.OperationalError, UnicodeEncodeError) as error:
            writer.abandon()
            if "decode" not in str(error) or con.text_factory is not str:
                raise
            con.text_factory = _escaped
            notes.append(f"{part.table} has text that is not UTF-8: its bytes are shown as \\xNN")


def _escaped(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def columns(con: sqlite3.Connection, part: TablePart) -> dict[str, str]:
    """Return each column of ``part``, at least one, and its declared kind."""
    declared = _columns(con, part.table)
    wanted = part.columns
    names = [name for name in declared if wanted is None or name.lower() in wanted]
    names = names or list(declared)[:1]  # only their number may be needed
    return {name: declared[name] for name in names}


def _columns(con: sqlite3.Connection, table: str) -> dict[str, str]:
    """Return each column (generated ones too) and its declared kind."""
    rows = con.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
    return {row[1]: _affinity(row[2]) for row in rows if row[6] != 1}


def _affinity(declared: str) -> str:
    letters = declared.encode().upper()  # as SQLite, which knows no case but that of ASCII
    return next((kind for word, kind in _AFFINITIES if word in letters), "integer")


def _batches(
    con: sqlite3.Connection, part: TablePart, names: Sequence[str]
) -> Iterator[list[Sequence[Any]]]:
    picked = ", ".join(map(quote, names))
    sql = f"SELECT {picked} FROM {quote(part.table)}"
    end = f" LIMIT {part.limit}" if part.limit is not None else ""
    size = group_size(con, part.table)
    selects = [sql + end] if part.ranges is None else [
        f"{sql} WHERE rowid BETWEEN {low} AND {high}{end}" for low, high in part.ranges
    ]  # fmt: skip
    width = len(names)
    for select in selects:
        cursor = con.execute(select)
        # Not a list of rows: each tuple is freed and reused once its cells are taken.
        while cells := list(chain.from_iterable(islice(cursor, size))):
            yield [cells[at::width] for at in range(width)]


def group_size(con: sqlite3.Connection, table: str) -> int:
    """Return how many rows to keep in memory: fewer if they are large, judging by the first ones."""
    first = con.execute(f"SELECT * FROM {quote(table)} LIMIT 50").fetchall()
    size = sum(len(v) if isinstance(v, str | bytes) else 8 for row in first for v in row)
    return max(64, min(_ROWS, _BYTES * len(first) // size if size else _ROWS))


# -- mixed columns -------------------------------------------------------------------------------


def _forms(
    con: sqlite3.Connection, table: str, names: Sequence[str]
) -> dict[str, Callable[[Any], Any]]:
    """The form of every column with more than one storage class."""
    forms: dict[str, Callable[[Any], Any]] = {}
    for name in names:
        column = quote(name)
        found = {
            row[0] for row in con.execute(f"SELECT DISTINCT typeof({column}) FROM {quote(table)}")
        }
        found.discard("null")
        if found == {"integer", "real"} and not _inexact(con, table, column):
            forms[name] = float
        elif len(found) > 1:
            forms[name] = as_text
    return forms


def _inexact(con: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether an integer of the column may not convert exactly to a real."""
    sql = (
        f"SELECT 1 FROM {quote(table)} WHERE typeof({column}) = 'integer' "
        f"AND {column} NOT BETWEEN -9007199254740992 AND 9007199254740992 LIMIT 1"
    )
    return con.execute(sql).fetchone() is not None


def as_text(value: Any) -> str:
    """A value of a mixed column; a blob in hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str) else repr(value)


def rowid_named(path: Path, table: str) -> bool:
    """Whether ``rowid`` is the rowid of the table: it has one, and no column of that name hides it."""
    con, _ = source.connect(path)
    with closing(con):
        return source.row_alias(
            con, table, list(_columns(con, table))
        ) is not None and "rowid" not in {name.lower() for name in _columns(con, table)}


def write_records(out: Path, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
    """Write ``rows`` as the parquet file ``out``; ``columns``: the kind of each if it has no value.

    A column of integers and reals becomes one of reals, any other mixture text.
    """
    writer = ParquetWriter(out, list(columns))
    if rows:
        writer.add([_alike(list(values)) for values in zip(*rows, strict=True)])
    writer.close(columns)


def _alike(values: list[Any]) -> list[Any]:
    types = {type(value) for value in values} - {type(None)}
    large = int in types and any(type(v) is int and not -(2**63) <= v < 2**63 for v in values)
    if len(types) <= 1 and not large:
        return values
    if types == {int, float} and not large:
        return [None if v is None else float(v) for v in values]
    return [
        None if v is None else str(v).lower() if isinstance(v, bool) else as_text(v) for v in values
    ]
