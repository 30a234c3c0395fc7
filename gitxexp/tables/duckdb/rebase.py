"""``rebase``: incoming rows replace ours by key; the later source wins."""

from __future__ import annotations

from dataclasses import replace

from gitxexp.tables.duckdb.align import ROW, Aligned
from gitxexp.tables.duckdb.keyed import joined
from gitxexp.tables.duckdb.outcome import Outcome, counted
from gitxexp.tables.duckdb.partition import in_parts
from gitxexp.tables.duckdb.rows import (
    Fresh,
    collated,
    count,
    listed,
    marks,
    missing_rows,
    positioned,
    shared,
)
from gitxexp.tables.duckdb.session import Session, quote
from gitxexp.tables.duckdb.two_way import merge_table
from gitxexp.tables.plan import MergeOptions
from gitxexp.tables.rules import RUN_IDS, VERSION_COLUMNS

#: The key where none is declared: the experiment's version, else the tracker's run.
DEFAULT_KEYS = (*VERSION_COLUMNS, *RUN_IDS)


def rebase_key(table: Aligned, options: MergeOptions) -> tuple[str, ...]:
    """The key to replace by; empty where both sides do not have its columns."""
    both = set(shared(table)) if table.ours else set(table.columns)
    spelled = {name.lower(): name for name in both}
    if options.key:
        found = tuple(spelled[k.lower()] for k in options.key if k.lower() in spelled)
        return found if len(found) == len(options.key) else ()
    return next(((spelled[name],) for name in DEFAULT_KEYS if name in spelled), ())


def rebase_table(session: Session, table: Aligned, options: MergeOptions) -> Outcome:
    """Rows of ours whose key an input offers give way to the rows of the last input that has it.

    Rows that are the same on both sides stay where they are, so that a second run changes nothing.
    A table without the key's columns follows merge, and a note says so.
    """
    key = rebase_key(table, options)
    if not key:
        wanted = ", ".join(options.key) or "version or run id"
        note = f"table {table.name} has no {wanted}: its rows were added"
        found = merge_table(session, table, replace(options, key=()))
        return replace(found, notes=(note,)) if found.report.new else found
    return in_parts(session, table, key, lambda part: _replaced(session, part, key))


def _replaced(session: Session, table: Aligned, key: tuple[str, ...]) -> Outcome:
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    exact = marks(table.columns, collated(table))
    rows = _ranked(session, table, _gather(session, table, key, full), exact)
    drop = session.keep("drop", f"SELECT {ROW} FROM {rows} WHERE xexp_side = 0 AND xexp_i > n_s")
    comes = f"SELECT * FROM {rows} WHERE xexp_side > 0 AND xexp_i > n_o ORDER BY xexp_pos"
    fresh = [Fresh(f"SELECT {listed(table.names)} FROM ({comes})", count(session, comes))]
    fresh += _null_rows(session, table, full, exact)
    replaced = count(session, f"SELECT 1 FROM {drop}")
    incoming = sum(count(session, side.query) for side in table.others)
    here = count(session, table.ours.query) if table.ours else 0
    new = sum(part.count for part in fresh)
    report = counted(
        table, here, incoming, new=new, replaced=replaced, identical=max(0, incoming - new)
    )
    return Outcome(table, report, add=joined(fresh), drop=drop if replaced else "")


def _ranked(session: Session, table: Aligned, rows: str, exact: list[str]) -> str:
    """The rows numbered among their equals of one side, with how many each side has."""
    cells = ", ".join([*map(quote, table.names), *exact])
    return session.keep(
        "ranked",
        f"SELECT *, row_number() OVER (PARTITION BY {cells}, xexp_side > 0 ORDER BY xexp_pos) "
        f"AS xexp_i, count(*) FILTER (xexp_side > 0) OVER (PARTITION BY {cells}) AS n_s, "
        f"count(*) FILTER (xexp_side = 0) OVER (PARTITION BY {cells}) AS n_o FROM {rows}",
    )


def _gather(session: Session, table: Aligned, key: tuple[str, ...], full: str) -> str:
    """The offered rows that win (side > 0) and our rows of those keys (side 0)."""
    names, keys = listed(table.names), listed(key)
    others = positioned([side.query for side in table.others])
    rows = session.keep(
        "rows",
        f"SELECT {names}, xexp_side, xexp_pos, {ROW} FROM ({others}) WHERE {full} "
        f"QUALIFY xexp_side = max(xexp_side) OVER (PARTITION BY {keys})",
    )
    if table.ours:
        same = " AND ".join(f"mine.{quote(k)} = theirs.{quote(k)}" for k in key)
        session.rows(
            f"INSERT INTO {rows} SELECT {names}, 0, {ROW}, {ROW} FROM ({table.ours.query}) AS mine "
            f"SEMI JOIN (SELECT DISTINCT {keys} FROM {rows}) AS theirs ON {same}"
        )
    return rows


def _null_rows(session: Session, table: Aligned, full: str, exact: list[str]) -> list[Fresh]:
    others = [f"SELECT * FROM ({side.query}) WHERE NOT ({full})" for side in table.others]
    ours = f"SELECT * FROM ({table.ours.query}) WHERE NOT ({full})" if table.ours else None
    return [missing_rows(session, table.columns, ours, others, exact, shared(table))]
