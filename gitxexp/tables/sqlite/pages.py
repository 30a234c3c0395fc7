"""Files that began as copies of each other: only rows near a difference are examined.

Equal leaf pages at the same place in both b-trees hold the same rows under the same rowids, so they
cancel out of every comparison. The pages are compared while the target is copied, so that every
file is read once. Where pages tell nothing, as after VACUUM, the bytes of the rows are compared.

Three files that began as copies of each other: only rows near a change are examined.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import field, replace
from pathlib import Path

from gitxexp.common import checked
from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.tables.rules import fold
from gitxexp.tables.sqlite.feed import Feed
from gitxexp.tables.sqlite.files import child, clear_errors
from gitxexp.tables.sqlite.prefixes import Prefix, shared_prefixes
from gitxexp.tables.sqlite.schema import Schema, Table, read_schema
from gitxexp.tables.sqlite.source import Source, connect, create_private
from gitxexp.tables.sqlite.write import Tally, Writer, fresh

SMALLEST = 4 << 20  #: bytes; below this, reading all rows is as fast as starting a process
MOST = 8  #: pairs compared, and files searched for; each keeps a transaction open
SEARCHED = 16 << 20  #: bytes from which on a file is searched for rows like those added
SMALLER = 4  #: how many times smaller the file with the added rows must be
UTF8 = 1  #: a header's encoding
LAST_ROWID = (1 << 63) - 1

Ranges = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Apart:
    """One table in two files: rowids of each between which rows may differ, and the number of rows there.

    All other rows are the same under the same rowids.
    """

    old: Ranges
    new: Ranges
    rows: Sequence[int]  #: in the old file, in the new one


@dataclass(frozen=True)
class Alike:
    """Rowids of the first file between which rows of a source's table may be, and what they share."""

    ranges: Ranges
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True)
class Held:
    """A file in a read transaction, its schema, and the root page of every b-tree by kind and name."""

    con: sqlite3.Connection
    schema: Schema
    roots: dict[tuple[str, str], int]


@dataclass
class Copies:
    """Files of which the first is copied, and pairs (older, newer) of them to be compared.

    Each compared file is kept in a read transaction until ``close``, so that the result stays
    valid.
    """

    files: Sequence[Source]
    pairs: Sequence[tuple[int, int]]
    added: Sequence[int] = ()  #: files whose rows will be added to the copy of the first
    found: dict[tuple[int, int], Mapping[str, Apart]] = field(default_factory=dict)
    alike: dict[tuple[int, str], Alike] = field(default_factory=dict)
    held: ExitStack = field(default_factory=ExitStack)
    done: bool = False

    def copy(self, out: Path) -> None:
        """Copy the first file to ``out``, and compare the pairs when it is done for the first time.

        Raises OSError and sqlite3.Error.
        """
        create_private(out)
        self._read(out)

    def compare(self) -> None:
        """Compare the pairs and copy nothing. Raises OSError and sqlite3.Error."""
        self._read(None)

    def _read(self, out: Path | None) -> None:
        likely = [] if self.done else [p for p in self.pairs if self._likely(*p)][:MOST]
        searched = [] if self.done else [i for i in self.added if self._worth_a_search(i)][:MOST]
        self.done = True
        needed = {i for p in likely for i in p} | {i for i in (0, *searched) if searched}
        held = {i: self._hold(self.files[i]) for i in sorted(needed)}
        tasks = {(a, b): _task(held[a], held[b]) for a, b in likely}
        asked = [
            {"a": a, "b": b, "alike": self._alike(a, b), **task}
            for (a, b), task in tasks.items()
            if task["roots"]
        ]
        paths = [str(f.raw or f.path) for f in self.files] if asked else [str(self.files[0].raw)]
        if out is None and not asked:
            return
        are = [checked.identity_of(Path(path)) for path in paths]
        task = {"files": paths, "are": are, "out": str(out) if out else None, "pairs": asked}
        prefixes: dict[tuple[int, str], tuple[Prefix, ...]] = {}

        def words() -> list[list[str]]:
            prefixes.update(self._prefixes(held, searched))
            return [[p.word.hex() for p in shared] for shared in prefixes.values()]

        answer = json.loads(child(task, words))
        for pages, tables in zip(asked, answer["pairs"], strict=True):
            pair = int(str(pages["a"])), int(str(pages["b"]))
            self.found[pair] = {n: Apart(*parts) for n, parts in (tables or {}).items()}
        for (place, shared), ranges in zip(prefixes.items(), answer["rows"], strict=True):
            if ranges is not None:
                self.alike[place] = Alike(ranges, shared)

    def _worth_a_search(self, i: int) -> bool:
        """Whether the rows of a file are few beside those of the first, which it is added to."""
        base, other = self.files[0], self.files[i]
        return (
            all(f.raw == f.path and f.header.encoding == UTF8 for f in (base, other))
            and base.size >= SEARCHED
            and SMALLER * other.size <= base.size
        )

    def _prefixes(
        self, held: Mapping[int, Held], searched: Sequence[int]
    ) -> dict[tuple[int, str], tuple[Prefix, ...]]:
        """What the rows of each table of a file share that has no key, by file and folded name."""
        found = {}
        for i in searched:
            for name, table in held[i].schema.tables.items():
                target = held[0].schema.tables.get(name)
                shared = target and shared_prefixes(held[i].con, table, target)
                if shared:
                    found[i, name] = shared
        return found

    def between(self, old: Source, new: Source) -> Mapping[str, Apart]:
        """What differs, by folded table name; a missing table must be compared row by row."""
        if old not in self.files or new not in self.files:
            return {}
        return self.found.get((self.files.index(old), self.files.index(new)), {})

    def like(self, source: Source, table: str) -> Alike | None:
        """Where the first file may have rows of a source's table (a folded name), if that is known."""
        return self.alike.get((self.files.index(source), table)) if source in self.files else None

    def close(self) -> None:
        """Release the files. Safe to call twice."""
        self.held.close()

    def _likely(self, a: int, b: int) -> bool:
        one, two = self.files[a], self.files[b]
        small, large = sorted((one.size, two.size))
        return (
            all(f.raw == f.path for f in (one, two, self.files[0]))
            and small >= SMALLEST
            and 2 * small >= large  # with a greater difference, comparing pages saves little
            and one.header.encoding == two.header.encoding
        )

    def _alike(self, a: int, b: int) -> bool:
        """Whether pages of two files can be compared by their numbers."""
        one, two = (
            (h.page_size, h.reserved, h.auto_vacuum)
            for h in (self.files[a].header, self.files[b].header)
        )
        return one == two and not self.files[a].header.auto_vacuum

    def _hold(self, source: Source) -> Held:
        """Begin a read transaction."""
        with clear_errors(source.path):
            con = self.held.enter_context(closing(connect(source.uri)))
            con.execute("BEGIN")
            rows = con.execute(
                "SELECT type, name, rootpage FROM sqlite_schema WHERE rootpage > 0"
            ).fetchall()
            roots = {(kind, fold(name)): root for kind, name, root in rows}
            return Held(con, read_schema(con), roots)


