"""Every input as tables that DuckDB can select from, whatever kind of file it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gitxexp.errors import XexpError
from gitxexp.merge.duck.opened import Source, Table, stamp
from gitxexp.merge.duck.session import Session, quote, text, translated
from gitxexp.merge.duck.types import EMPTY
from gitxexp.merge.kinds import kind_of


def open_source(
    session: Session,
    path: Path,
    stringify: tuple[str, ...] = (),
    allow_lossy: bool = False,
    only: tuple[str, ...] = (),
) -> Source:
    """Open ``path`` for reading; SQLite tables are loaded, the others stay where they are.

    Raises :class:`XexpError` for a file that is damaged, locked by a writer or of a newer format.
    """
    kind = kind_of(path)
    if kind == "parquet":
        return _parquet(session, path, allow_lossy)
    if kind == "duckdb":
        return open_duckdb(session, path)
    from gitxexp.merge.duck.fromsqlite import open_sqlite

    return open_sqlite(session, path, stringify, allow_lossy, only)


def _parquet(session: Session, path: Path, allow_lossy: bool) -> Source:
    before = stamp(path)
    link = text(session.link(path, ".parquet"))
    relation = f"read_parquet({link}, hive_partitioning = false, file_row_number = true)"
    plain = f"read_parquet({link}, hive_partitioning = false)"
    with translated(str(path)), _Named(path):
        columns = session.describe(plain)
        _check_names(session, link, path)
        for name, logical, _ in _top_level(session, link):
            if logical == "NullType()":  # DuckDB before 2.0 calls it INTEGER
                columns[name] = EMPTY
    if not allow_lossy:
        _check_nanos(session, link, columns, path)
    row = "file_row_number"
    if row in {name.lower() for name in columns}:
        row = "xexp_row"
        relation = f"(SELECT *, row_number() OVER () - 1 AS xexp_row FROM {plain})"
    table = Table(None, relation, row, columns, "parquet")
    return Source(path, "parquet", (table,), link, before)


class _Named:
    """Put the path before the message of an error that lacks it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, XexpError) and str(self.path) not in error.message:
            raise XexpError(f"{self.path}: {error.message}", error.hint, error.exit_code) from None


def _top_level(session: Session, link: str) -> list[tuple[str, str | None, str]]:
    """Name, logical type and physical type of each top-level column of a parquet file."""
    rows = session.rows(
        f"SELECT name, logical_type, type, num_children FROM parquet_schema({link})"
    )
    found: list[tuple[str, str | None, str]] = []
    skip = 0
    for name, logical, physical, children in rows[1:]:
        if skip == 0:
            found.append((name, logical, physical))
        skip = max(skip - 1, 0) + (children or 0) if skip else (children or 0)
    return found


def _check_names(session: Session, link: str, path: Path) -> None:
    seen: set[str] = set()
    for name, _, _ in _top_level(session, link):
        if name.lower() in seen:
            raise XexpError(
                f"{path} has two columns whose names differ only in case: {name}",
                hint="rename one of them; columns are matched without regard to case",
            )
        seen.add(name.lower())


def _check_nanos(session: Session, link: str, columns: Mapping[str, str], path: Path) -> None:
    """DuckDB before 2.0 has no zoned nanosecond type and would drop the last three digits."""
    for name, logical, _ in _top_level(session, link):
        nanos = "isAdjustedToUTC=1" in (logical or "") and "NANOS=Nano" in (logical or "")
        if nanos and columns.get(name) == "TIMESTAMP WITH TIME ZONE":
            raise XexpError(
                f"{path}: column {name} has zoned nanosecond timestamps, which this DuckDB "
                "would cut to microseconds",
                hint="pip install --upgrade 'duckdb>=2', or accept the loss with --allow-lossy",
            )


def open_duckdb(session: Session, path: Path, read_only: bool = True) -> Source:
    """Attach a DuckDB file; its write-ahead log is replayed in memory, never into the file."""
    alias = session.name("db")
    before = stamp(path)
    target = session.link(path, ".duckdb") if read_only else session.inside(path)
    mode = " (READ_ONLY)" if read_only else ""
    with translated(str(path)), _Named(path):
        session.rows(f"ATTACH {text(target)} AS {alias}{mode}")
        tables = tuple(_duck_tables(session, alias))

    def close() -> None:
        session.rows(f"DETACH {alias}")

    return Source(path, "duckdb", tables, alias, before, _objects(session, alias), close)


def _duck_tables(session: Session, alias: str) -> list[Table]:
    found = []
    for schema, name, ddl in session.rows(
        "SELECT schema_name, table_name, sql FROM duckdb_tables() "
        "WHERE database_name = $1 AND NOT internal ORDER BY table_oid",
        [alias],
    ):
        relation = f"{alias}.{quote(schema)}.{quote(name)}"
        columns = session.describe(relation)
        if "rowid" in {column.lower() for column in columns}:
            raise XexpError(f"table {name} has a column called rowid, which DuckDB needs itself")
        stored = {c: t for c, t in columns.items() if not _generated(ddl, c)}
        unique = _duck_keys(session, alias, schema, name)
        first = unique[0] if unique else ()
        primary = len(first) == 1 and columns.get(first[0], "").endswith(("INTEGER", "BIGINT"))
        label = name if schema == "main" else f"{schema}.{name}"
        found.append(
            Table(label, relation, "rowid", stored, "duckdb", unique, primary, ddl, schema)
        )
    return found


def _generated(ddl: str, column: str) -> bool:
    name = re.escape(column.replace('"', '""'))
    pattern = rf'[(,]\s*(?:"{name}"|{name})\s[^,]*?GENERATED ALWAYS'
    return re.search(pattern, ddl, re.IGNORECASE) is not None


def _duck_keys(session: Session, alias: str, schema: str, name: str) -> tuple[tuple[str, ...], ...]:
    rows = session.rows(
        "SELECT constraint_column_names FROM duckdb_constraints() WHERE database_name = $1 "
        "AND schema_name = $2 AND table_name = $3 "
        "AND constraint_type IN ('PRIMARY KEY', 'UNIQUE') ORDER BY constraint_type",
        [alias, schema, name],
    )
    keys = [tuple(row[0]) for row in rows]
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


def _objects(session: Session, alias: str) -> dict[str, str]:
    """Indexes and views with their CREATE statements."""
    found = session.rows(
        "SELECT index_name, sql FROM duckdb_indexes() WHERE database_name = $1 AND sql IS NOT NULL",
        [alias],
    )
    found += session.rows(
        "SELECT view_name, sql FROM duckdb_views() WHERE database_name = $1 AND NOT internal",
        [alias],
    )
    return dict(found)
