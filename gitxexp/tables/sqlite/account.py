"""The running account of a merge: counts per table, conflicts, notes; in the end a report."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from gitxexp.tables.plan import Conflict, MergeReport, SimilarColumn, TableReport
from gitxexp.tables.sqlite.names import fold, quote
from gitxexp.tables.sqlite.schema import Schema, Table, read_schema

SHOWN = 100_000  #: conflicts kept whole; more are only counted, so that memory stays bounded


@dataclass
class Tally:
    """One table's counts while they grow; the fields are those of TableReport."""

    name: str
    number: int = 0  #: names the temporary tables of this one; never changes
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
    last_rowid: int = 0  #: the largest rowid before anything was added
    settled: bool = False  #: cells were filled in rows that stay in conflict

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
            tuple(self.columns_added),
            tuple(self.types_widened),
            self.created,
        )


class Account:
    """What happened so far. Conflicts of any kind in ``conflicts`` mean that nothing is written."""

    def __init__(self) -> None:
        self.tables: dict[str, Tally] = {}
        self.conflicts: list[Conflict] = []
        self.similar: list[SimilarColumn] = []
        self.carried: list[str] = []
        self.notes: list[str] = []

    def of(self, table: str) -> Tally:
        return self.tables.setdefault(fold(table), Tally(table, len(self.tables)))

    def count_here(self, con: sqlite3.Connection, table: Table) -> None:
        """Count the rows of a target table, once, before anything is added."""
        tally = self.of(table.name)
        if tally.counted or tally.created:
            return
        tally.here = con.execute(f"SELECT count(*) FROM main.{quote(table.name)}").fetchone()[0]
        tally.counted = True
        if table.rowid and not table.virtual:
            sql = f"SELECT max({table.rowid}) FROM main.{quote(table.name)}"
            tally.last_rowid = con.execute(sql).fetchone()[0] or 0

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
        """Create an object only a source has; where the rows forbid it, say so and go on."""
        try:
            con.execute(sql)
        except (sqlite3.IntegrityError, sqlite3.OperationalError) as error:
            self.note(f"{kind} {name} not carried over: {error}")
        else:
            self.carried.append(f"{kind} {name}")

    def built(self, con: sqlite3.Connection) -> None:
        """The target began as a copy of the first source: all its tables and rows are new."""
        for table in read_schema(con).tables.values():
            tally = self.of(table.name)
            tally.created = True
            self.carried.append(f"table {table.name}")
            if table.content is None:
                rows = con.execute(f"SELECT count(*) FROM main.{quote(table.name)}").fetchone()[0]
                tally.incoming = tally.new = rows

    @property
    def changed(self) -> bool:
        """Whether anything was written into the target."""
        return bool(self.carried) or any(
            t.touched or t.columns_added or t.types_widened or t.created or t.settled
            for t in self.tables.values()
        )

    def report(self, written: bool) -> MergeReport:
        return MergeReport(
            tuple(t.report() for t in self.tables.values()),
            tuple(self.conflicts),
            tuple(self.similar),
            tuple(self.carried),
            tuple(self.notes),
            written,
        )
