"""Merge everything in a database that is not a row: triggers, views, sequences, full-text indexes.

In a three-way merge, follow the indexes, views and triggers that one side changed or dropped.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from gitxexp.common.sql import quote
from gitxexp.tables.plan import Conflict, Value
from gitxexp.tables.rules import dropped_with, fold
from gitxexp.tables.sqlite.schema import Schema, read_schema
from gitxexp.tables.sqlite.write import Account

Violations = Counter[tuple[object, ...]]


class Extras:
    """Objects to remove before a merge and restore, or add, afterwards."""

    def __init__(self, con: sqlite3.Connection, account: Account) -> None:
        self.con, self.account = con, account
        self.before = read_schema(con)
        self.violations = self._violations()
        self.triggers = [o for o in self.before.objects if o[0] == "trigger"]
        self.wanted: list[tuple[str, str, str, str]] = []
        for _, name, _, _ in self.triggers:
            con.execute(f"DROP TRIGGER main.{quote(name)}")

    def collect(self, db: str, schema: Schema, chosen: set[str]) -> None:
        """Remember the objects that only this source has, and raise the target's sequences to its own."""
        for kind, name, owner, sql in schema.objects:
            if kind == "table" or (chosen and fold(owner) not in chosen):
                continue
            known = [*self.before.objects, *self.wanted]
            if not any(fold(o[1]) == fold(name) for o in known):
                self.wanted.append((kind, name, owner, sql))
        if self._has_sequence(db) and self._has_sequence("main"):
            self.con.execute(
                "UPDATE main.sqlite_sequence AS m SET seq = max(seq, (SELECT max(f.seq) "
                f"FROM {quote(db)}.sqlite_sequence AS f WHERE lower(f.name) = lower(m.name))) "
                f"WHERE lower(name) IN (SELECT lower(name) FROM {quote(db)}.sqlite_sequence)"
            )

    def _has_sequence(self, db: str) -> bool:
        sql = f"SELECT 1 FROM {quote(db)}.sqlite_schema WHERE name = 'sqlite_sequence'"
        return self.con.execute(sql).fetchone() is not None

    def finish(self) -> None:
        """Restore the triggers, add the new objects, rebuild text indexes, check references."""
        self._rebuild_text()
        for _, _, _, sql in self.triggers:
            self.con.execute(sql)
        present = {fold(o[1]) for o in read_schema(self.con).objects}
        order = {"index": 0, "view": 1, "trigger": 2}
        for kind, name, _, sql in sorted(self.wanted, key=lambda o: order[o[0]]):
            if fold(name) not in present:
                self.account.carry(self.con, kind, name, sql)
        self._check_references()

    def _rebuild_text(self) -> None:
        """Rebuild the text indexes of changed tables, because triggers did not run."""
        for table in read_schema(self.con).tables.values():
            tally = self.account.tables.get(fold(table.content or ""))
            if table.content and tally and (tally.touched or tally.created):
                name = quote(table.name)
                self.con.execute(f"INSERT INTO main.{name}({name}) VALUES ('rebuild')")

    def _violations(self) -> Violations:
        schema = read_schema(self.con)
        if not any(t.foreign for t in schema.tables.values()):
            return Counter()
        try:
            rows = self.con.execute("PRAGMA main.foreign_key_check").fetchall()
        except sqlite3.OperationalError:
            # It refers to a column that is not a key, which cannot be checked.
            return Counter()
        return Counter(rows)

    def _check_references(self) -> None:
        for row in self._violations() - self.violations:
            table, rowid, parent, _ = row
            tally = self.account.of(str(table))
            tally.conflicting += 1
            key: dict[str, Value] = {"rowid": rowid if isinstance(rowid, int) else None}
            self.account.conflict(
                [Conflict(str(table), key, None, None, str(parent), None, "constraint")]
            )
            self.account.note(f"{table}: a row refers to a row of {parent} that does not exist")


Objects = dict[tuple[str, str], tuple[str, str, str, str]]


def follow_objects(
    con: sqlite3.Connection,
    extras: Extras,
    base: Schema,
    theirs: Schema,
    chosen: set[str],
    account: Account,
) -> None:
    """Drop what theirs dropped, and recreate what theirs changed, if ours did not change it.

    This happens before any row is merged: theirs may have dropped a unique index to add rows that
    it forbade. Of what both sides changed, ours is kept, with a note.
    """
    old, mine, new = (_by_name(s) for s in (base, extras.before, theirs))
    for place, before in old.items():
        here, there = mine.get(place), new.get(place)
        kind, name, owner, _ = before
        if here is None or (chosen and fold(owner) not in chosen):
            continue
        moved = there is None or there[3] != before[3]
        if not moved or (there is not None and there[3] == here[3]):
            continue
        if here[3] != before[3]:
            account.note(f"{kind} {name}: both sides changed it, ours stays")
            continue
        _remove(con, extras, here)
        if there is None:
            account.note(dropped_with(kind, name))
        else:
            extras.wanted.append(there)


def _remove(con: sqlite3.Connection, extras: Extras, item: tuple[str, str, str, str]) -> None:
    """Triggers are already removed and must not be restored."""
    kind, name = item[:2]
    if kind == "trigger":
        extras.triggers = [t for t in extras.triggers if fold(t[1]) != fold(name)]
    else:
        con.execute(f"DROP {kind} IF EXISTS main.{quote(name)}")


def _by_name(schema: Schema) -> Objects:
    return {(o[0], fold(o[1])): o for o in schema.objects if o[0] != "table"}
