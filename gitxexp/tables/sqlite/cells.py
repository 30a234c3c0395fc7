"""Cell by cell: how two rows of one key differ, what fills what, and who wins."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import Conflict
from gitxexp.tables.sqlite.account import SHOWN
from gitxexp.tables.sqlite.feed import Feed, same, tree
from gitxexp.tables.sqlite.names import fold, quote
from gitxexp.tables.sqlite.schema import Column, Key, Table
from gitxexp.tables.sqlite.write import fresh

WIDE = 600  #: columns compared in one SELECT with three values each (SQLite's limit is 2,000)


@dataclass(frozen=True)
class Cells:
    """SQL over ``s`` and ``t`` that says how two rows of one key differ."""

    feed: Feed
    fill: bool

    def same(self, column: Column) -> str:
        return same(column, self.feed.expr(column.name), f"t.{quote(column.name)}")

    def clash(self, column: Column) -> str:
        """The two values disagree, and filling does not settle it."""
        name, value = f"t.{quote(column.name)}", self.feed.expr(column.name)
        settled = f"{name} IS NULL OR {value} IS NULL OR " if self.fill else ""
        return f"NOT ({settled}{self.same(column)})"

    @property
    def conflict(self) -> str:
        return tree([self.clash(c) for c in self.feed.target.stored], "OR")

    @property
    def fillable(self) -> str:
        if not self.fill:
            return "0"
        tests = [
            f"(t.{quote(c.name)} IS NULL AND {self.feed.expr(c.name)} IS NOT NULL)"
            for c in self.feed.target.stored
            if self.feed.has(c.name)
        ]
        return tree(tests or ["0"], "OR")

    @property
    def identical(self) -> str:
        return tree([self.same(c) for c in self.feed.target.stored], "AND")


def update_cells(con: sqlite3.Connection, feed: Feed, key: Key, condition: str, prefer: str) -> int:
    """Write cells of ``s`` into the ``t`` of the same key where ``condition`` holds.

    ``prefer`` "t": only where ``t`` is NULL; "s": wherever ``s`` is not NULL; "s only": always.
    Returns the number of rows written; raises XexpError when a constraint forbids it.
    """
    if feed.ranges:  # UPDATE … FROM does not know the rowid of a second table
        rows = f"SELECT {feed.select()} {feed.joined(key, condition)}"
        return update_cells(con, stage(con, feed, rows, "updates"), key, "1", prefer)
    sets = []
    for column in feed.target.stored:
        name, value = quote(column.name), feed.expr(column.name)
        if not feed.has(column.name) and prefer != "s only":
            continue
        new = {"t": f"ifnull(t.{name}, {value})", "s": f"ifnull({value}, t.{name})"}
        sets.append(f"{name} = {new.get(prefer, value)}")
    rows = feed.offered(key, condition)
    try:
        return con.execute(
            f"UPDATE main.{quote(feed.target.name)} AS t SET {', '.join(sets)} {rows}"
        ).rowcount
    except sqlite3.IntegrityError as error:
        raise XexpError(
            f"values from {feed.label} break a constraint of {feed.target.name}: {error}",
            "look at the rows with --dry-run --no-fill, or take one side with --on-conflict ours",
        ) from error


def stage(con: sqlite3.Connection, feed: Feed, select: str, name: str = "turn") -> Feed:
    """Keep rows (in the order of the target's columns) aside; a feed of them."""
    columns = feed.target.stored
    fresh(con, name, ", ".join(f"c{i}" for i in range(len(columns))))
    con.execute(f"INSERT INTO temp.{name} {select}")
    table = Table(name, "", tuple(Column(f"c{i}") for i in range(len(columns))))
    exprs = {fold(c.name): f's."c{i}"' for i, c in enumerate(columns)}
    return replace(feed, db="temp", table=table, exprs=exprs, where="", ranges="", renamed={})


def list_conflicts(
    con: sqlite3.Connection, feed: Feed, key: Key, cells: Cells, kind: str, only: str = "1"
) -> list[Conflict]:
    """Every disagreeing cell, with both values (at most SHOWN)."""
    found: list[Conflict] = []
    columns = feed.target.stored
    for start in range(0, len(columns), WIDE):
        part = columns[start : start + WIDE]
        picks = [f"t.{quote(c)}" for c in key.columns]
        for column in part:
            picks += [f"t.{quote(column.name)}", feed.expr(column.name), cells.clash(column)]
        test = tree([cells.clash(c) for c in part], "OR")
        sql = f"SELECT {', '.join(picks)} {feed.joined(key, test, only)} LIMIT {SHOWN}"
        for row in con.execute(sql):
            values = row[len(key.columns) :]
            names = dict(zip(key.columns, row, strict=False))
            found += [
                Conflict(
                    feed.target.name,
                    names,
                    c.name,
                    values[3 * i],
                    values[3 * i + 1],
                    kind=kind,
                    source=feed.label,
                )
                for i, c in enumerate(part)
                if values[3 * i + 2]
            ]
    return found
