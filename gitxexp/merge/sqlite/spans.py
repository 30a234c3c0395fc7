"""A cheap first test for rows that cannot equal an offered one: a column's smallest and largest.

Results come in time order, so most older rows lie outside what a new source offers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gitxexp.merge.sqlite.feed import Feed
from gitxexp.merge.sqlite.names import quote
from gitxexp.merge.sqlite.write import fresh

SAMPLE = 200  #: target rows looked at to choose the column
WORTH = 100_000  #: target rows above which choosing pays
COLUMNS = 4  #: the first ones: run, time and step stand there


def outside(
    con: sqlite3.Connection, feeds: Sequence[Feed], columns: Sequence[str], rows: int
) -> str:
    """SQL over ``t`` that no row equal to an offered one fails; "1" where there is none."""
    names = [c for c in columns if all(f.has(c) for f in feeds)][:COLUMNS]
    if rows < WORTH or not names:
        return "1"
    _measure(con, feeds, names)
    target = feeds[0].target
    table, rowid = f"main.{quote(target.name)}", target.rowid
    low = con.execute(f"SELECT min({rowid}) FROM {table}").fetchone()[0]  # one seek each
    high = con.execute(f"SELECT max({rowid}) FROM {table}").fetchone()[0]
    fresh(con, "sample", "rid INTEGER PRIMARY KEY")
    for i in range(SAMPLE):
        con.execute(
            f"INSERT OR IGNORE INTO temp.sample SELECT {rowid} FROM {table} "
            f"WHERE {rowid} >= ? ORDER BY {rowid} LIMIT 1",
            (low + (high - low) * i // SAMPLE,),
        )
    tests = [_within(i, c) for i, c in enumerate(names)]
    inside = con.execute(
        f"SELECT {', '.join(f'total({t})' for t in tests)} FROM temp.sample AS x "
        f"CROSS JOIN {table} AS t ON t.{rowid} = x.rid"
    ).fetchone()
    whole = con.execute(
        f"SELECT {', '.join(f'min(n{i})' for i in range(len(names)))} FROM temp.spans"
    ).fetchone()
    usable = [i for i in range(len(names)) if whole[i] == 1]
    best = min(usable, key=lambda i: inside[i], default=None)
    return "1" if best is None or inside[best] > SAMPLE / 2 else tests[best]


def _within(i: int, column: str) -> str:
    value = f"+t.{quote(column)} COLLATE BINARY"
    low = f"(SELECT min(a{i} COLLATE BINARY) FROM temp.spans)"
    high = f"(SELECT max(b{i} COLLATE BINARY) FROM temp.spans)"
    return f"({value} >= {low} AND {value} <= {high})"


def _measure(con: sqlite3.Connection, feeds: Sequence[Feed], names: Sequence[str]) -> None:
    """``temp.spans``: per feed and column the smallest, the largest, and whether none is NULL."""
    fresh(con, "spans", ", ".join(f"a{i}, b{i}, n{i}" for i in range(len(names))))
    for feed in feeds:
        picks = ", ".join(
            f"min({v} COLLATE BINARY), max({v} COLLATE BINARY), count({v}) = count(*)"
            for v in map(feed.expr, names)
        )
        con.execute(f"INSERT INTO temp.spans SELECT {picks} {feed.source()}")
