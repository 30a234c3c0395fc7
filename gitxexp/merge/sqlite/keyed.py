"""Rows with a unique key: insert what is new, then fill and compare only if something was not.

The insert itself finds the rows that are there already (it costs about an append), so that a
comparison is needed only when fewer rows went in than were offered.
"""

from __future__ import annotations

import sqlite3

from gitxexp.errors import XexpError
from gitxexp.merge.plan import MergeOptions, OnConflict
from gitxexp.merge.sqlite.cells import Cells, list_conflicts, stage, update_cells
from gitxexp.merge.sqlite.feed import Feed, match, not_null
from gitxexp.merge.sqlite.keyless import Subset, merge_keyless
from gitxexp.merge.sqlite.names import fold, quote
from gitxexp.merge.sqlite.schema import Key
from gitxexp.merge.sqlite.sequential import merge_in_turn
from gitxexp.merge.sqlite.write import Writer


def merge_keyed(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer
) -> None:
    """Merge the rows whose key is whole into a target with a unique index on ``key``."""
    tally = write.account.of(feed.target.name)
    feed = feed.only(not_null(feed, key))
    offered: int = con.execute(f"SELECT count(*) {feed.source()}").fetchone()[0]
    if not offered:
        return
    write.account.of(feed.target.name).incoming += offered
    select = f"SELECT {feed.select()} {feed.source()}"
    if not feed.ranges:
        select += " " + feed.order()
    added = write.insert(feed, feed.columns, select, None)
    tally.new += added
    if added < offered:
        _compare(con, feed, key, options, write, offered, added)


def _compare(
    con: sqlite3.Connection,
    feed: Feed,
    key: Key,
    options: MergeOptions,
    write: Writer,
    offered: int,
    added: int,
) -> None:
    """Settle the offered rows whose key was taken."""
    tally, cells = write.account.of(feed.target.name), Cells(feed, options.fill)
    if unique_on(con, feed, key):
        matched, clashing, fillable = con.execute(
            f"SELECT count(*), coalesce(sum({cells.conflict}), 0), "
            f"coalesce(sum({cells.fillable} AND NOT {cells.conflict}), 0) {feed.joined(key)}"
        ).fetchone()
        tally.filled += fillable
        tally.identical += matched - added - clashing - fillable
        if clashing:
            _settle(con, feed, key, options, write, clashing)
        if fillable:
            update_cells(con, feed, key, f"NOT {cells.conflict} AND {cells.fillable}", "t")
    else:
        matched = con.execute(f"SELECT count(*) {feed.joined(key)}").fetchone()[0]
        # Where theirs wins, a row equal to the target's may have to win it back from one before it.
        wanted = "1" if options.on_conflict == OnConflict.THEIRS else f"NOT {cells.identical}"
        differing = f"SELECT {feed.select()} {feed.joined(key, wanted)}"
        tally.identical += matched - added
        merge_in_turn(con, feed, key, differing, options, write)
    if matched < offered:
        _place_strangers(con, feed, key, write)


def unique_on(con: sqlite3.Connection, feed: Feed, key: Key) -> bool:
    """Whether no two offered rows have the same key."""
    names = {fold(c.name): fold(feed.renamed.get(fold(c.name), c.name)) for c in feed.table.columns}
    plain = all(fold(c) == "binary" for c in key.collations)
    for own in feed.table.keys if plain else ():
        if {names[c] for c in own.folded} <= set(key.folded):
            return True
    terms = ", ".join(
        f"+{feed.expr(c)} COLLATE {quote(k)}"
        for c, k in zip(key.columns, key.collations, strict=True)
    )
    double = f"SELECT 1 {feed.source()} GROUP BY {terms} HAVING count(*) > 1 LIMIT 1"
    return con.execute(double).fetchone() is None


def _settle(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer, n: int
) -> None:
    """Resolve ``n`` keys in conflict as the options say, or record them."""
    tally, cells = write.account.of(feed.target.name), Cells(feed, options.fill)
    alias = len(key.columns) == 1 and fold(key.columns[0]) == fold(feed.target.alias or "")
    if options.renumber and alias and feed.target.alias:
        _renumber(con, feed, key, cells, write, n)
        return
    tally.conflicting += n
    if options.on_conflict == OnConflict.THEIRS:
        tally.replaced += n
        update_cells(con, feed, key, cells.conflict, "s" if options.fill else "s only")
    elif options.on_conflict == OnConflict.OURS:
        if options.fill and update_cells(
            con, feed, key, f"{cells.conflict} AND {cells.fillable}", "t"
        ):
            tally.settled = True
    else:
        if options.on_conflict == OnConflict.BOTH:
            write.account.note(f"{feed.target.name}: both cannot stay, its unique key forbids it")
        kind = "primary key" if alias else "value"
        write.account.conflict(list_conflicts(con, feed, key, cells, kind))


def _renumber(
    con: sqlite3.Connection, feed: Feed, key: Key, cells: Cells, write: Writer, n: int
) -> None:
    """Give ``n`` clashing rows a new number, unless the target has their content already."""
    name = feed.target.name
    _refuse_references(con, name)
    staged = stage(
        con,
        feed,
        f"SELECT {feed.select()} {feed.joined(key)} AND ({cells.conflict} OR {cells.identical})",
    )
    alias = fold(feed.target.alias or "")
    rest = tuple(c for c in feed.target.stored if fold(c.name) != alias)
    new = merge_keyless(con, staged, Subset(rest), write).new
    tally = write.account.of(name)
    tally.new += new
    tally.identical += n - new
    if new:
        write.account.note(f"{name}: {new} rows got a new {feed.target.alias}")


def _refuse_references(con: sqlite3.Connection, name: str) -> None:
    rows = con.execute(
        "SELECT m.name FROM main.sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f "
        "WHERE m.type = 'table' AND lower(f.\"table\") = lower(?)",
        (name,),
    ).fetchall()
    if rows:
        raise XexpError(
            f"rows of {rows[0][0]} refer to {name}: its rows cannot be renumbered",
            "resolve with --on-conflict ours or theirs",
        )


def _place_strangers(con: sqlite3.Connection, feed: Feed, key: Key, write: Writer) -> None:
    """Offered rows that went in nowhere: another constraint refuses them, one by one."""
    table = f"main.{quote(feed.target.name)}"
    lost = feed.source(f"NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {match(feed, key)})")
    new = write.each(feed, feed.columns, f"SELECT {feed.select()} {lost}")
    write.account.of(feed.target.name).new += new
