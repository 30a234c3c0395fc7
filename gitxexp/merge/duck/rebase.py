"""``rebase``: incoming rows replace ours by key; the later source wins."""

from __future__ import annotations

from gitxexp.errors import XexpError
from gitxexp.merge.duck.align import ROW, Aligned
from gitxexp.merge.duck.keyed import joined
from gitxexp.merge.duck.outcome import Outcome, counted
from gitxexp.merge.duck.rows import (
    Fresh,
    collated,
    count,
    listed,
    marks,
    missing_rows,
    positioned,
    shared,
)
from gitxexp.merge.duck.session import Session, quote
from gitxexp.merge.plan import MergeOptions

#: The key where none is declared: the experiment's version, else the tracker's run.
DEFAULT_KEYS = ("version", "experiment_version", "track_id", "run_id")


def rebase_key(table: Aligned, options: MergeOptions) -> tuple[str, ...]:
    """The key to replace by; raises :class:`XexpError` where the table has no such column."""
    spelled = {name.lower(): name for name in table.columns}
    if options.key:
        missing = [k for k in options.key if k.lower() not in spelled]
        if missing:
            raise XexpError(f"table {table.name} has no column {', '.join(missing)} to rebase by")
        return tuple(spelled[k.lower()] for k in options.key)
    both = {name.lower() for name in shared(table)} if table.ours else set(spelled)
    for name in DEFAULT_KEYS:
        if name in both:
            return (spelled[name],)
    raise XexpError(
        f"table {table.name} has none of the columns {', '.join(DEFAULT_KEYS)}",
        hint="name the key with --key",
    )


def rebase_table(session: Session, table: Aligned, options: MergeOptions) -> Outcome:
    """Rows of ours whose key an input offers give way to the rows of the last input that has it.

    A key whose rows are the same on both sides is left alone, so that a second run changes nothing.
    """
    key = rebase_key(table, options)
    full = " AND ".join(f"{quote(k)} IS NOT NULL" for k in key)
    rows = _gather(session, table, key, full)
    exact = marks(table.columns, collated(table))
    touched = _touched(session, table, key, rows, exact)
    drop = session.keep(
        "drop",
        f"SELECT {ROW} FROM {rows} SEMI JOIN {touched} USING ({listed(key)}) WHERE xexp_side = 0",
    )
    comes = f"SELECT * FROM {rows} SEMI JOIN {touched} USING ({listed(key)}) WHERE xexp_side > 0 "
    fresh = [
        Fresh(
            f"SELECT {listed(table.names)} FROM ({comes}) ORDER BY xexp_pos", count(session, comes)
        )
    ]
    fresh += _null_rows(session, table, full, exact)
    replaced = count(session, f"SELECT 1 FROM {drop}")
    mine = f"SELECT * FROM {rows} WHERE xexp_side = 0"
    back = count(session, f"SELECT 1 FROM ({comes}) SEMI JOIN ({mine}) USING ({listed(key)})")
    incoming = sum(count(session, side.query) for side in table.others)
    here = count(session, table.ours.query) if table.ours else 0
    added = sum(part.count for part in fresh)
    report = counted(
        table,
        here,
        incoming,
        new=added - back,
        replaced=replaced,
        identical=max(0, incoming - added),
    )
    return Outcome(table, report, add=joined(fresh), drop=drop if replaced else "")


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


def _touched(
    session: Session, table: Aligned, key: tuple[str, ...], rows: str, exact: list[str]
) -> str:
    cells = ", ".join([*map(quote, table.names), *exact])
    return session.keep(
        "touched",
        f"SELECT DISTINCT {listed(key)} FROM (SELECT {listed(key)} FROM {rows} GROUP BY {cells} "
        "HAVING count(*) FILTER (xexp_side = 0) <> count(*) FILTER (xexp_side > 0))",
    )


def _null_rows(session: Session, table: Aligned, full: str, exact: list[str]) -> list[Fresh]:
    others = [f"SELECT * FROM ({side.query}) WHERE NOT ({full})" for side in table.others]
    ours = f"SELECT * FROM ({table.ours.query}) WHERE NOT ({full})" if table.ours else None
    return [missing_rows(session, table.columns, ours, others, exact, shared(table))]
