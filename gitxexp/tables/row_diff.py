"""Compare two files row by row: rows added, removed and changed, and columns.

SQLite is compared by ``sqlite3`` alone (pages first), parquet and DuckDB by DuckDB. Nothing is
written or printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitxexp.common.files import kind_of
from gitxexp.tables.row_changes import TableDiff


def diff_files(
    a: Path | None, b: Path | None, key: Sequence[str] = (), limit: int | None = None
) -> tuple[TableDiff, ...]:
    """Return the differences from file ``a`` to file ``b``; None is a missing file.

    ``key`` declares a key for tables without one. ``limit`` restricts the rows listed per table, not
    the counts. Only tables that differ are given. Raises :class:`~gitxexp.common.errors.XexpError`.
    """
    kinds = {kind_of(path) for path in (a, b) if path is not None}
    if not kinds:
        return ()
    if kinds == {"sqlite"}:
        from gitxexp.tables.sqlite.row_diff import diff_sqlite

        found = diff_sqlite(a, b, tuple(key), limit)
    else:
        from gitxexp.tables.duckdb.row_diff import diff_duck  # late: it needs DuckDB

        found = diff_duck(a, b, tuple(key), limit)
    return tuple(table for table in found if table.differs)
