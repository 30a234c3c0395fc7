"""Row differences and text of parquet, DuckDB and mixed files, through DuckDB."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from gitxexp.common.files import Kind
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb.align import Aligned, Matched, align, match_tables
from gitxexp.tables.duckdb.partition import narrowed
from gitxexp.tables.duckdb.rows import collated, listed, marks, plain
from gitxexp.tables.duckdb.session import Session, Source
from gitxexp.tables.duckdb.source import open_source
from gitxexp.tables.duckdb.three_way import differing
from gitxexp.tables.duckdb.two_way import key_of
from gitxexp.tables.plan import MergeOptions, Value
from gitxexp.tables.row_changes import RowChange, TableDiff, TableRows, key_first, pair


def diff_duck(
    a: Path | None, b: Path | None, key: tuple[str, ...], limit: int | None
) -> list[TableDiff]:
    """The differences of all tables; see :func:`gitxexp.tables.row_diff.diff_files`."""
    options = MergeOptions(key=key, allow_lossy=False)
    with Session(options.memory) as session, contextlib.ExitStack() as stack:
        old, new = (_opened(session, stack, path) for path in (a, b))
        session.seal([source for source in (old, new) if source])
        found = []
        one = new or old
        assert one is not None
        kind: Kind = "parquet" if one.kind == "parquet" else "duckdb"
        others = [new] if old and new else []
        tables = match_tables(old or one, others, one.path, kind, MergeOptions())
        for matched in tables:
            found.append(_diff(session, matched, old, options, limit))
        return found


def contents(path: Path) -> Iterator[TableRows]:
    """The tables of a DuckDB or parquet file, by name, each read lazily."""
    with Session(MergeOptions().memory) as session, contextlib.ExitStack() as stack:
        source = _opened(session, stack, path)
        assert source is not None
        session.seal([source])
        for table in sorted(source.tables, key=lambda t: t.name or ""):
            key = table.unique[0] if table.unique else ()
            names = key_first(list(table.columns), key)
            cells = ", ".join(plain(table.columns[c], quote(c)) for c in names) or "1"
            order = ", ".join(map(quote, key)) if key else table.row
            sql = f"SELECT {cells} FROM {table.relation} ORDER BY {order}"
            rows = (row if names else () for batch in session.batches(sql) for row in batch)
            yield TableRows(table.name or "parquet", list(table.columns.items()), names, rows)


def _opened(session: Session, stack: contextlib.ExitStack, path: Path | None) -> Source | None:
    if path is None:
        return None
    source = open_source(session, path)
    stack.callback(source.close)
    return source


def _diff(
    session: Session,
    matched: Matched,
    old: Source | None,
    options: MergeOptions,
    limit: int | None,
) -> TableDiff:
    table = align(session, matched.name, matched.ours, matched.others, options, "duckdb")
    both = table.ours is not None and bool(table.others)
    if both and not any(_NESTED.search(kind) for kind in table.columns.values()):
        table = _suspects(session, table)
    first = table.ours if old is not None else None
    last = (table.others[0] if table.others else None) if old is not None else table.ours
    key, _ = key_of(table, options)
    counted = _counts(
        session, table, differing(session, table, {"a": first, "b": last}), key, limit
    )
    return TableDiff(
        table.name,
        key,
        tuple(c for c in table.names if both and first and c not in first.has),
        tuple(c for c in table.names if both and last and c not in last.has),
        first is None,
        last is None,
        *counted,
    )


#: Types that have NULLs inside: DuckDB's hash of NULL and of a struct of NULLs is the same.
_NESTED = re.compile(r"\]$|^(STRUCT|MAP|UNION)\(|^VARIANT$")


def _suspects(session: Session, table: Aligned) -> Aligned:
    """The table without the rows whose hash both sides have equally often: to group the hashes of ten
    million rows takes a third of the time of grouping the rows.

    A row is missed if one of the other side that this side lacks has its hash of 64 bits.
    """
    cells = ", ".join([*map(quote, table.names), *marks(table.columns, collated(table))])
    parts = [
        f"SELECT hash({cells}) AS xexp_hash, {n} AS xexp_n FROM ({side.query})"
        for side, n in ((table.ours, 1), (table.others[0], -1))
        if side is not None
    ]
    unequal = session.keep(
        "hashes",
        f"SELECT xexp_hash FROM ({' UNION ALL '.join(parts)}) GROUP BY xexp_hash "
        "HAVING sum(xexp_n) <> 0",
    )
    return narrowed(table, f"hash({cells}) IN (SELECT xexp_hash FROM {unequal})")


def _counts(
    session: Session, table: Aligned, differ: str, key: tuple[str, ...], limit: int | None
) -> tuple[int, int, int, tuple[RowChange, ...]]:
    gone = _rows(session, table, differ, "n_a - n_b", key, limit)
    come = _rows(session, table, differ, "n_b - n_a", key, limit)
    added, removed, changed, rows = pair(gone, come, key, limit)
    if limit is None:
        return added, removed, changed, rows
    return (*_totals(session, differ, key), rows)


def _totals(session: Session, differ: str, key: tuple[str, ...]) -> tuple[int, int, int]:
    """Added, removed and changed rows, counted without fetching them."""
    sums = "coalesce(sum(greatest(n_b - n_a, 0)), 0), coalesce(sum(greatest(n_a - n_b, 0)), 0)"
    come, gone = map(int, session.rows(f"SELECT {sums} FROM {differ}")[0])
    if not key:
        return come, gone, 0
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    pairs = (
        f"SELECT least(sum(greatest(n_b - n_a, 0)), sum(greatest(n_a - n_b, 0))) AS n "
        f"FROM {differ} WHERE {full} GROUP BY {listed(key)}"
    )
    changed = int(session.value(f"SELECT coalesce(sum(n), 0)::BIGINT FROM ({pairs})"))
    return come - changed, gone - changed, changed


def _rows(
    session: Session,
    table: Aligned,
    differ: str,
    times: str,
    key: tuple[str, ...],
    limit: int | None,
) -> Iterator[dict[str, Value]]:
    """Return the rows that one side has more often, repeated by the excess, in key order."""
    names = table.names
    cells = ", ".join(f"{plain(table.columns[c], quote(c))} AS {quote(c)}" for c in names)
    order = ", ".join([*map(quote, key), "xexp_pos"]) if key else "xexp_pos"
    most = f" LIMIT {limit}" if limit is not None else ""
    if limit is not None and key:
        keys = f"(SELECT DISTINCT {listed(key)} FROM {differ} ORDER BY {listed(key)} LIMIT {limit})"
        differ = f"(SELECT * FROM {differ} SEMI JOIN {keys} USING ({listed(key)}))"
        most = ""
    sql = (
        f"SELECT {cells}, unnest(range({times})) FROM (SELECT * FROM {differ} WHERE {times} > 0) "
        f"ORDER BY {order}{most}"
    )
    for batch in session.batches(sql):
        for row in batch:
            yield dict(zip(names, row[:-1], strict=True))
