"""SQLite into DuckDB without an extension and without Arrow, with a proof that nothing changed.

A column goes in only if all its values have one storage class. Values travel as typed list
parameters (``unnest($1::BIGINT[])``), and each batch comes back by ``RETURNING`` and is compared
with what SQLite gave: a value that changed stops the merge.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote as percent

from gitxexp.errors import XexpError
from gitxexp.merge.duck.opened import Source, Table, stamp
from gitxexp.merge.duck.session import Session, quote

#: Rows that travel at once: larger lists gain nothing, and DuckDB 1.5 is quadratic in them.
BATCH = 2048

#: Seconds to wait for another program's lock.
PATIENCE = 10.0

_TYPES = {"integer": "BIGINT", "real": "DOUBLE", "text": "VARCHAR", "blob": "BLOB"}
_EMPTY = '"NULL"'


def open_sqlite(
    session: Session,
    path: Path,
    stringify: tuple[str, ...] = (),
    allow_lossy: bool = False,
    only: tuple[str, ...] = (),
) -> Source:
    """Load the user tables of ``path`` from one consistent snapshot, which stays open.

    Raises :class:`XexpError` for a column of mixed storage classes that ``stringify`` does not
    name, for a damaged file and for one that cannot be read consistently.
    """
    before = stamp(path)
    con, held = connect(path)
    wanted = {name.lower() for name in only}
    try:
        tables = tuple(
            _load(session, con, name, ddl, {c.lower() for c in stringify}, allow_lossy)
            for name, ddl in user_tables(con)
            if not wanted or name.lower() in wanted
        )
    except sqlite3.Error as error:
        raise sqlite_error(path, error) from None
    except XexpError as error:
        raise XexpError(f"{path}: {error.message}", error.hint, error.exit_code) from None
    return Source(path, "sqlite", tables, "", () if held else before, _objects(con), con.close, con)


def connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A read-only connection inside a read transaction: everything it sees is one moment.

    A file in WAL mode whose log is absent has no writer, so it is opened immutable: otherwise
    SQLite would create files beside it. The second value is False then: no lock holds it still.
    """
    wal = path.with_name(path.name + "-wal")
    with path.open("rb") as stream:
        logged = stream.read(20)[18:20] == b"\x02\x02"
    how = "&immutable=1" if logged and not wal.exists() else ""
    uri = f"file:{percent(str(path.absolute()))}?mode=ro{how}"
    try:
        con = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)
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
    kinds = {row[1]: row[2] for row in con.execute("PRAGMA table_list") if row[0] == "main"}
    rows = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid")
    return [
        (name, sql)
        for name, sql in rows.fetchall()
        if not name.startswith("sqlite_") and kinds.get(name) == "table"
    ]


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
    columns = [row[1] for row in info if row[6] == 0]
    types = _census(con, name, columns, stringify, allow_lossy)
    target = session.name("table")
    stored = ["BIGINT", *("VARCHAR" if t == _EMPTY else t for t in types)]
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
        f"{'NULL' if t == _EMPTY else n} AS {quote(c)}"
        for n, c, t in zip(names[1:], columns, types, strict=True)
    )
    relation = f"(SELECT {shown}{', ' if shown else ''}xexp_row FROM {target})"
    unique, primary = _keys(con, name, info)
    described = dict(zip(columns, types, strict=True))
    return Table(name, relation, "xexp_row", described, "sqlite", unique, primary, ddl)


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
        return _EMPTY
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
                "a value changed on its way from SQLite into DuckDB; nothing was written"
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


def _objects(con: sqlite3.Connection) -> dict[str, str]:
    rows = con.execute(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'view', 'trigger') "
        "AND sql IS NOT NULL"
    )
    return dict(rows.fetchall())
