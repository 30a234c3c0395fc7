"""xetrack's objects, in three tables that sqlitedict writes next to the rows.

``assets`` maps a hash to its object, ``counts`` to the number of rows that refer to it, and ``keys`` maps
a column to its newest hash. Two sides that both logged an object therefore differ in ``counts`` and
``keys`` without a conflict: counts are added, and a column names the object that was logged last. Values
are pickles of a small integer or a text; they are parsed byte by byte (opcodes of Python's pickletools)
and never unpickled.
"""

from __future__ import annotations

import base64
import binascii
import pickle
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum

from gitxexp.tables.plan import Value
from gitxexp.tables.rules import fold

Pairs = Mapping[Value, Value]

_SIZES = {0x4B: 1, 0x4D: 2, 0x4A: 4}  #: BININT1, BININT2, BININT
_FRAME, _LONG1, _MEMOIZE, _BINPUT, _STOP = 0x95, 0x8A, 0x94, 0x71, 0x2E
_TEXTS = {0x8C: 1, 0x58: 4}  #: SHORT_BINUNICODE, BINUNICODE: the size of their length field


class Kind(StrEnum):
    """One of the two tables that are merged by special rules."""

    COUNTS = "counts"
    KEYS = "keys"


def kind_of(table: str, columns: Collection[str], beside: Collection[str]) -> Kind | None:
    """Return the kind of a table by its name, its columns and the folded names of the other tables."""
    if not {"assets", "keys", "counts"} <= set(beside) or {*map(fold, columns)} != {"key", "value"}:
        return None
    return next((kind for kind in Kind if fold(table) == kind), None)


def integer(value: Value) -> int | None:
    """Return the integer in a counter's value; None if it is anything else."""
    if isinstance(value, int):
        return value
    body = _body(value)
    if not body:
        return None
    code, number = body[0], body[1:]
    if _SIZES.get(code) == len(number):
        return int.from_bytes(number, "little", signed=code == 0x4A)
    if code == _LONG1 and number and number[0] == len(number) - 1:
        return int.from_bytes(number[1:], "little", signed=True)
    return None


def text(value: Value) -> str | None:
    """Return the text in a value; None if it is anything else."""
    body = _body(value)
    if not body or body[0] not in _TEXTS:
        return None
    start = 1 + _TEXTS[body[0]]
    end = start + int.from_bytes(body[1:start], "little")
    if body[end:] != bytes([_MEMOIZE]) and body[end : end + 1] != bytes([_BINPUT]):
        return None
    try:
        return body[start:end].decode()
    except UnicodeDecodeError:
        return None


def _body(value: Value) -> bytes:
    """The opcodes of a pickle between its head and its STOP."""
    if not isinstance(value, bytes) or len(value) < 5 or value[0] != 0x80 or value[-1] != _STOP:
        return b""
    return value[11:-1] if value[2] == _FRAME else value[2:-1]


def column_of(key: Value) -> str | None:
    """Return the column that a row of ``keys`` describes: sqlitedict writes base64 of a pickle."""
    try:
        return text(base64.b64decode(str(key), validate=True))
    except (binascii.Error, ValueError):
        return None


def merge_counts(base: Pairs | None, ours: Pairs, theirs: Pairs) -> dict[Value, Value] | None:
    """Merge a counter of both sides; None if a value is not a counter.

    The result is ours plus theirs minus the base; without a base it is the larger one, so that
    merging twice changes nothing.
    """
    sides = [{k: integer(v) for k, v in side.items()} for side in (base or {}, ours, theirs)]
    if any(number is None for side in sides for number in side.values()):
        return None
    result: dict[Value, Value] = {}
    for key in dict.fromkeys((*ours, *theirs)):
        was, mine, other = (side.get(key) or 0 for side in sides)
        total = max(mine, other) if base is None else mine + other - was
        if total > 0 or (key in ours and key in theirs):
            like = ours.get(key, theirs.get(key))
            same = ours[key] if key in ours and total == mine else None
            made = total if isinstance(like, int) else pickle.dumps(total, protocol=2)
            result[key] = made if same is None else same
    return result


def merge_keys(
    base: Pairs | None,
    ours: Pairs,
    theirs: Pairs,
    later: Callable[[str, str, str], bool],
) -> dict[Value, Value]:
    """Return the newest hash of each column; ``later(column, ours, theirs)``: theirs was logged last."""
    result: dict[Value, Value] = {}
    for key in dict.fromkeys((*ours, *theirs)):
        was = base.get(key) if base is not None else None
        mine, other = ours.get(key), theirs.get(key)
        if base is not None and key in base and (mine is None or other is None):
            left = other if mine is None else mine
            if left == was:  # one side removed it, the other left it unchanged
                continue
            result[key] = left
        elif mine is None or other is None or mine == other:
            result[key] = other if mine is None else mine
        elif base is not None and was in (mine, other):
            result[key] = other if was == mine else mine
        else:
            names = column_of(key), text(mine), text(other)
            column, one, two = names
            known = column is not None and one is not None and two is not None
            result[key] = other if known and later(str(column), str(one), str(two)) else mine
    return result
