"""Three-way merge of rows without a key: how often each exact row stands on each side."""

from __future__ import annotations

import sqlite3

from gitxexp.merge.sqlite.cells import stage
from gitxexp.merge.sqlite.feed import Feed
from gitxexp.merge.sqlite.keyless import Subset, find_hits, grouping, insert_surplus
from gitxexp.merge.sqlite.names import quote
from gitxexp.merge.sqlite.write import Writer, fresh


def combined(base: int, ours: int, theirs: int) -> int:
    """How often a row stands in the result.

    One side's change counts; the same change on both sides counts once (the larger one, so that an
    empty base gives what a two-way merge gives); opposite changes add up.
    """
    mine, other = ours - base, theirs - base
    if mine >= 0 and other >= 0:
        return base + max(mine, other)
    if mine <= 0 and other <= 0:
        return base + min(mine, other)
    return max(base + mine + other, 0)


def merge_counts3(
    con: sqlite3.Connection, base: Feed, theirs: Feed, where: str, write: Writer
) -> None:
    """Apply to the target rows meeting ``where`` what theirs changed in numbers of equal rows."""
    offered = con.execute(f"SELECT count(*) {theirs.source()}").fetchone()[0]
    changed = _stage_changes(con, base, theirs)
    tally = write.account.of(theirs.target.name)
    tally.incoming += offered
    subset = Subset(theirs.target.stored, where)
    if not con.execute("SELECT 1 FROM temp.turn LIMIT 1").fetchone():
        tally.identical += offered
        return
    find_hits(con, changed, subset)
    count = len(subset.columns)
    fresh(con, "need", ", ".join([*(f"c{i}" for i in range(count)), "n", "rid"]))
    doomed: list[tuple[int]] = []
    needed: list[tuple[int, int]] = []
    for turn, was, other, rids in _sides(con, changed, subset):
        mine = sorted(map(int, rids.split(","))) if rids else []
        result = combined(was, len(mine), other)
        doomed += [(r,) for r in mine[result:]]
        if result > len(mine):
            needed.append((result - len(mine), turn))
    tally.removed += _delete(con, theirs, doomed)
    values = ", ".join(f"c{i}" for i in range(count))
    con.executemany(
        f"INSERT INTO temp.need SELECT {values}, ?, rowid FROM temp.turn WHERE rowid = ?", needed
    )
    new = insert_surplus(con, theirs, subset.columns, write)
    tally.new += new
    tally.identical += offered - new


def _stage_changes(con: sqlite3.Connection, base: Feed, theirs: Feed) -> Feed:
    """``temp.turn``: each exact row whose number differs; ``temp.numbers``: both numbers."""
    columns = theirs.target.stored
    names = [f"c{i}" for i in range(len(columns))]
    fresh(con, "changes", ", ".join([*names, "was", "now"]))
    sides = []
    for feed, marks in ((base, "1 AS was, 0 AS now"), (theirs, "0, 1")):
        picks = ", ".join(
            f"+{feed.expr(c.name)} AS {n}" for c, n in zip(columns, names, strict=True)
        )
        sides.append(f"SELECT {picks}, {marks} {feed.source()}")
    cols = ", ".join(names)
    both = " UNION ALL ".join(sides)
    con.execute(
        f"INSERT INTO temp.changes SELECT {cols}, sum(was), sum(now) FROM ({both}) "
        f"GROUP BY {grouping(columns, names)} HAVING sum(was) <> sum(now)"
    )
    return stage(con, theirs, f"SELECT {cols} FROM temp.changes ORDER BY rowid")


def _sides(
    con: sqlite3.Connection, changed: Feed, subset: Subset
) -> list[tuple[int, int, int, str | None]]:
    """Per changed row: its place, its number at the base and in theirs, the rowids in ours."""
    target = changed.target
    names = [f"c{i}" for i in range(len(subset.columns))]
    cols = ", ".join(names)
    held = ", ".join(
        f"+t.{quote(c.name)} AS {n}" for c, n in zip(subset.columns, names, strict=True)
    )
    return con.execute(
        "SELECT max(turn), sum(was), sum(now), group_concat(rid) FROM ("
        f"SELECT {cols}, rowid AS turn, was, now, NULL AS rid FROM temp.changes UNION ALL "
        f"SELECT {held}, NULL, 0, 0, h.rid FROM temp.hits AS h CROSS JOIN "
        f"main.{quote(target.name)} AS t ON t.{target.rowid} = h.rid) "
        f"GROUP BY {grouping(subset.columns, names)} HAVING count(turn) > 0"
    ).fetchall()


def _delete(con: sqlite3.Connection, feed: Feed, rids: list[tuple[int]]) -> int:
    if not rids:
        return 0
    fresh(con, "doomed", "rid INTEGER PRIMARY KEY")
    con.executemany("INSERT INTO temp.doomed VALUES (?)", rids)
    table = f"main.{quote(feed.target.name)}"
    return con.execute(f"DELETE FROM {table} WHERE {feed.target.rowid} IN temp.doomed").rowcount
