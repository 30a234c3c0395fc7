"""One table of one source into the target: which way its rows go."""

from __future__ import annotations

import sqlite3

from gitxexp.merge.plan import MergeOptions, Mode
from gitxexp.merge.sqlite.feed import Feed, some_null, target_null
from gitxexp.merge.sqlite.keyed import merge_keyed
from gitxexp.merge.sqlite.keyless import Subset, merge_keyless
from gitxexp.merge.sqlite.names import fold
from gitxexp.merge.sqlite.rebase import claim, make_way, rebase_key
from gitxexp.merge.sqlite.schema import Column, Key
from gitxexp.merge.sqlite.sequential import merge_declared
from gitxexp.merge.sqlite.write import Writer


def merge_table(
    con: sqlite3.Connection, feed: Feed, options: MergeOptions, write: Writer, ranges: str = ""
) -> None:
    """Merge (or rebase) every offered row; ``ranges`` are the target rows worth comparing."""
    table = feed.target
    declared: Key | None = None
    claims = ""
    if options.mode == Mode.REBASE:
        key = rebase_key(feed, options)
        if key is not None:
            claims = f"claims{write.account.of(table.name).number}"
            feed = make_way(con, feed, key, claims, write)
    elif options.key and not table.virtual and all(table.column(c) for c in options.key):
        declared = Key(options.key, ("BINARY",) * len(options.key), exact=True)
    if table.keys:
        _with_unique_key(con, feed, table.keys[0], options, write, ranges)
    elif declared is not None:
        merge_declared(con, feed, declared, options, write)
        _keyless(con, feed.only(some_null(feed, declared)), target_null(declared), write)
    else:
        _keyless(con, feed, "1", write, ranges)
    if claims:
        claim(con, claims)
    elif options.mode == Mode.REBASE and write.account.of(table.name).new:
        wanted = ", ".join(options.key) or "version or run id"
        write.account.note(f"table {table.name} has no {wanted}: its rows were added")


def _with_unique_key(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer, ranges: str
) -> None:
    table = feed.target
    alias = fold(table.alias or "")
    numbered = bool(alias) and key.folded == (alias,)
    if not (numbered and not feed.has(key.columns[0])):
        merge_keyed(con, feed, key, options, write)
    if not _may_be_null(feed, key):
        return
    rest = feed.only(some_null(feed, key))
    if not table.rowid:
        tally = write.account.of(table.name)
        tally.incoming += con.execute(f"SELECT count(*) {rest.source()}").fetchone()[0]
        tally.new += write.each(rest, rest.columns, f"SELECT {rest.select()} {rest.source()}")
    elif numbered:
        others = tuple(c for c in table.stored if fold(c.name) != alias)
        _keyless(con, rest, "1", write, ranges, others)
    else:
        _keyless(con, rest, target_null(key), write, ranges)


def _may_be_null(feed: Feed, key: Key) -> bool:
    """Whether an offered key may hold a NULL, as far as the declarations say."""
    for name in key.columns:
        if not feed.has(name):
            return True
        column = next(
            c
            for c in feed.table.columns
            if fold(feed.renamed.get(fold(c.name), c.name)) == fold(name)
        )
        own = fold(feed.table.alias or "") == fold(column.name)
        if not column.notnull and not own and not feed.table.without_rowid:
            return True
    return False


def _keyless(
    con: sqlite3.Connection,
    feed: Feed,
    where: str,
    write: Writer,
    ranges: str = "",
    columns: tuple[Column, ...] | None = None,
) -> None:
    subset = Subset(columns or feed.target.stored, where, ranges)
    counts = merge_keyless(con, feed, subset, write)
    tally = write.account.of(feed.target.name)
    tally.incoming += counts.offered
    tally.new += counts.new
    tally.identical += counts.identical
