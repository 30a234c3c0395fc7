"""xetrack's ``counts`` table: how often an asset is referred to. Counters add up.

The values are integers that sqlitedict wrote as pickles. They are recognised byte by byte (the
opcodes of Python's pickletools for one small integer) and never unpickled.
"""

from __future__ import annotations

import pickle
import sqlite3

from gitxexp.tables.plan import Value
from gitxexp.tables.rules import fold
from gitxexp.tables.sqlite.feed import Feed
from gitxexp.tables.sqlite.schema import Schema, Table, quote
from gitxexp.tables.sqlite.write import Writer

_SIZES = {0x4B: 1, 0x4D: 2, 0x4A: 4}  #: BININT1, BININT2, BININT
_FRAME, _LONG1, _STOP = 0x95, 0x8A, 0x2E


def is_counter(table: Table, schema: Schema) -> bool:
    """Whether a table is xetrack's: named counts, with key and value, beside assets and keys."""
    names = {fold(c.name) for c in table.columns}
    beside = {"assets", "keys"} <= set(schema.tables)
    return fold(table.name) == "counts" and names == {"key", "value"} and beside


def decode(value: Value) -> int | None:
    """The integer in a counter's value; None when it is anything else."""
    if isinstance(value, int):
        return value
    if not isinstance(value, bytes) or len(value) < 5 or value[0] != 0x80:
        return None
    at = 2
    if value[at] == _FRAME:
        at += 9
    if at >= len(value) or value[-1] != _STOP:
        return None
    code, body = value[at], value[at + 1 : -1]
    if _SIZES.get(code) == len(body):
        return int.from_bytes(body, "little", signed=code == 0x4A)
    if code == _LONG1 and body and body[0] == len(body) - 1:
        return int.from_bytes(body[1:], "little", signed=True)
    return None


def encode(number: int, like: Value) -> Value:
    """``number`` as the table writes it: a plain integer, or its pickle."""
    return number if isinstance(like, int) else pickle.dumps(number, protocol=2)


def _read(con: sqlite3.Connection, feed: Feed | None) -> dict[Value, Value]:
    if feed is None:
        return {}
    return dict(con.execute(f"SELECT {feed.expr('key')}, {feed.expr('value')} {feed.source()}"))


def add_counters(con: sqlite3.Connection, base: Feed | None, theirs: Feed, write: Writer) -> bool:
    """Add up ours, theirs and minus the base, per key; False when a value is no counter."""
    name = quote(theirs.target.name)
    ours = dict(con.execute(f"SELECT key, value FROM main.{name}"))
    old, new = _read(con, base), _read(con, theirs)
    for value in (*ours.values(), *old.values(), *new.values()):
        if decode(value) is None:
            return False
    tally = write.account.of(theirs.target.name)
    tally.incoming += len(new)
    for key in {**old, **new}:
        was, mine, other = (decode(d[key]) or 0 if key in d else 0 for d in (old, ours, new))
        total = mine + other - was
        if key in ours and total == mine and (total > 0 or key in new):
            tally.identical += key in new
        elif total <= 0 and not (key in ours and key in new):
            gone = con.execute(f"DELETE FROM main.{name} WHERE key IS ?", (key,)).rowcount
            tally.removed += gone
        elif key in ours:
            value = encode(total, ours[key])
            con.execute(f"UPDATE main.{name} SET value = ? WHERE key IS ?", (value, key))
            tally.replaced += 1
        else:
            value = encode(total, new.get(key, old.get(key)))
            con.execute(f"INSERT INTO main.{name} (key, value) VALUES (?, ?)", (key, value))
            tally.new += 1
    return True


def largest_counters(con: sqlite3.Connection, theirs: Feed, write: Writer) -> bool:
    """Two-way there is no base to add from: the larger number stays, so that twice is once."""
    name = quote(theirs.target.name)
    ours = dict(con.execute(f"SELECT key, value FROM main.{name}"))
    new = _read(con, theirs)
    if any(decode(v) is None for v in (*ours.values(), *new.values())):
        return False
    tally = write.account.of(theirs.target.name)
    tally.incoming += len(new)
    for key, value in new.items():
        if key not in ours:
            con.execute(f"INSERT INTO main.{name} (key, value) VALUES (?, ?)", (key, value))
            tally.new += 1
        elif (decode(value) or 0) > (decode(ours[key]) or 0):
            con.execute(f"UPDATE main.{name} SET value = ? WHERE key IS ?", (value, key))
            tally.replaced += 1
        else:
            tally.identical += 1
    return True


def keep_counted_assets(con: sqlite3.Connection, theirs: str, base: str, write: Writer) -> None:
    """An asset that one side deleted but the other refers to again is put back."""
    for db in (base, theirs):
        con.execute(
            f"INSERT INTO main.assets SELECT a.* FROM {quote(db)}.assets AS a WHERE a.key IN "
            "(SELECT key FROM main.counts) AND a.key NOT IN (SELECT key FROM main.assets)"
        )
