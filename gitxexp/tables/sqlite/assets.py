"""xetrack's ``counts`` and ``keys`` merged by their own rules (:mod:`gitxexp.tables.assets`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from gitxexp.common.sql import quote
from gitxexp.tables.assets import Kind, Pairs, kind_of, merge_counts, merge_keys
from gitxexp.tables.plan import Value
from gitxexp.tables.rules import fold
from gitxexp.tables.sqlite.feed import Feed
from gitxexp.tables.sqlite.schema import Schema, read_schema
from gitxexp.tables.sqlite.write import Writer


def merge_assets(
    con: sqlite3.Connection, base: Feed | None, theirs: Feed, beside: Collection[str], write: Writer
) -> bool:
    """Merge a table of xetrack's; False if it is not one, or has unknown content."""
    kind = kind_of(theirs.target.name, [c.name for c in theirs.target.columns], beside)
    if kind is None:
        return False
    name = quote(theirs.target.name)
    ours = dict(con.execute(f"SELECT key, value FROM main.{name}"))
    old = None if base is None else _read(con, base)
    new = _read(con, theirs)
    if kind is Kind.COUNTS:
        result = merge_counts(old, ours, new)
    else:
        result = merge_keys(old, ours, new, lambda *of: _later(con, theirs.db, *of))
    if result is None:
        return False
    _write(con, theirs, Counted(ours, new, result), write)
    return True


def _read(con: sqlite3.Connection, feed: Feed) -> dict[Value, Value]:
    return dict(con.execute(f"SELECT {feed.expr('key')}, {feed.expr('value')} {feed.source()}"))


class Counted:
    """Row counts of a merged table of pairs compared with both sides."""

    def __init__(self, ours: Pairs, theirs: Pairs, result: Pairs) -> None:
        self.gone = [(key,) for key in ours if key not in result]
        self.changed = [(v, k) for k, v in result.items() if k in ours and v != ours[k]]
        self.added = [(k, v) for k, v in result.items() if k not in ours]
        moved = {k for _, k in self.changed} | {k for k, _ in self.added}
        self.identical = sum(key in result and key not in moved for key in theirs)


def _write(con: sqlite3.Connection, feed: Feed, counted: Counted, write: Writer) -> None:
    tally, name = write.account.of(feed.target.name), f"main.{quote(feed.target.name)}"
    con.executemany(f"DELETE FROM {name} WHERE key IS ?", counted.gone)
    con.executemany(f"UPDATE {name} SET value = ? WHERE key IS ?", counted.changed)
    con.executemany(f"INSERT INTO {name} (key, value) VALUES (?, ?)", counted.added)
    tally.incoming += con.execute(f"SELECT count(*) {feed.source()}").fetchone()[0]
    tally.removed += len(counted.gone)
    tally.replaced += len(counted.changed)
    tally.new += len(counted.added)
    tally.identical += counted.identical


def _later(con: sqlite3.Connection, db: str, column: str, ours: str, theirs: str) -> bool:
    """Whether one of their rows with their object is newer than all of our rows with ours."""
    mine, other = _last(con, "main", column, ours), _last(con, db, column, theirs)
    return other is not None and (mine is None or other > mine)


def _last(con: sqlite3.Connection, db: str, column: str, value: str) -> str | None:
    times = []
    for table in read_schema(con, db).tables.values():
        if table.column(column) and table.column("timestamp"):
            rows = f"{quote(db)}.{quote(table.name)} WHERE {quote(column)} = ?"
            times += con.execute(f"SELECT max(timestamp) FROM {rows}", (value,)).fetchone()
    return max((str(t) for t in times if t is not None), default=None)


def keep_counted_assets(
    con: sqlite3.Connection, schemas: Collection[Schema], others: Collection[str]
) -> None:
    """Restore an asset that one side deleted but the other refers to again."""
    if not all(is_counting(schema) for schema in schemas):
        return
    for db in others:
        con.execute(
            f"INSERT INTO main.assets SELECT a.* FROM {quote(db)}.assets AS a WHERE a.key IN "
            "(SELECT key FROM main.counts) AND a.key NOT IN (SELECT key FROM main.assets)"
        )


def is_counting(schema: Schema) -> bool:
    """Whether a database has xetrack's tables of objects."""
    table = schema.tables.get(fold("counts"))
    if table is None:
        return False
    return kind_of(table.name, [c.name for c in table.columns], schema.tables) is Kind.COUNTS
