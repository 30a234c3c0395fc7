"""DuckDB and parquet files as lines of text; SQLite's are in :mod:`gitxexp.tables.textconv`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gitxexp.tables.duckdb.rows import plain
from gitxexp.tables.duckdb.session import Session, Table, quote
from gitxexp.tables.duckdb.source import open_source
from gitxexp.tables.lines import header, line, ordered
from gitxexp.tables.plan import MergeOptions


def lines(path: Path) -> Iterator[str]:
    """The text of a DuckDB or parquet file; see :func:`gitxexp.tables.textconv.textconv`."""
    with Session(MergeOptions().memory) as session, contextlib.ExitStack() as stack:
        source = open_source(session, path)
        stack.callback(source.close)
        for table in sorted(source.tables, key=lambda t: t.name or ""):
            yield from _table_lines(session, table)


def _table_lines(session: Session, table: Table) -> Iterator[str]:
    yield from header(table.name or "parquet", list(table.columns.items()))
    key = table.unique[0] if table.unique else ()
    names = ordered(list(table.columns), key)
    cells = ", ".join(plain(table.columns[c], quote(c)) for c in names) or "1"
    order = ", ".join(map(quote, key)) if key else table.row
    for batch in session.batches(f"SELECT {cells} FROM {table.relation} ORDER BY {order}"):
        for row in batch:
            yield line(names, row if names else ())