def _task(old: Held, new: Held) -> dict[str, object]:
    """The roots of the tables that can be compared page by page, and of everything else."""
    left, right = dict(old.roots), dict(new.roots)
    tables = [n for n, t in old.schema.tables.items() if n in new.schema.tables]
    names = [n for n in tables if _same_records(old.schema.tables[n], new.schema.tables[n])]
    roots = {n: [left.pop(("table", n)), right.pop(("table", n))] for n in names}
    return {"roots": roots, "others": [[1, *left.values()], [1, *right.values()]]}


def _same_records(one: Table, two: Table) -> bool:
    """Whether a record reads the same in both tables: one may have more columns, at the end."""
    tables = (one, two)
    if any(t.virtual or t.without_rowid or not t.rowid for t in tables):
        return False
    if any(c.generated for t in tables for c in t.columns) or one.alias != two.alias:
        return False
    short, long = sorted((one.columns, two.columns), key=len)
    more = long[len(short) :]
    return short == long[: len(short)] and all(c.default is None for c in more)


@dataclass(frozen=True)
class Narrowed:
    """A feed with fewer rows; the target rows to compare with; the rows left out of both."""

    feed: Feed
    ranges: str
    common: int


def narrow(con: sqlite3.Connection, feed: Feed, apart: Apart, tally: Tally) -> Narrowed:
    """The feed's rows that may differ, next to the target's and to rows added since."""
    added = [[tally.last_rowid + 1, LAST_ROWID]] if tally.last_rowid < LAST_ROWID else []
    mine = stage_ranges(con, f"mine_{feed.db}_{tally.number}", [*apart.old, *added])
    theirs = stage_ranges(con, f"rows_{feed.db}_{tally.number}", apart.new)
    return Narrowed(replace(feed, ranges=theirs), mine, tally.held - apart.rows[0])


def stage_ranges(con: sqlite3.Connection, name: str, ranges: Ranges) -> str:
    """A temporary table of rowid ranges; its name."""
    fresh(con, name, "lo INTEGER, hi INTEGER")
    con.executemany(f"INSERT INTO temp.{name} VALUES (?, ?)", ranges)
    return name


@dataclass(frozen=True)
class Near:
    """Rows on the pages that differ between the base and theirs, and between the base and ours."""

    base: Feed
    theirs: Feed
    ours: str = ""  #: temporary table: rowids of ours where it differs from the base; "" unknown
    was: str = ""  #: rowids of the base where ours differs from it

    @property
    def told(self) -> bool:
        """Whether the rows in which ours differs from the base are known."""
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
