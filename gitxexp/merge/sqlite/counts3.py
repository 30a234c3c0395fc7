"""Three-way merge of rows without a key: how often each exact row stands on each side."""

from __future__ import annotations

import sqlite3

from gitxexp.merge.sqlite.cells import stage
from gitxexp.merge.sqlite.feed import Feed
from gitxexp.merge.sqlite.keyless import Subset, find_hits, grouping, insert_surplus
from gitxexp.merge.sqlite.names import quote
from gitxexp.merge.sqlite.near import Near
from gitxexp.merge.sqlite.write import Writer, fresh

Steps = tuple[list[tuple[int]], list[tuple[int, int]]]


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
    con: sqlite3.Connection,
    base: Feed,
    theirs: Feed,
    where: str,
    write: Writer,
    near: Near | None = None,
) -> None:
    """Apply to the target rows meeting ``where`` what theirs changed in numbers of equal rows."""
    offered = con.execute(f"SELECT count(*) {theirs.source()}").fetchone()[0]
    changed = _stage_changes(con, base, theirs)
    tally = write.account.of(theirs.target.name)
    tally.incoming += offered
    tally.identical += offered
    if not con.execute("SELECT 1 FROM temp.turn LIMIT 1").fetchone():
        return
    subset = Subset(theirs.target.stored, where)
    if near is not None and near.told:
        doomed, needed = _steps_near(con, changed, subset, near)
    else:
        if near is not None:
            changed = _stage_changes(con, *near.whole())
        find_hits(con, changed, subset)
        doomed, needed = _steps(con, changed, subset)
    fresh(con, "need", ", ".join([*(f"c{i}" for i in range(len(subset.columns))), "n", "rid"]))
    tally.removed += _delete(con, theirs, doomed)
    values = ", ".join(f"c{i}" for i in range(len(subset.columns)))
    con.executemany(
        f"INSERT INTO temp.need SELECT {values}, ?, rowid FROM temp.turn WHERE rowid = ?", needed
    )
    new = insert_surplus(con, theirs, subset.columns, write)
    tally.new += new
    tally.identical -= new


def _steps(con: sqlite3.Connection, changed: Feed, subset: Subset) -> Steps:
    """The rowids to delete, and (how many more, which) to insert, from all that ours holds."""
    doomed: list[tuple[int]] = []
    needed: list[tuple[int, int]] = []
    for turn, was, other, rids in _sides(con, changed, subset):
        mine = sorted(map(int, rids.split(","))) if rids else []
        result = combined(was, len(mine), other)
        doomed += [(r,) for r in mine[result:]]
        if result > len(mine):
            needed.append((result - len(mine), turn))
    return doomed, needed


def _steps_near(con: sqlite3.Connection, changed: Feed, subset: Subset, near: Near) -> Steps:
    """The same from the rows near a change.

    ``combined`` minus ours depends only on what each side changed: the base cancels out. What
    theirs deleted stands in ours where it stood in the base, unless ours deleted it too.
    """
    target, table = changed.target, f"main.{quote(changed.target.name)} AS t"
    fresh(con, "hits", "rid INTEGER PRIMARY KEY")
    for ranges in (near.base.ranges, near.ours):
        con.execute(
            f"INSERT OR IGNORE INTO temp.hits SELECT t.{target.rowid} FROM temp.{ranges} AS r "
            f"CROSS JOIN {table} WHERE {subset.where} AND t.{target.rowid} BETWEEN r.lo AND r.hi"
        )
    moved = _moved_here(con, changed, subset, near)
    doomed: list[tuple[int]] = []
    needed: list[tuple[int, int]] = []
    for turn, was, now, rids in _sides(con, changed, subset):
        held = sorted(map(int, rids.split(","))) if rids else []
        base = max(was, was - now, -moved[turn])  # as large as it must be for no count below zero
        step = combined(base, base + moved[turn], base + now - was) - base - moved[turn]
        if step < 0:
            doomed += [(r,) for r in held[step:]]
        elif step > 0:
            needed.append((step, turn))
    return doomed, needed


def _moved_here(
    con: sqlite3.Connection, changed: Feed, subset: Subset, near: Near
) -> dict[int, int]:
    """Per changed row: how many more of it ours has than the base."""
    names = [f"c{i}" for i in range(len(subset.columns))]
    target, was = changed.target, near.changed_here()
    held = ", ".join(
        f"+t.{quote(c.name)} AS {n}" for c, n in zip(subset.columns, names, strict=True)
    )
    old = ", ".join(
        f"+{was.expr(c.name)} AS {n}" for c, n in zip(subset.columns, names, strict=True)
    )
    rows = con.execute(
        f"SELECT max(turn), sum(d) FROM (SELECT {', '.join(names)}, rowid AS turn, 0 AS d "
        f"FROM temp.changes UNION ALL SELECT {held}, NULL, 1 FROM temp.{near.ours} AS r CROSS JOIN "
        f"main.{quote(target.name)} AS t WHERE {subset.where} "
        f"AND t.{target.rowid} BETWEEN r.lo AND r.hi UNION ALL SELECT {old}, NULL, -1 "
        f"{was.source()}) GROUP BY {grouping(subset.columns, names)} HAVING count(turn) > 0"
    )
    return dict(rows.fetchall())


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
