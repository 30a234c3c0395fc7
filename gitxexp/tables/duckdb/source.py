"""Present every input, of any kind, as tables that DuckDB can select from.

Loads SQLite into DuckDB without an extension or Arrow, and verifies that nothing changed.

A column is loaded only if all its values have one storage class. Values travel as typed list
parameters (``unnest($1::BIGINT[])``), and each batch comes back by ``RETURNING`` and is compared
with SQLite's values: a changed value stops the merge.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import kind_of, wal_of
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.declaration import declaration
from gitxexp.tables.duckdb.session import (
    EMPTY,
    Session,
    Shortage,
    Source,
    Table,
    stamp,
    translated,
)


def open_source(
    session: Session,
    path: Path,
    stringify: tuple[str, ...] = (),
    allow_lossy: bool = False,
) -> Source:
    """Open ``path`` for reading; SQLite tables are loaded, others are read in place.

    Raises :class:`XexpError` for a file that is damaged, locked by a writer or of a newer format.
    """
    kind = kind_of(path)
    if kind == "parquet":
        return _parquet(session, path, allow_lossy)
    if kind == "duckdb":
        return open_duckdb(session, path)

    return open_sqlite(session, path, stringify, allow_lossy)


def _parquet(session: Session, path: Path, allow_lossy: bool) -> Source:
    before = stamp(path)
    link = literal(session.link(path, ".parquet"))
    relation = f"read_parquet({link}, hive_partitioning = false, file_row_number = true)"
    plain = f"read_parquet({link}, hive_partitioning = false)"
    with translated(str(path)), _Named(path):
        columns = session.describe(plain)
        fields = [
            _Field(*row) for row in session.rows(f"SELECT {_FIELD} FROM parquet_schema({link})")
        ]
        _check_names(fields, path)
        for name, logical in _top_level(fields):
            if logical == "NullType()":  # DuckDB before 2.0 calls it INTEGER
                columns[name] = EMPTY
    if not allow_lossy:
        _check_nanos(fields, columns, path)
        _check_decimals(fields, path)
    row = "file_row_number"
    if row in {name.lower() for name in columns}:
        row = "xexp_row"
        relation = f"(SELECT *, row_number() OVER () - 1 AS xexp_row FROM {plain})"
    table = Table(None, relation, row, columns, "parquet")
    return Source(path, "parquet", (table,), link, before)


class _Named:
    """Prefix an error message with the path if it lacks it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, XexpError) and str(self.path) not in error.message:
            raise XexpError(f"{self.path}: {error.message}", error.hint, error.exit_code) from None


@dataclass(frozen=True)
class _Field:
    """One row of DuckDB's ``parquet_schema``; the fields of a group follow it."""

    name: str
    logical: str | None
    children: int | None
    precision: int | None


_FIELD = "name, logical_type, num_children, precision"


def _top_level(fields: Sequence[_Field]) -> list[tuple[str, str | None]]:
    """Name and logical type of each top-level column of a parquet file."""
    found: list[tuple[str, str | None]] = []
    skip = 0
    for field in fields[1:]:
        if skip == 0:
            found.append((field.name, field.logical))
        skip = max(skip - 1, 0) + (field.children or 0)
    return found


def _check_names(fields: Sequence[_Field], path: Path) -> None:
    """Reject duplicate names, also inside structs, where DuckDB would give one field the values of
    the other."""
    open_groups: list[tuple[int, set[str]]] = []  # remaining fields, names seen
    for field in fields:
        name, children = field.name, field.children
        if open_groups:
            left, seen = open_groups.pop()
            if name.lower() in seen:
                raise XexpError(
                    f"{path} has two columns whose names differ only in case: {name}",
                    hint="rename one of them; columns are matched without regard to case",
                )
            if left > 1:
                open_groups.append((left - 1, {*seen, name.lower()}))
        if children:
            open_groups.append((children, set()))


def _check_nanos(fields: Sequence[_Field], columns: Mapping[str, str], path: Path) -> None:
    """DuckDB before 2.0 has no zoned nanosecond type and would drop the last three digits."""
    for name, logical in _top_level(fields):
        nanos = "isAdjustedToUTC=1" in (logical or "") and "NANOS=Nano" in (logical or "")
        if nanos and columns.get(name) == "TIMESTAMP WITH TIME ZONE":
            raise XexpError(
                f"{path}: column {name} has zoned nanosecond timestamps, which this DuckDB "
                "would cut to microseconds",
                hint="pip install --upgrade 'duckdb>=2', or accept the loss with --allow-lossy",
            )


