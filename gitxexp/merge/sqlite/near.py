"""Three files that began as copies of each other: the rows near a change are all that is met."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from gitxexp.merge.sqlite.copies import Apart, stage_ranges
from gitxexp.merge.sqlite.feed import Feed
from gitxexp.merge.sqlite.names import quote
from gitxexp.merge.sqlite.write import Writer


@dataclass(frozen=True)
class Near:
    """Rows on the pages that differ between the base and theirs, and between the base and ours."""

    base: Feed
    theirs: Feed
    ours: str = ""  #: temporary table: rowids of ours where it differs from the base; "" unknown
    was: str = ""  #: rowids of the base where ours differs from it

    @property
    def told(self) -> bool:
        """Whether it is known where ours differs from the base."""
        return bool(self.ours)

    def only(self, base: str, theirs: str) -> Near:
        """The same for fewer rows of the base and of theirs."""
        return replace(self, base=self.base.only(base), theirs=self.theirs.only(theirs))

    def whole(self) -> tuple[Feed, Feed]:
        """All rows of the base and of theirs, the same ones in both included."""
        return replace(self.base, ranges=""), replace(self.theirs, ranges="")

    def changed_here(self) -> Feed:
        """Rows of the base where ours differs from it."""
        return replace(self.base, ranges=self.was)

    def count_others(self, con: sqlite3.Connection, write: Writer) -> None:
        """Rows of theirs that stand on the same pages in the base: offered, and not changed."""
        table = f"{quote(self.theirs.db)}.{quote(self.theirs.table.name)}"
        here = con.execute(f"SELECT count(*) {self.theirs.source()}").fetchone()[0]
        others = con.execute(f"SELECT count(*) FROM {table}").fetchone()[0] - here
        tally = write.account.of(self.theirs.target.name)
        tally.incoming += others
        tally.identical += others


def near_rows(
    con: sqlite3.Connection,
    base: Feed,
    theirs: Feed,
    apart: Apart,
    ours: Apart | None,
    write: Writer,
) -> Near:
    """Narrow the feeds of one table to what ``apart`` (base, theirs) tells."""
    number = write.account.of(theirs.target.name).number
    below = replace(base, ranges=stage_ranges(con, f"old_{number}", apart.old))
    above = replace(theirs, ranges=stage_ranges(con, f"new_{number}", apart.new))
    if ours is None:
        return Near(below, above)
    return Near(
        below,
        above,
        stage_ranges(con, f"ours_{number}", ours.new),
        stage_ranges(con, f"was_{number}", ours.old),
    )
