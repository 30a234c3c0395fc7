"""The state of a running merge: counts per table, conflicts and notes, finally a report.

All rows are inserted here: at once, or row by row if a constraint is violated. Two rows of one key are
compared and merged cell by cell.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import field, replace

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import quote
from gitxexp.tables.plan import (
    Conflict,
    MergeOptions,
    MergeReport,
    OnConflict,
    SimilarColumn,
    TableReport,
    Value,
)
from gitxexp.tables.rules import carried, fold, only_added, renamed, similar_columns
from gitxexp.tables.sqlite.feed import WIDE, Feed, make_feed, same, tree
from gitxexp.tables.sqlite.schema import Column, Key, Schema, Table, read_schema

SHOWN = 100_000  #: conflicts kept; further ones are only counted, to limit memory


@dataclass
class Tally:
    """The counts of one table during a merge; the fields are those of TableReport."""

    name: str
    number: int = 0  #: part of the names of its temporary tables; never changes
    here: int = 0
    incoming: int = 0
    new: int = 0
    identical: int = 0
    filled: int = 0
    replaced: int = 0
    removed: int = 0
    conflicting: int = 0
    columns_added: list[str] = field(default_factory=list)
    types_widened: list[str] = field(default_factory=list)
    created: bool = False
    counted: bool = False
    estimated: bool = False
    held: int = 0  #: rows before anything was added; also those of a target that began as a source
    last_rowid: int = 0  #: the largest rowid of those
    settled: bool = False  #: cells were filled in rows that stay in conflict
    before: list[str] = field(default_factory=list)  #: its columns before the merge
    offered: list[list[str]] = field(default_factory=list)  #: the columns of each source
    keyed: bool = False  #: the table has the key of the rebase

    @property
    def touched(self) -> bool:
        return bool(self.new or self.filled or self.replaced or self.removed)

    def report(self) -> TableReport:
        return TableReport(
            self.name,
            self.here,
            self.incoming,
            self.new,
            self.identical,
            self.filled,
            self.replaced,
            self.removed,
            self.conflicting,
            () if self.created else tuple(self.columns_added),
            () if self.created else tuple(self.types_widened),
            self.created,
            self.estimated,
        )


#: Tables with fewer rows are always counted.
_COUNTED = 1_000_000


class Account:
    """The progress so far. With any conflict in ``conflicts`` nothing is written."""

    def __init__(self) -> None:
        self.tables: dict[str, Tally] = {}
        self.conflicts: list[Conflict] = []
        self.order: list[str] = []  #: the target's tables, in its order
        self.carried: list[str] = []
        self.notes: list[str] = []

    def of(self, table: str) -> Tally:
        return self.tables.setdefault(fold(table), Tally(table, len(self.tables)))

    def count_here(self, con: sqlite3.Connection, table: Table, *, exact: bool = True) -> None:
        """Count the rows of a target table, once, before anything is added; unless ``exact``, from
        its row numbers: counting reads the whole table."""
        tally = self.of(table.name)
        if tally.counted or tally.created:
            return
        tally.counted = True
        place = f"main.{quote(table.name)}"
        tally.last_rowid = last_rowid(con, table)
        if table.rowid and not table.virtual and not exact:
            first = con.execute(f"SELECT min({table.rowid}) FROM {place}").fetchone()[0]
            tally.here = 0 if first is None else tally.last_rowid - first + 1
            tally.estimated = _COUNTED < tally.here <= _most_rows(con)
        if not tally.estimated:
            tally.here = con.execute(f"SELECT count(*) FROM {place}").fetchone()[0]
        tally.held = tally.here

    def conflict(self, conflicts: Sequence[Conflict]) -> None:
        room = SHOWN - len(self.conflicts)
        self.conflicts += conflicts[: max(room, 0)]

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def note_unreadable(self, schema: Schema, label: str) -> None:
        for name in schema.unreadable:
            self.note(f"virtual table {name} of {label} left out: its module is not here")

    def carry(self, con: sqlite3.Connection, kind: str, name: str, sql: str) -> None:
        """Create an object that only a source has; if the rows forbid it, note that and continue."""
        try:
            con.execute(sql)
        except (sqlite3.IntegrityError, sqlite3.OperationalError) as error:
            self.note(f"{kind} {name} not carried over: {error}")
        else:
            self.carried.append(carried(kind, name))

    def built(self, con: sqlite3.Connection) -> None:
        """The target began as a copy of the first source: all its tables and rows are new."""
        for table in read_schema(con).tables.values():
            tally = self.of(table.name)
            tally.created = True
            tally.before = [c.name for c in table.columns]
            self.carried.append(carried("table", table.name))
            if table.content is None:
                place = f"main.{quote(table.name)}"
                rows = con.execute(f"SELECT count(*) FROM {place}").fetchone()[0]
                tally.incoming = tally.new = tally.held = rows
                tally.last_rowid = last_rowid(con, table)

    @property
    def changed(self) -> bool:
        """Whether anything was written into the target."""
        return bool(self.carried) or any(
            t.touched or t.columns_added or t.types_widened or t.created or t.settled
            for t in self.tables.values()
        )

    def note_unkeyed(self, declared: Sequence[str]) -> None:
        """Note the tables to which a rebase could only add rows."""
        for tally in self._ordered():
            if tally.new and not tally.keyed:
                self.note(only_added(tally.name, declared))

    def _ordered(self) -> list[Tally]:
        place = {name: number for number, name in enumerate(self.order)}
        last = len(place)
        return sorted(self.tables.values(), key=lambda t: place.get(fold(t.name), last))

    def _similar(self) -> list[SimilarColumn]:
        tallies = [t for t in self._ordered() if t.offered]
        return [s for t in tallies for s in similar_columns(t.name, t.before, t.offered)]

    def report(self, written: bool) -> MergeReport:
        return MergeReport(
            tuple(t.report() for t in self._ordered()),
            tuple(self.conflicts),
            tuple(self._similar()),
            tuple(self.carried),
            tuple(self.notes),
            written,
        )


def last_rowid(con: sqlite3.Connection, table: Table) -> int:
    """The largest rowid of a target table; 0 if it has none."""
    if table.virtual or not table.rowid:
        return 0
    sql = f"SELECT max({table.rowid}) FROM main.{quote(table.name)}"
    return con.execute(sql).fetchone()[0] or 0


class Careful(Exception):
    """A constraint stopped a statement; it is repeated row by row to identify the rows."""


@dataclass(frozen=True)
class RowsAlike:
    """The target's rows that may equal an offered one: those that were there between rowids in
    ``ranges`` (a temporary table, "" for none) and all added since, if they pass ``test`` over ``t``."""

    ranges: str
    test: str


class Writer:
    """Insert into the target. ``careful`` inserts row by row and names the rows refused."""

    def __init__(
        self, con: sqlite3.Connection, options: MergeOptions, account: Account, careful: bool
    ) -> None:
        self.con, self.options, self.account, self.careful = con, options, account, careful
        #: whether sources attached together may share one scan; nothing is deleted meanwhile
        self.together = False
        self.later: list[tuple[str, Schema]] = []  #: sources attached but not yet merged
        self.alike: RowsAlike | None = None  #: for the table that is merged now
        self.scans: dict[str, set[str]] = {}  #: table -> sources that its scan covers
        #: table -> temporary table of the old and new numbers of the source's rows
        self.moved: dict[str, str] = {}
        self.turn = 0  #: the number of the source, where those of several are kept

    def upcoming(self, feed: Feed) -> list[Feed]:
        """Return what later sources offer to the same table, as far as known."""
        found = []
        for db, schema in self.later:
            table = schema.tables.get(fold(feed.table.name))
            if table is not None and not table.virtual:
                names = [c.name for c in table.columns]
                rename = renamed(table.name, names, self.options.rename, db)
                found.append(make_feed(db, table, feed.target, rename, db))
        return found

    def insert(self, feed: Feed, columns: Sequence[str], select: str, expected: int | None) -> int:
        """Insert what ``select`` gives; the number of rows inserted.

        ``expected`` is that number, or None if a unique key may leave rows out. Raises Careful
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
        """Record that a constraint of the target refuses an offered row."""
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


