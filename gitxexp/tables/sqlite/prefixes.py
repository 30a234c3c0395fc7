"""Text with which all rows of a source begin in some column: target rows without it differ from them.

New results have run ids and times that older rows do not have. A page of the target without the
prefix that a source's values share has no row equal to any of them, which is seen while the file is
copied, and quicker than by reading its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import takewhile

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.rules import stamps_of
from gitxexp.tables.sqlite.schema import Column, Table

COLUMNS = 3  #: the first ones: run and time are usually there
SHORTEST = 4  #: bytes; shorter ones are on most pages by chance


@dataclass(frozen=True)
class Prefix:
    """A target's column in which every offered value is a text from ``low`` to ``high`` (UTF-8)."""

    column: str
    low: bytes
    high: bytes

    @property
    def word(self) -> bytes:
        """The text with which all of them begin."""
        same = zip(self.low, self.high, strict=False)
        return self.low[: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], same))]

    def test(self) -> str:
        """SQL over ``t`` that no row equal to an offered one fails."""
        value = f"+t.{quote(self.column)} COLLATE BINARY"
        low, high = (f"CAST(x'{end.hex()}' AS TEXT)" for end in (self.low, self.high))
        return f"({value} >= {low} AND {value} <= {high})"


def shared_prefixes(con: sqlite3.Connection, offered: Table, target: Table) -> tuple[Prefix, ...]:
    """Return the prefixes that all rows of ``con``'s table share; none if rows have a key."""
    if any(t.virtual or not t.rowid or t.keys for t in (offered, target)):
        return ()
    columns = [c for c in target.stored if _is_plain(c, target) and offered.column(c.name)]
    columns = columns[:COLUMNS]
    if not columns:
        return ()
    picks = []
    for value in (quote(c.name) for c in columns):
        ends = (f"CAST({end}({value} COLLATE BINARY) AS BLOB)" for end in ("min", "max"))
        picks += [*ends, f"total(typeof({value}) = 'text') = count(*) AND count(*) > 0"]
    row = con.execute(f"SELECT {', '.join(picks)} FROM {quote(offered.name)}").fetchone()
    parts = zip(columns, row[::3], row[1::3], row[2::3], strict=True)
    found = [Prefix(c.name, low, high) for c, low, high, texts in parts if texts]
    found = [p for p in found if len(p.word) >= SHORTEST]
    return tuple(sorted(found, key=lambda p: len(p.word), reverse=True))


def _is_plain(column: Column, target: Table) -> bool:
    """Whether a text is in the row itself as it was offered (and not a default, or a number)."""
    stamps = stamps_of([c.name for c in target.stored])
    return (
        column.affinity in ("TEXT", "BLOB")
        and column.default is None
        and not stamps.holds(column.name)
    )


def within(prefixes: Sequence[Prefix]) -> str:
    """SQL over ``t``: a row that may equal an offered one."""
    return " AND ".join(p.test() for p in prefixes)