def _check_decimals(fields: Sequence[_Field], path: Path) -> None:
    """DuckDB reads decimals of more than 38 digits as DOUBLE, and rounds them."""
    for field in fields:
        if (field.precision or 0) > 38:
            raise XexpError(
                f"{path}: column {field.name} has decimals of {field.precision} digits, which DuckDB "
                "would round",
                hint="accept the loss with --allow-lossy",
            )


def damaged(session: Session, source: Source) -> bool:
    """Return whether a part of a parquet file is unreadable: a statement over several does not tell."""
    try:
        for table in source.tables if source.kind == "parquet" else ():
            session.rows(f"SELECT count(h) FROM (SELECT hash(t) AS h FROM {table.relation} AS t)")
    except Shortage:
        return False
    except XexpError:
        return True
    return False


def open_duckdb(session: Session, path: Path, read_only: bool = True) -> Source:
    """Attach a DuckDB file; its write-ahead log is replayed in memory, never into the file."""
    alias = session.name("db")
    before = stamp(path)
    target = session.link(path, ".duckdb") if read_only else session.inside(path)
    mode = " (READ_ONLY)" if read_only else ""
    with translated(str(path)), _Named(path):
        session.rows(f"ATTACH {literal(target)} AS {alias}{mode}")
        tables = tuple(_duck_tables(session, alias))

    def close() -> None:
        session.rows(f"DETACH {alias}")

    return Source(path, "duckdb", tables, alias, before, close=close)


def _duck_tables(session: Session, alias: str) -> list[Table]:
    found = []
    every: dict[tuple[str, str], dict[str, str]] = {}  # DESCRIBE would bind what macros compute
    for schema, name, column, kind in session.rows(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = $1 ORDER BY column_index",
        [alias],
    ):
        every.setdefault((schema, name), {})[column] = kind
    for schema, name, ddl in session.rows(
        "SELECT schema_name, table_name, sql FROM duckdb_tables() "
        "WHERE database_name = $1 AND NOT internal ORDER BY table_oid",
        [alias],
    ):
        relation = f"{alias}.{quote(schema)}.{quote(name)}"
        columns = every[schema, name]
        if "rowid" in {column.lower() for column in columns}:
            raise XexpError(
                f"table {name} has a column called rowid, which DuckDB needs itself", "rename it"
            )
        computed = declaration(ddl).generated
        stored = {c: t for c, t in columns.items() if c not in computed}
        unique = _duck_keys(session, alias, schema, name, ddl)
        first = unique[0] if unique else ()
        primary = len(first) == 1 and columns.get(first[0], "").endswith(("INTEGER", "BIGINT"))
        label = name if schema == "main" else f"{schema}.{name}"
        others = {c: t for c, t in columns.items() if c in computed}
        found.append(
            Table(label, relation, "rowid", stored, "duckdb", unique, primary, ddl, schema, others)
        )
    return found


def _duck_keys(
    session: Session, alias: str, schema: str, name: str, ddl: str
) -> tuple[tuple[str, ...], ...]:
    keys = list(declaration(ddl).keys)
    for (sql,) in session.rows(
        "SELECT sql FROM duckdb_indexes() WHERE database_name = $1 AND schema_name = $2 "
        "AND table_name = $3 AND is_unique",
        [alias, schema, name],
    ):
        inside = re.search(r"\(([^()]*)\)\s*;?\s*$", sql or "")
        if inside:
            names = [part.strip().strip('"') for part in inside.group(1).split(",")]
            keys.append(tuple(names))
    return tuple(keys)


#: Rows per batch: larger lists gain nothing, and DuckDB 1.5 is quadratic in their size.
BATCH = 2048

#: Seconds to wait for another program's lock.
PATIENCE = 10.0

_TYPES = {"integer": "BIGINT", "real": "DOUBLE", "text": "VARCHAR", "blob": "BLOB"}


