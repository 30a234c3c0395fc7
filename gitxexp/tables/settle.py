"""Resolve single conflicts between SQLite databases in a copy of the losing side."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gitxexp.common import sqlite
from gitxexp.common.errors import UsageError
from gitxexp.common.files import kind_of
from gitxexp.common.sql import quote
from gitxexp.tables.plan import Conflict, OnConflict, Value


def by_sqlite(ours: Path, theirs: Path) -> bool:
    """Whether the SQLite engine merges these files; DuckDB's resolves single conflicts itself."""
    return {kind_of(ours), kind_of(theirs)} == {"sqlite"}


def settle(ours: Path, theirs: Path, decisions: Sequence[tuple[Conflict, OnConflict]]) -> None:
    """Make the losing side agree with the winning one, so that the merge finds no conflict there.

    The row's cell (or the whole row, where one side deleted it) is copied.
    """
    for conflict, side in decisions:
        if conflict.whole_table:  # the engine handles those itself
            continue
        winner, loser = (ours, theirs) if side is OnConflict.OURS else (theirs, ours)
        if not conflict.key:
            raise UsageError(
                f"{conflict.table}: the whole table is in conflict",
                "take one side: --ours, --theirs",
            )
        with closing(sqlite.connect(loser, isolation="DEFERRED")) as db, db:
            db.execute("ATTACH ? AS winner", (str(winner),))
            _agree(db, conflict)
            db.commit()
            db.execute("DETACH winner")


def _agree(db: sqlite3.Connection, conflict: Conflict) -> None:
    table = quote(conflict.table)
    where = " AND ".join(f"{quote(name)} IS ?" for name in conflict.key)
    values = list(conflict.key.values())
    there = db.execute(f"SELECT 1 FROM winner.{table} WHERE {where}", values).fetchone()
    with sqlite.triggers_aside(db):
        _copy(db, conflict, where, values, bool(there))


def _copy(
    db: sqlite3.Connection, conflict: Conflict, where: str, values: list[Value], there: bool
) -> None:
    table = quote(conflict.table)
    if conflict.column is not None and there:
        column = quote(conflict.column)
        picked = f"(SELECT {column} FROM winner.{table} WHERE {where})"
        db.execute(f"UPDATE main.{table} SET {column} = {picked} WHERE {where}", values * 2)
    else:
        db.execute(f"DELETE FROM main.{table} WHERE {where}", values)
        columns = ", ".join(_shared(db, conflict.table))
        db.execute(
            f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM winner.{table} WHERE {where}",
            values,
        )


def _shared(db: sqlite3.Connection, table: str) -> list[str]:
    """The stored columns that both sides have, quoted."""
    sides = []
    for schema in ("main", "winner"):
        info = db.execute(f"PRAGMA {schema}.table_xinfo({quote(table)})").fetchall()
        sides.append([row[1] for row in info if not row[6]])
    theirs = {name.lower() for name in sides[1]}
    return [quote(name) for name in sides[0] if name.lower() in theirs]
