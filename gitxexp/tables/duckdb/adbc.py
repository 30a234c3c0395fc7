"""Convert a range of a SQLite table to a parquet file without a Python object for each value.

The SQLite driver of the Apache Arrow project (package ``adbc-driver-sqlite``) hands rows to DuckDB in
columns. The first batch of rows decides the type of a column, and whatever is in it is converted; later
batches are stricter (github.com/apache/arrow-adbc, c/driver/sqlite/statement_reader.c). So the first
batch is literals, SQLite stops the query at a value that would be converted, and DuckDB checks texts.
Then :func:`gitxexp.tables.duckdb.scan.write`, which has the rules, writes the rows.

The driver has its own copy of SQLite. Two copies in one process drop each other's locks on a file
(sqlite.org/howtocorrupt.html, 2.2.1), so it is used only in a process of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gitxexp.common import checked, sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.garbage import no_collection
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb import scan, source
from gitxexp.tables.duckdb.core import core_with_arrow
from gitxexp.tables.duckdb.scan import TablePart, Written

#: Batches of a row group: DuckDB takes a third less time to write eight at once than one by one.
GROUP = 8

_PACKAGES = ("adbc_driver_manager", "adbc_driver_sqlite", "duckdb")

#: A literal of each kind. Texts travel as blobs: a column of texts would take everything.
_LITERALS = {"integer": "0", "real": "0.0", "text": "x''", "blob": "x''"}

#: When a value would be converted: in columns of blobs the driver refuses numbers, in those of numbers
#: texts and blobs, and reals beside integers. SQLite sorts texts before blobs (datatype3.html, 4.1).
#: These are true of every other value; the first one mostly decides, and "+" keeps an index out of it.
_KEPT = {
    "real": "typeof({0}) <> 'integer'",
    "text": "+{0} < x'' OR {0} IS NULL",
    "blob": "+{0} >= x'' OR {0} IS NULL",
}

#: An error of SQLite's (sqlite.org/lang_corefunc.html, abs) that it cannot evaluate in advance.
_STOP = "abs(-9223372036854775807 - (rowid = rowid))"


def folders() -> list[str]:
    """The folders from which another process imports what :func:`write` needs; none if a package is
    missing. Nothing is imported."""
    found: dict[str, None] = {}
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            return []
        place = Path(spec.origin).parent
        found[str(place.parent if spec.submodule_search_locations else place)] = None
    return list(found)


@no_collection()
def write(path: Path, part: TablePart, out: Path) -> Written | None:
    """Like :func:`gitxexp.tables.duckdb.scan.write`, for a part of one range of rowids; None if that
    function has to be called instead.

    Raises XexpError for a file that cannot be read.
    """
    try:
        import adbc_driver_manager
        import adbc_driver_sqlite

        duckdb = core_with_arrow()
    except ImportError:
        return None
    try:
        query = _query(path, part)
        if query is None:
            return None
        database = adbc_driver_sqlite.connect(query.address)
        with (
            database,
            checked.confirmed(
                path,
                lambda: adbc_driver_manager.AdbcConnection(database),
                adbc_driver_manager.AdbcConnection.close,
            ) as connection,
            adbc_driver_manager.AdbcStatement(connection) as statement,
        ):
            # Mapped pages are not copied; should the file be cut short, this process is killed.
            for pragma in ("trusted_schema = OFF", f"mmap_size = {1 << 40}"):
                statement.set_sql_query(f"PRAGMA {pragma}")
                statement.execute_update()
            statement.set_options(**{"adbc.sqlite.query.batch_rows": str(query.batch)})
            statement.set_sql_query(query.sql)
            _copy(duckdb, statement.execute_query()[0], query, out)
        return Written(query.seen, [])
    except (adbc_driver_manager.Error, duckdb.Error, sqlite3.Error):
        return None


@dataclass(frozen=True)
class _Query:
    """``sql`` returns ``batch`` rows of literals, then the rows of the part."""

    address: str
    sql: str
    batch: int
    kinds: Mapping[str, str]  #: of each column
    seen: Mapping[str, str]  #: of each column that has a value


def _query(path: Path, part: TablePart) -> _Query | None:
    """The query for ``part``; None for what is not surely read. The file is closed again."""
    con, held = source.connect(path)
    with closing(con):
        (encoding,) = con.execute("PRAGMA encoding").fetchone()
        if encoding != "UTF-8" or part.table not in dict(source.user_tables(con)):
            return None
        [(low, high)] = part.ranges or ()
        rows = f"FROM main.{quote(part.table)} AS t WHERE rowid BETWEEN {low} AND {high}"
        declared = scan.columns(con, part)
        values = {name: f"t.{quote(name)}" for name in declared}  # never taken for a text in quotes
        seen = {}
        for name, value in values.items():
            sql = f"SELECT typeof({value}) {rows} AND {value} IS NOT NULL LIMIT 1"
            if first := con.execute(sql).fetchone():
                seen[name] = first[0]
        batch = scan.group_size(con, part.table)
    kinds = {**declared, **seen}
    for name, kind in kinds.items():
        if kind != "integer" and (kind, declared[name]) != ("real", "real"):
            rows += f" AND ({_KEPT[kind].format(values[name])} OR {_STOP})"
    literals = ", ".join(f"{_LITERALS[kind]} AS c{at}" for at, kind in enumerate(kinds.values()))
    sql = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {batch}) "
        f"SELECT {literals} FROM n UNION ALL SELECT {', '.join(values.values())} {rows}"
    )
    return _Query(sqlite.address(path, immutable=not held), sql, batch, kinds, seen)


def _copy(duckdb: Any, stream: Any, query: _Query, out: Path) -> None:
    """Write the rows of an Arrow stream, without the literals."""
    values = [
        f"{f'decode(c{at})' if kind == 'text' else f'c{at}'} AS {quote(name)}"
        for at, (name, kind) in enumerate(query.kinds.items())
    ]
    config = {"threads": "1", "temp_directory": "", "autoload_known_extensions": "false"}
    with duckdb.connect(":memory:", config=config) as con:
        con.execute("SET enable_progress_bar = false")  # it is drawn on standard output
        con.register("share", stream)
        con.execute(
            f"COPY (SELECT {', '.join(values)} FROM share OFFSET {query.batch}) TO {literal(str(out))} "
            f"(FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE {GROUP * query.batch})"
        )