def open_sqlite(
    session: Session,
    path: Path,
    stringify: tuple[str, ...] = (),
    allow_lossy: bool = False,
) -> Source:
    """Load the user tables of ``path`` from one consistent snapshot, which stays open.

    Raises :class:`XexpError` for a column of mixed storage classes that ``stringify`` does not
    name, for a damaged file and for one that cannot be read consistently.
    """
    before = stamp(path)
    con, held = connect(path)
    try:
        tables = tuple(
            _load(session, con, name, ddl, {c.lower() for c in stringify}, allow_lossy)
            for name, ddl in user_tables(con)
        )
    except sqlite3.Error as error:
        raise sqlite_error(path, error) from None
    except XexpError as error:
        raise XexpError(f"{path}: {error.message}", error.hint, error.exit_code) from None
    return Source(
        path, "sqlite", tables, "", () if held else before, _sqlite_objects(con), con.close, con
    )


def connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A read-only connection inside a read transaction: everything it sees is one moment.

    A file in WAL mode whose log is absent has no writer, so it is opened immutable: otherwise
    SQLite would create files next to it. The second value is then False: no lock protects it.
    """
    with path.open("rb") as stream:
        logged = stream.read(20)[18:20] == b"\x02\x02"
    how = logged and not wal_of(path).exists()
    try:
        con = sqlite.connect(path, "ro", immutable=how, timeout=PATIENCE)
        con.execute("BEGIN")
        con.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise sqlite_error(path, error) from None
    return con, not how


def sqlite_error(path: Path, error: sqlite3.Error) -> XexpError:
    """SQLite's error with the next step."""
    message = str(error)
    if "locked" in message or "busy" in message:
        return XexpError(
            f"{path} is locked by another program", hint="wait until it has finished writing"
        )
    if "malformed" in message or "not a database" in message:
        return XexpError(f"{path} is damaged or encrypted: {message}", hint="restore it from DVC")
    if "decode" in message:
        return XexpError(f"{path} holds text that is not valid UTF-8", hint="use --engine sqlite")
    return XexpError(f"cannot read {path}: {message}")


def user_tables(con: sqlite3.Connection) -> list[tuple[str, str]]:
    """Name and CREATE statement of each table that a user made (no shadow or virtual tables)."""
    return [(table.name, table.sql) for table in sqlite.tables(con) if table.kind == "table"]


def row_alias(con: sqlite3.Connection, table: str, columns: Sequence[str]) -> str | None:
    """The name by which the rowid can be read, or None for WITHOUT ROWID."""
    taken = {column.lower() for column in columns}
    for alias in ("_rowid_", "rowid", "oid"):
        if alias not in taken:
            try:
                con.execute(f"SELECT {alias} FROM {quote(table)} LIMIT 0")
            except sqlite3.OperationalError:
                return None
            return alias
    return None


def _load(
    session: Session,
    con: sqlite3.Connection,
    name: str,
    ddl: str,
    stringify: set[str],
    allow_lossy: bool,
) -> Table:
    info = con.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    columns = [row[1] for row in info if row[6] != 1]  # 1: hidden
    types = _census(con, name, columns, stringify, allow_lossy)
    target = session.name("table")
    stored = ["BIGINT", *("VARCHAR" if t == EMPTY else t for t in types)]
    names = ["xexp_row", *(f"c{i}" for i in range(len(columns)))]
    spec = ", ".join(f"{n} {t}" for n, t in zip(names, stored, strict=True))
    session.rows(f"CREATE TEMP TABLE {target} ({spec})")
    alias = row_alias(con, name, columns)
    cells = ", ".join([alias or "NULL", *map(quote, columns)])
    cursor = con.execute(f"SELECT {cells} FROM {quote(name)}")
    texts = [i + 1 for i, c in enumerate(columns) if c.lower() in stringify]
    for batch in _batches(cursor, alias is None, texts, _doubles(types) if allow_lossy else []):
        _insert(session, target, stored, batch)
    shown = ", ".join(
        f"{'NULL' if t == EMPTY else n} AS {quote(c)}"
        for n, c, t in zip(names[1:], columns, types, strict=True)
    )
    relation = f"(SELECT {shown}{', ' if shown else ''}xexp_row FROM {target})"
    unique, primary = _keys(con, name, info)
    computed = {row[1] for row in info if row[6]}
    described = dict(zip(columns, types, strict=True))
    cols = {c: t for c, t in described.items() if c not in computed}
    generated = {c: t for c, t in described.items() if c in computed}
    return Table(
        name, relation, "xexp_row", cols, "sqlite", unique, primary, ddl, generated=generated
    )


