"""Indexes, views and triggers in a three-way merge: what one side changed or dropped."""

from __future__ import annotations

import sqlite3

from gitxexp.merge.sqlite.extras import Extras
from gitxexp.merge.sqlite.names import fold, quote
from gitxexp.merge.sqlite.schema import Schema
from gitxexp.merge.sqlite.tally import Account

Objects = dict[tuple[str, str], tuple[str, str, str, str]]


def follow_objects(
    con: sqlite3.Connection,
    extras: Extras,
    base: Schema,
    theirs: Schema,
    chosen: set[str],
    account: Account,
) -> None:
    """Drop what theirs dropped, and make anew what theirs changed, where ours left it alone.

    It goes before any row is merged: theirs may have dropped a unique index to add rows that it
    forbade. What both sides changed stays as ours has it, with a note.
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
            account.note(f"{kind} {name} dropped: theirs dropped it")
        else:
            extras.wanted.append(there)


def _remove(con: sqlite3.Connection, extras: Extras, item: tuple[str, str, str, str]) -> None:
    """Triggers are aside already and only must not come back."""
    kind, name = item[:2]
    if kind == "trigger":
        extras.triggers = [t for t in extras.triggers if fold(t[1]) != fold(name)]
    else:
        con.execute(f"DROP {kind} IF EXISTS main.{quote(name)}")


def _by_name(schema: Schema) -> Objects:
    return {(o[0], fold(o[1])): o for o in schema.objects if o[0] != "table"}
