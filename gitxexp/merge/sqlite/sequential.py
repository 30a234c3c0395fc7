"""Rows whose key may be there more than once: settled one after the other, in their order."""

from __future__ import annotations

import sqlite3

from gitxexp.merge.plan import MergeOptions, OnConflict
from gitxexp.merge.sqlite.cells import Cells, list_conflicts, stage, update_cells
from gitxexp.merge.sqlite.feed import Feed, not_null, target_not_null
from gitxexp.merge.sqlite.keyless import Subset, find_hits, surplus
from gitxexp.merge.sqlite.names import fold, quote
from gitxexp.merge.sqlite.schema import Key
from gitxexp.merge.sqlite.write import Writer

INDEX = "xexp declared key"


def merge_declared(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer
) -> None:
    """Merge the rows whose declared key is whole into a table that has no unique key.

    Exact rows are matched first, by multiplicity. Each other row meets the target rows of its key:
    the first that agrees takes its values; if none agrees, the first is the one in conflict.
    """
    feed = feed.only(not_null(feed, key))
    offered: int = con.execute(f"SELECT count(*) {feed.source()}").fetchone()[0]
    if not offered:
        return
    write.account.of(feed.target.name).incoming += offered
    subset = Subset(feed.target.stored, target_not_null(key))
    find_hits(con, feed, subset)
    surplus(con, feed, subset)
    left: int = con.execute("SELECT coalesce(sum(n), 0) FROM temp.need").fetchone()[0]
    write.account.of(feed.target.name).identical += offered
    if not left:
        return
    values = ", ".join(f"c{i}" for i in range(len(feed.target.stored)))
    copies = (
        "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k "
        f"WHERE i < (SELECT max(n) FROM temp.need)) SELECT {values} FROM temp.need "
        "JOIN k ON n >= k.i WHERE 1 ORDER BY rid, k.i"
    )
    table = quote(feed.target.name)
    lead = fold(key.columns[0]) in feed.target.indexed
    if not lead:
        into = ", ".join(quote(c) for c in key.columns)
        con.execute(f"CREATE INDEX main.{quote(INDEX)} ON {table} ({into})")
    merge_in_turn(con, feed, key, copies, options, write)
    if not lead:
        con.execute(f"DROP INDEX main.{quote(INDEX)}")


def merge_in_turn(
    con: sqlite3.Connection,
    feed: Feed,
    key: Key,
    select: str,
    options: MergeOptions,
    write: Writer,
) -> None:
    """Settle the rows of ``select`` one by one; they are counted as identical beforehand."""
    staged = stage(con, feed, select)
    cells = Cells(staged, options.fill)
    tally = write.account.of(feed.target.name)
    rowid = feed.target.rowid or "NULL"
    look = (
        f"SELECT t.{rowid}, {cells.conflict}, {cells.fillable} "
        f"{staged.joined(key, 's.rowid = ?')} ORDER BY t.{rowid}"
        if feed.target.rowid
        else f"SELECT NULL, {cells.conflict}, {cells.fillable} {staged.joined(key, 's.rowid = ?')}"
    )
    for (turn,) in con.execute("SELECT rowid FROM temp.turn ORDER BY rowid").fetchall():
        rows = con.execute(look, (turn,)).fetchall()
        one = staged.only(f"s.rowid = {turn}")
        fits = next((r for r in rows if not r[1]), None)
        if not rows:
            tally.identical -= 1
            tally.new += write.insert(one, one.columns, f"SELECT {one.select()} {one.source()}", 1)
        elif fits is None:
            tally.identical -= 1
            _clash(con, one, key, rows[0][0], options, write)
        elif fits[2]:
            tally.identical -= 1
            tally.filled += 1
            update_cells(con, one, key, _this(feed, fits[0]), "t")


def _this(feed: Feed, rowid: int | None) -> str:
    return "1" if rowid is None else f"t.{feed.target.rowid} = {rowid}"


def _clash(
    con: sqlite3.Connection,
    one: Feed,
    key: Key,
    rowid: int | None,
    options: MergeOptions,
    write: Writer,
) -> None:
    tally = write.account.of(one.target.name)
    here = _this(one, rowid)
    if options.on_conflict == OnConflict.BOTH and key.exact:
        tally.new += write.insert(one, one.columns, f"SELECT {one.select()} {one.source()}", 1)
        return
    tally.conflicting += 1
    if options.on_conflict == OnConflict.THEIRS:
        tally.replaced += 1
        update_cells(con, one, key, here, "s" if options.fill else "s only")
    elif options.on_conflict == OnConflict.OURS:
        if options.fill and update_cells(
            con, one, key, f"{here} AND {Cells(one, True).fillable}", "t"
        ):
            tally.settled = True
    else:
        found = list_conflicts(con, one, key, Cells(one, options.fill), "value", here)
        write.account.conflict(found)