def _census(
    con: sqlite3.Connection, name: str, columns: list[str], stringify: set[str], lossy: bool
) -> list[str]:
    """The DuckDB type of each column, from the storage classes that it really holds."""
    classes = list(_TYPES)
    types = []
    for part in (columns[i : i + 400] for i in range(0, len(columns), 400)):
        asked = ", ".join(f"max(typeof({quote(c)}) = '{k}')" for c in part for k in classes)
        flags = con.execute(f"SELECT {asked} FROM {quote(name)}").fetchone()
        for index, column in enumerate(part):
            found = {k for k, f in zip(classes, flags[4 * index : 4 * index + 4], strict=True) if f}
            types.append(_one_type(con, name, column, found, stringify, lossy))
    return types


def _one_type(
    con: sqlite3.Connection,
    table: str,
    column: str,
    found: set[str],
    stringify: set[str],
    lossy: bool,
) -> str:
    if not found:
        return EMPTY
    if column.lower() in stringify:
        return "VARCHAR"
    if len(found) == 1:
        return _TYPES[found.pop()]
    if lossy and found == {"integer", "real"}:
        return "DOUBLE"
    examples = ", ".join(f"{kind} {_example(con, table, column, kind)}" for kind in sorted(found))
    raise XexpError(
        f"column {column} of table {table} mixes storage classes ({examples}); "
        "a typed column cannot hold them all unchanged",
        hint=f"turn its values into text with --stringify {column}, or write SQLite",
    )


def _example(con: sqlite3.Connection, table: str, column: str, kind: str) -> str:
    row = con.execute(
        f"SELECT {quote(column)} FROM {quote(table)} WHERE typeof({quote(column)}) = ? LIMIT 1",
        [kind],
    ).fetchone()
    return repr(row[0])


def _doubles(types: list[str]) -> list[int]:
    return [i + 1 for i, kind in enumerate(types) if kind == "DOUBLE"]


def _batches(
    cursor: sqlite3.Cursor, number: bool, texts: list[int], doubles: list[int]
) -> Iterator[list[list[Any]]]:
    """Batches as one list per column, the row number first."""
    start = 0
    while rows := cursor.fetchmany(BATCH):
        columns = [list(values) for values in zip(*rows, strict=True)]
        if number:
            columns[0] = list(range(start, start + len(rows)))
        for index in texts:
            columns[index] = [_text(value) for value in columns[index]]
        for index in doubles:
            columns[index] = [None if v is None else float(v) for v in columns[index]]
        start += len(rows)
        yield columns


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else repr(value)


def _insert(session: Session, target: str, types: list[str], columns: list[list[Any]]) -> None:
    lists = ", ".join(f"unnest(${i + 1}::{t}[])" for i, t in enumerate(types))
    back = session.rows(f"INSERT INTO {target} SELECT {lists} RETURNING *", columns)
    returned = [list(values) for values in zip(*back, strict=True)]
    for kind, sent, got in zip(types, columns, returned, strict=True):
        if sent != got or (kind == "DOUBLE" and _bits(sent) != _bits(got)):
            raise XexpError(
                "a value changed on its way from SQLite into DuckDB; nothing was written",
                "merge SQLite files without it: --engine sqlite",
            )


def _bits(values: list[Any]) -> bytes:
    """The exact bits, because ``-0.0 == 0.0``."""
    return array("d", [0.0 if value is None else value for value in values]).tobytes()


def _keys(
    con: sqlite3.Connection, name: str, info: list[Any]
) -> tuple[tuple[tuple[str, ...], ...], bool]:
    own = [row for row in info if row[5]]
    primary = tuple(row[1] for row in sorted(own, key=lambda row: row[5]))
    integer = len(own) == 1 and own[0][2].upper() == "INTEGER"
    keys = [primary] if primary else []
    for row in con.execute(f"PRAGMA index_list({quote(name)})").fetchall():
        if row[2] and not row[4] and row[3] != "pk":
            parts = [r[2] for r in con.execute(f"PRAGMA index_info({quote(row[1])})").fetchall()]
            if None not in parts:
                keys.append(tuple(parts))
    return tuple(keys), integer


def _sqlite_objects(con: sqlite3.Connection) -> dict[str, str]:
    rows = con.execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'view', 'trigger') "
        "AND sql IS NOT NULL"
    )
    return dict(rows.fetchall())
