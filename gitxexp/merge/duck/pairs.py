"""Rows of one key where there is at most one on each side: joined, which costs far less than grouped."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.merge.duck.align import Aligned
from gitxexp.merge.duck.rows import collated, listed, marks
from gitxexp.merge.duck.session import Session, quote
from gitxexp.merge.plan import MergeOptions, OnConflict


def single(session: Session, rows: str, key: Sequence[str]) -> bool:
    """Whether no side has two rows of one key; ``rows`` has the key and ``xexp_side``."""
    cells = f"xexp_side, {listed(key)}"
    return not session.rows(f"SELECT 1 FROM {rows} GROUP BY {cells} HAVING count(*) > 1 LIMIT 1")


def paired(
    table: Aligned, key: Sequence[str], cells: Sequence[str], options: MergeOptions, rows: str
) -> str:
    """A query with one row per key, ours (side 0) and one input's (side 1) cells decided.

    Columns: the key, for each of ``cells`` the merged value (v0…) and whether both disagree
    (x0…), ``xexp_has`` (ours has the key), ``xexp_pos``, ``xexp_many`` (never).
    """
    sides = ("theirs", "ours") if options.on_conflict is OnConflict.THEIRS else ("ours", "theirs")
    parts = []
    for i, name in enumerate(cells):
        one, other = (f"{side}.{quote(name)}" for side in sides)
        first = f"coalesce({one}, {other})"
        if not options.fill:
            here = "true" if sides[0] == "theirs" else "ours.xexp_pos IS NOT NULL"
            first = f"CASE WHEN {here} THEN {one} ELSE {other} END"
        parts += [f"{first} AS v{i}", f"{_disagree(table, name, options)} AS x{i}"]
    same = " AND ".join(f"ours.{quote(k)} = theirs.{quote(k)}" for k in key)
    shown = ", ".join([*(f"theirs.{quote(k)} AS {quote(k)}" for k in key), *parts])
    return (
        f"SELECT {shown}, ours.xexp_pos IS NOT NULL AS xexp_has, "
        "coalesce(ours.xexp_pos, theirs.xexp_pos) AS xexp_pos, false AS xexp_many "
        f"FROM (SELECT * FROM {rows} WHERE xexp_side = 1) AS theirs "
        f"LEFT JOIN (SELECT * FROM {rows} WHERE xexp_side = 0) AS ours ON {same}"
    )


def _disagree(table: Aligned, name: str, options: MergeOptions) -> str:
    cell = quote(name)
    one, other = f"ours.{cell}", f"theirs.{cell}"
    tests = [f"{one} IS DISTINCT FROM {other}"]
    for mark in marks({name: table.columns[name]}, collated(table)):
        tests.append(f"{mark.replace(cell, one)} IS DISTINCT FROM {mark.replace(cell, other)}")
    both = f"{one} IS NOT NULL AND {other} IS NOT NULL AND ({' OR '.join(tests)})"
    if options.fill:
        return f"({both})"
    return f"({both} OR ours.xexp_pos IS NOT NULL AND ({one} IS NULL) <> ({other} IS NULL))"
