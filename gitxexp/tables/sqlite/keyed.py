"""Rows with a unique key: insert what is new, then fill and compare only if something was not.

The insert itself finds the rows that are there already (it costs about an append), so that a
comparison is needed only when fewer rows went in than were offered.

Rows whose key may be there more than once: settled one after the other, in their order.
"""

from __future__ import annotations

import sqlite3

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions, OnConflict
from gitxexp.tables.sqlite.cells import Cells, list_conflicts, stage, update_cells
from gitxexp.tables.sqlite.feed import Feed, match, not_null, target_not_null
from gitxexp.tables.sqlite.keyless import Subset, find_hits, merge_keyless, surplus
from gitxexp.tables.sqlite.names import fold, quote
from gitxexp.tables.sqlite.schema import Key
from gitxexp.tables.sqlite.write import Writer


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
