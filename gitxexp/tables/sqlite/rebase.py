"""Rebase: incoming rows replace the rows of their key; the later source wins.

Per key value, target rows that are not among the incoming ones go, then a plain merge brings the
rest in: equal rows stay where they are, and rows whose key is NULL follow merge by themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions
from gitxexp.tables.rules import RUN_IDS, VERSION_COLUMNS
from gitxexp.tables.sqlite.feed import Feed, not_null, same, target_null
from gitxexp.tables.sqlite.keyless import grouping
from gitxexp.tables.sqlite.names import fold, quote
from gitxexp.tables.sqlite.schema import Key, Schema
from gitxexp.tables.sqlite.write import Writer, fresh

#: What names an experiment in a table of results, in order of preference.
DEFAULT_KEYS = (*VERSION_COLUMNS, *RUN_IDS)


def rebase_key(feed: Feed, options: MergeOptions) -> Key | None:
    """The key that decides what is replaced; None when the table has none and follows merge."""
    if options.key:
        whole = all(feed.target.column(c) and feed.has_column(c) for c in options.key)
        return _key(options.key) if whole and not feed.target.virtual else None
    for name in DEFAULT_KEYS:
        if feed.has_column(name) and not feed.target.virtual:
            return _key((name,))
    return None


def check_rebase_key(options: MergeOptions, schemas: list[Schema]) -> None:
    """Raise XexpError when no table of any database has the declared key."""
    for schema in schemas:
        for table in schema.tables.values():
            names = {fold(options.rename.get(c.name, c.name)) for c in table.columns}
            if {fold(c) for c in options.key} <= names:
                return
    raise XexpError(f"no table has the key {', '.join(options.key)}")


def _key(columns: tuple[str, ...]) -> Key:
    return Key(columns, ("BINARY",) * len(columns), exact=True)


def make_way(con: sqlite3.Connection, feed: Feed, key: Key, claims: str, write: Writer) -> Feed:
    """Delete what the offered rows replace; return the rows that are still to be merged.

    ``claims`` names a temporary table of the keys that later sources brought (they come first
    here); ``claim`` adds this source's keys to it afterwards.
    """
    whole = not_null(feed, key)
    ks = [f"k{i}" for i in range(len(key.columns))]
    columns = ", ".join([*ks, *(f"y{k}" for k in ks)])
    con.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {claims}({columns}, PRIMARY KEY({columns})) WITHOUT ROWID"
    )
    taken = _among(claims, key, [feed.expr(c) for c in key.columns])
    if con.execute(f"SELECT 1 FROM temp.{claims} LIMIT 1").fetchone():
        gone = con.execute(f"SELECT count(*) {feed.source(whole, taken)}").fetchone()[0]
        write.account.of(feed.target.name).incoming += gone
        feed = feed.only(f"NOT ({whole} AND {taken})")
    fresh(con, "brought", f"{columns}, PRIMARY KEY({columns})", " WITHOUT ROWID")
    values = [feed.expr(c) for c in key.columns]
    picks = ", ".join([*values, *(f"typeof({v})" for v in values)])
    con.execute(f"INSERT OR IGNORE INTO temp.brought SELECT {picks} {feed.source(whole)}")
    remove = _delete_rows if feed.target.rowid else _delete_by_key
    write.account.of(feed.target.name).replaced += remove(con, feed, key, whole)
    return feed


def claim(con: sqlite3.Connection, claims: str) -> None:
    """Once its rows are in: the keys that the source of the last ``make_way`` brought are its."""
    con.execute(f"INSERT OR IGNORE INTO temp.{claims} SELECT * FROM temp.brought")


def _among(claims: str, key: Key, values: list[str]) -> str:
    tests = [
        f"b.k{i} = +{v} COLLATE BINARY AND b.yk{i} = typeof({v})" for i, v in enumerate(values)
    ]
    return f"EXISTS (SELECT 1 FROM temp.{claims} AS b WHERE {' AND '.join(tests)})"


def _delete_rows(con: sqlite3.Connection, feed: Feed, key: Key, whole: str) -> int:
    """Delete the target rows of the brought keys that the source does not have as often."""
    target = feed.target
    table = f"main.{quote(target.name)}"
    mine = [f"t.{quote(c)}" for c in key.columns]
    if fold(key.columns[0]) in target.indexed:
        tests = [f"{v} = b.k{i} AND typeof({v}) = b.yk{i}" for i, v in enumerate(mine)]
        tests += [f"+{v} = b.k{i} COLLATE BINARY" for i, v in enumerate(mine)]
        found = f"temp.brought AS b CROSS JOIN {table} AS t WHERE {' AND '.join(tests)}"
    else:
        found = f"{table} AS t WHERE {_among('brought', key, mine)}"
    fresh(con, "hits", "rid INTEGER PRIMARY KEY")
    con.execute(f"INSERT OR IGNORE INTO temp.hits SELECT t.{target.rowid} FROM {found}")
    fresh(con, "doomed", "rid INTEGER PRIMARY KEY")
    unlike = _unlike_by_key(con, feed, whole)
    if unlike is not None:
        con.execute(f"INSERT INTO temp.doomed {unlike}")
    else:
        con.executemany("INSERT INTO temp.doomed VALUES (?)", _not_offered(con, feed, whole))
    return con.execute(f"DELETE FROM {table} WHERE {target.rowid} IN temp.doomed").rowcount


def _unlike_by_key(con: sqlite3.Connection, feed: Feed, whole: str) -> str | None:
    """SQL for the hits that equal no offered row, where both tables have the same unique key.

    None where they have not, or where a hit has a NULL in it: then rows must be counted.
    """
    target = feed.target
    if (
        not target.keys
        or feed.renamed
        or target.keys[0].folded not in (k.folded for k in feed.table.keys)
    ):
        return None
    key = target.keys[0]
    hits = (
        f"FROM temp.hits AS h CROSS JOIN main.{quote(target.name)} AS t ON t.{target.rowid} = h.rid"
    )
    if con.execute(f"SELECT 1 {hits} WHERE {target_null(key)} LIMIT 1").fetchone():
        return None
    linked = [f"{feed.expr(c)} = +t.{quote(c)}" for c in key.columns]
    equal = [same(c, feed.expr(c.name), f"t.{quote(c.name)}") for c in target.stored]
    return f"SELECT h.rid {hits} WHERE NOT EXISTS (SELECT 1 {feed.source(whole, *linked, *equal)})"


def _not_offered(con: sqlite3.Connection, feed: Feed, whole: str) -> Iterator[tuple[int]]:
    """Rowids of hits beyond the multiplicity with which the source offers the same row."""
    columns = feed.target.stored
    names = [f"c{i}" for i in range(len(columns))]
    held = ", ".join(f"+t.{quote(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
    offered = ", ".join(f"+{feed.expr(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
    rows = con.execute(
        f"SELECT group_concat(rid), count(*) - count(rid) FROM (SELECT {held}, h.rid AS rid "
        f"FROM temp.hits AS h CROSS JOIN main.{quote(feed.target.name)} AS t "
        f"ON t.{feed.target.rowid} = h.rid UNION ALL SELECT {offered}, NULL {feed.source(whole)}) "
        f"GROUP BY {grouping(columns, names)} HAVING count(rid) > count(*) - count(rid)"
    )
    for rids, kept in rows:
        yield from ((rid,) for rid in sorted(map(int, rids.split(",")))[kept:])


def _delete_by_key(con: sqlite3.Connection, feed: Feed, key: Key, whole: str) -> int:
    """The same for a table WITHOUT ROWID, whose rows are all different."""
    table = f"main.{quote(feed.target.name)}"
    mine = [f"t.{quote(c)}" for c in key.columns]
    equal = [same(c, feed.expr(c.name), f"t.{quote(c.name)}") for c in feed.target.stored]
    return con.execute(
        f"DELETE FROM {table} AS t WHERE {_among('brought', key, mine)} "
        f"AND NOT EXISTS (SELECT 1 {feed.source(whole, *equal)})"
    ).rowcount