def _most_rows(con: sqlite3.Connection) -> int:
    """Return an upper limit of the number of rows in the file, because a row takes at least five bytes
    (sqlite.org/fileformat2.html, "B-tree Pages"). Row numbers that are hashes are far apart."""
    pages, size = (
        con.execute(f"PRAGMA main.{name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    return int(pages) * int(size) // 5


def row_key(table: Table, row: dict[str, Value]) -> dict[str, Value]:
    """Return what identifies a row: its first unique key, else the whole row."""
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


@dataclass(frozen=True)
class Cells:
    """SQL over ``s`` and ``t`` that says how two rows of one key differ."""

    feed: Feed
    fill: bool

    def same(self, column: Column) -> str:
        return same(column, self.feed.expr(column.name), f"t.{quote(column.name)}")

    def clash(self, column: Column) -> str:
        """Whether the two values disagree and filling does not resolve that."""
        name, value = f"t.{quote(column.name)}", self.feed.expr(column.name)
        settled = f"{name} IS NULL OR {value} IS NULL OR " if self.fill else ""
        return f"NOT ({settled}{self.same(column)})"

    @property
    def conflict(self) -> str:
        return tree([self.clash(c) for c in self.feed.target.stored], "OR")

    @property
    def fillable(self) -> str:
        if not self.fill:
            return "0"
        tests = [
            f"(t.{quote(c.name)} IS NULL AND {self.feed.expr(c.name)} IS NOT NULL)"
            for c in self.feed.target.stored
            if self.feed.has(c.name)
        ]
        return tree(tests or ["0"], "OR")

    @property
    def identical(self) -> str:
        return tree([self.same(c) for c in self.feed.target.stored], "AND")


def update_cells(con: sqlite3.Connection, feed: Feed, key: Key, condition: str, prefer: str) -> int:
    """Write cells of ``s`` into the ``t`` of the same key where ``condition`` holds.

    ``prefer`` "t": only where ``t`` is NULL; "s": wherever ``s`` is not NULL; "s only": always.
    Returns the number of rows written; raises XexpError if a constraint forbids it.
    """
    if feed.ranges:  # UPDATE … FROM does not know the rowid of a second table
        rows = f"SELECT {feed.select()} {feed.joined(key, condition)}"
        return update_cells(con, stage(con, feed, rows, "updates"), key, "1", prefer)
    sets = []
    for column in feed.target.stored:
        name, value = quote(column.name), feed.expr(column.name)
        if not feed.has(column.name) and prefer != "s only":
            continue
        new = {"t": f"ifnull(t.{name}, {value})", "s": f"ifnull({value}, t.{name})"}
        sets.append(f"{name} = {new.get(prefer, value)}")
    rows = feed.offered(key, condition)
    try:
        return con.execute(
            f"UPDATE main.{quote(feed.target.name)} AS t SET {', '.join(sets)} {rows}"
        ).rowcount
    except sqlite3.IntegrityError as error:
        raise XexpError(
            f"values from {feed.label} break a constraint of {feed.target.name}: {error}",
            "look at the rows with --dry-run --no-fill, or take one side with --on-conflict ours",
        ) from error


def stage(con: sqlite3.Connection, feed: Feed, select: str, name: str = "turn") -> Feed:
    """Store rows (in the order of the target's columns) in a temporary table; return a feed of them."""
    columns = feed.target.stored
    fresh(con, name, ", ".join(f"c{i}" for i in range(len(columns))))
    con.execute(f"INSERT INTO temp.{name} {select}")
    table = Table(name, "", tuple(Column(f"c{i}") for i in range(len(columns))))
    exprs = {fold(c.name): f's."c{i}"' for i, c in enumerate(columns)}
    return replace(feed, db="temp", table=table, exprs=exprs, where="", ranges="", renamed={})


def list_conflicts(
    con: sqlite3.Connection, feed: Feed, key: Key, cells: Cells, kind: str, only: str = "1"
) -> list[Conflict]:
    """Every disagreeing cell, with both values (at most SHOWN)."""
    found: list[Conflict] = []
    columns = feed.target.stored
    for start in range(0, len(columns), WIDE):
        part = columns[start : start + WIDE]
        picks = [f"t.{quote(c)}" for c in key.columns]
        for column in part:
            picks += [f"t.{quote(column.name)}", feed.expr(column.name), cells.clash(column)]
        test = tree([cells.clash(c) for c in part], "OR")
        sql = f"SELECT {', '.join(picks)} {feed.joined(key, test, only)} LIMIT {SHOWN}"
        for row in con.execute(sql):
            values = row[len(key.columns) :]
            names = dict(zip(key.columns, row, strict=False))
            found += [
                Conflict(
                    feed.target.name,
                    names,
                    c.name,
                    values[3 * i],
                    values[3 * i + 1],
                    kind=kind,
                    source=feed.label,
                )
                for i, c in enumerate(part)
                if values[3 * i + 2]
            ]
    return found
