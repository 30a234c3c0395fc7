"""The one place that inserts rows: all at once, or row by row where a constraint objects."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from gitxexp.tables.plan import Conflict, MergeOptions, OnConflict, Value
from gitxexp.tables.sqlite.account import Account
from gitxexp.tables.sqlite.feed import Feed, make_feed
from gitxexp.tables.sqlite.names import fold, quote
from gitxexp.tables.sqlite.schema import Schema, Table


class Careful(Exception):
    """A constraint stopped a whole statement: do it again row by row, to name the rows."""


class Writer:
    """Inserts into the target. ``careful`` goes row by row and names what a constraint refuses."""

    def __init__(
        self, con: sqlite3.Connection, options: MergeOptions, account: Account, careful: bool
    ) -> None:
        self.con, self.options, self.account, self.careful = con, options, account, careful
        #: whether sources attached together may share one scan; nothing is deleted meanwhile
        self.together = False
        self.later: list[tuple[str, Schema]] = []  #: sources attached but not yet merged
        self.scans: dict[str, set[str]] = {}  #: table -> sources that its scan covers

    def upcoming(self, feed: Feed) -> list[Feed]:
        """What the later sources offer to the same table, as far as that is known by now."""
        found = []
        for db, schema in self.later:
            table = schema.tables.get(fold(feed.table.name))
            if table is not None and not table.virtual:
                rename = {fold(a): b for a, b in self.options.rename.items() if table.column(a)}
                found.append(make_feed(db, table, feed.target, rename, db))
        return found

    def insert(self, feed: Feed, columns: Sequence[str], select: str, expected: int | None) -> int:
        """Insert what ``select`` gives; the number of rows that went in.

        ``expected`` is that number, or None where a unique key may leave rows out. Raises Careful
        when another constraint refuses rows and they are not yet inserted one by one.
        """
        if self.careful and expected is not None:
            return self.each(feed, columns, select)
        into = ", ".join(quote(c) for c in columns)
        head = f"INSERT INTO main.{quote(feed.target.name)} ({into}) {select}"
        try:
            done = self.con.execute(f"{head} ON CONFLICT DO NOTHING").rowcount
        except sqlite3.IntegrityError as error:
            if self.careful:
                return self.each(feed, columns, select, quiet=True)
            raise Careful from error
        if expected is not None and done != expected:
            raise Careful
        return done

    def each(self, feed: Feed, columns: Sequence[str], select: str, quiet: bool = False) -> int:
        """Insert row by row; a refused row is a conflict, or (``quiet``) left for the caller."""
        fresh(self.con, "todo", ", ".join(f"c{i}" for i in range(len(columns))))
        self.con.execute(f"INSERT INTO temp.todo {select}")
        into = ", ".join(quote(c) for c in columns)
        values = ", ".join(f"c{i}" for i in range(len(columns)))
        one = (
            f"INSERT INTO main.{quote(feed.target.name)} ({into}) "
            f"SELECT {values} FROM temp.todo WHERE rowid = ?"
        )
        done = 0
        for (rid,) in self.con.execute("SELECT rowid FROM temp.todo").fetchall():
            try:
                done += self.con.execute(one, (rid,)).rowcount
            except sqlite3.IntegrityError as error:
                if not quiet:
                    self._refused(feed, columns, rid, values, str(error))
        return done

    def _refused(self, feed: Feed, columns: Sequence[str], rid: int, values: str, why: str) -> None:
        row = self.con.execute(f"SELECT {values} FROM temp.todo WHERE rowid = ?", (rid,)).fetchone()
        self.refuse(feed, dict(zip(columns, row, strict=True)), why)

    def refuse(self, feed: Feed, row: dict[str, Value], why: str) -> None:
        """Record that the target's constraints leave no place for an offered row."""
        self.account.of(feed.target.name).conflicting += 1
        if self.options.on_conflict == OnConflict.OURS:
            self.account.note(f"{feed.target.name}: rows left out that a constraint refuses: {why}")
            return
        column = _named_column(why, feed.target)
        key = row_key(feed.target, row)
        theirs = row.get(column) if column else None
        self.account.note(f"{feed.target.name}: {why}")
        self.account.conflict(
            [Conflict(feed.target.name, key, column, None, theirs, None, "constraint", feed.label)]
        )


def row_key(table: Table, row: dict[str, Value]) -> dict[str, Value]:
    """The part of a row that names it: its first unique key, else the whole row."""
    if table.keys and all(row.get(c) is not None for c in table.keys[0].columns):
        return {c: row[c] for c in table.keys[0].columns}
    return dict(row)


def _named_column(why: str, table: Table) -> str | None:
    """The column that a constraint message names (``NOT NULL constraint failed: t.a``)."""
    found = re.search(r"(?:failed: |column )(.*)", why)
    if not found:
        return None
    last = found.group(1).split(", ")[-1].removeprefix(f"{table.name}.")
    column = table.column(last)
    return column.name if column else None


def fresh(con: sqlite3.Connection, name: str, columns: str, tail: str = "") -> None:
    """An empty temporary table. Without declared types, it holds every value unchanged."""
    con.execute(f"DROP TABLE IF EXISTS temp.{name}")
    con.execute(f"CREATE TEMP TABLE {name}({columns}){tail}")
