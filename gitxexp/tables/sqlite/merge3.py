"""Three-way merge of whole SQLite files, as a git merge driver needs it."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import Conflict, MergeOptions, MergeReport, OnConflict, Progress
from gitxexp.tables.sqlite.account import Account
from gitxexp.tables.sqlite.align import align
from gitxexp.tables.sqlite.counters import add_counters, is_counter, keep_counted_assets
from gitxexp.tables.sqlite.feed import Feed, make_feed
from gitxexp.tables.sqlite.files import check_version, clear_errors
from gitxexp.tables.sqlite.keyless import grouping
from gitxexp.tables.sqlite.merge import attached, merge_table
from gitxexp.tables.sqlite.names import fold, quote
from gitxexp.tables.sqlite.objects import Extras, follow_objects
from gitxexp.tables.sqlite.pages import Apart, Copies, near_rows
from gitxexp.tables.sqlite.schema import Schema, Table, read_schema
from gitxexp.tables.sqlite.source import Source, open_sources, transcode
from gitxexp.tables.sqlite.target import NewFile
from gitxexp.tables.sqlite.three_way import merge_table3
from gitxexp.tables.sqlite.write import Careful, Writer

THEIRS, BASE = "source0", "source1"


def merge3_files(
    base: Path | None,
    ours: Path,
    theirs: Path,
    out: Path,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """Merge what ``theirs`` changed since ``base`` into ``ours``; the result goes to ``out``.

    ``base`` None or an empty file means that both sides added the database. ``out`` may be ``ours``
    and is replaced atomically; with conflicts that the options do not settle it is not touched and
    ``report.written`` is False. Raises XexpError.
    """
    check_version()
    ours, theirs, out = Path(ours), Path(theirs), Path(out)
    _check(base, ours, theirs, out)
    with (
        clear_errors(out),
        tempfile.TemporaryDirectory(prefix="xexp-merge-") as folder,
        clear_errors(ours, reading=True),
    ):
        scratch = Path(folder)
        if base is None or Path(base).stat().st_size == 0:
            base = _empty(scratch / "base.db")
        opened = open_sources([ours, theirs, Path(base)], scratch)
        encoding = opened[0].header.encoding
        sides = [transcode(s, encoding, scratch) for s in opened[1:]]
        copies = Copies(opened, [(2, 1), (2, 0)])
        work = NewFile(opened[0], out, encoding, False, copies)
        try:
            run = _Three(work, sides, options or MergeOptions(), progress, copies)
            account = run.attempt_all()
            if account.conflicts:
                return account.report(written=False)
            work.keep()
            return account.report(written=True)
        finally:
            work.drop()


def _check(base: Path | None, ours: Path, theirs: Path, out: Path) -> None:
    for path in (ours, theirs, *([base] if base is not None else [])):
        if not Path(path).exists():
            raise XexpError(f"{path} does not exist")
        if path is not ours and out.exists() and out.samefile(path):
            raise XexpError(f"{out} is both an input and the output")


def _empty(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.execute("PRAGMA user_version=1")
        con.commit()
    return path


class _Three:
    """One three-way merge, begun again row by row if a constraint objects."""

    def __init__(
        self,
        work: NewFile,
        sides: list[Source],
        options: MergeOptions,
        progress: Progress | None,
        copies: Copies,
    ) -> None:
        self.work, self.sides, self.options, self.progress = work, sides, options, progress
        self.whole: set[str] = set()  #: tables that ours dropped and that are taken back
        ours, theirs, base = copies.files
        self.theirs, self.ours = copies.between(base, theirs), copies.between(base, ours)

    def attempt_all(self) -> Account:
        try:
            return self._attempt(careful=False)
        except Careful:
            self.work.restart()
            return self._attempt(careful=True)

    def _attempt(self, careful: bool) -> Account:
        con, account = self.work.con, Account()
        self.whole.clear()
        with attached(con, self.sides):
            theirs, base = read_schema(con, THEIRS), read_schema(con, BASE)
            extras = Extras(con, account)
            write = Writer(con, self.options, account, careful)
            chosen = {fold(t) for t in self.options.tables}
            follow_objects(con, extras, base, theirs, chosen, account)
            theirs = self._without_dropped(extras.before, theirs, base, account)
            self._drop(extras.before, theirs, base, account)
            label = str(self.sides[0].path)
            feeds = align(con, THEIRS, theirs, label, self.options, account)
            for i, feed in enumerate(feeds):
                self._table(feed, base, theirs, write)
                if self.progress is not None:
                    self.progress(i + 1, len(feeds), "tables")
            self._assets(base, theirs, write)
            extras.collect(THEIRS, _newer(theirs, base), chosen)
            extras.finish()
            for side in self.sides:
                side.unchanged()
            con.execute("COMMIT")
        return account

    def _table(self, feed: Feed, base: Schema, theirs: Schema, write: Writer) -> None:
        con = self.work.con
        name = fold(feed.target.name)
        old = (
            base.tables.get(name) if name not in self.whole else None
        )  # else its rows are "deleted"
        below = None
        if old is not None and old.content is None:
            rename = {fold(a): b for a, b in self.options.rename.items() if old.column(a)}
            below = make_feed(BASE, old, feed.target, rename, "the base")
        if is_counter(feed.target, theirs) and add_counters(con, below, feed, write):
            return
        if below is None:
            merge_table(con, feed, self.options, write)
            return
        apart = self.theirs.get(name) if not feed.renamed else None
        if apart is None:
            merge_table3(con, below, feed, self.options, write)
        else:
            near = near_rows(con, below, feed, apart, self.ours.get(name), write)
            merge_table3(con, near.base, near.theirs, self.options, write, near)

    def _assets(self, base: Schema, theirs: Schema, write: Writer) -> None:
        main = read_schema(self.work.con)
        if all("assets" in s.tables and "counts" in s.tables for s in (main, base, theirs)) and all(
            is_counter(s.tables["counts"], s) for s in (main, base, theirs)
        ):
            keep_counted_assets(self.work.con, THEIRS, BASE, write)

    def _without_dropped(
        self, ours: Schema, theirs: Schema, base: Schema, account: Account
    ) -> Schema:
        """Tables that ours dropped stay dropped, unless theirs changed them."""
        kept = dict(theirs.tables)
        for name, table in theirs.tables.items():
            if name in ours.tables or name not in base.tables:
                continue
            if not self._same_rows(BASE, base.tables[name], THEIRS, table, self.theirs):
                side = self._conflict(account, table, "delete/change")
                if side is OnConflict.THEIRS:
                    self.whole.add(name)
                    continue
            del kept[name]
        return replace(theirs, tables=kept)

    def _drop(self, ours: Schema, theirs: Schema, base: Schema, account: Account) -> None:
        """Tables that theirs dropped go, unless ours changed them."""
        for name, table in ours.tables.items():
            if name in theirs.tables or name not in base.tables or table.virtual:
                continue
            account.count_here(self.work.con, table)
            changed = not self._same_rows(BASE, base.tables[name], "main", table, self.ours)
            if changed and self._conflict(account, table, "change/delete") is not OnConflict.THEIRS:
                continue
            tally = account.of(name)
            tally.removed = tally.here
            account.note(f"table {table.name} dropped: theirs dropped it")
            self.work.con.execute(f"DROP TABLE main.{quote(table.name)}")

    def _conflict(self, account: Account, table: Table, kind: str) -> OnConflict:
        """Which side has the whole table; a conflict where nobody has said."""
        account.of(table.name).conflicting += 1
        side = self.options.on_conflict
        for conflict, chosen in self.options.settled:
            if conflict.whole_table and fold(conflict.table) == fold(table.name):
                side = chosen
        if side not in (OnConflict.OURS, OnConflict.THEIRS):
            label = str(self.sides[0].path)
            account.conflict([Conflict(table.name, {}, None, None, None, None, kind, label)])
        return side

    def _same_rows(
        self, one: str, a: Table, two: str, b: Table, found: Mapping[str, Apart]
    ) -> bool:
        """Whether two tables have the same columns and exactly the same rows."""
        if {fold(c.name) for c in a.columns} != {fold(c.name) for c in b.columns}:
            return False
        apart = found.get(fold(a.name))
        if apart is not None and not any(apart.rows):
            return True
        columns = a.stored
        names = [f"c{i}" for i in range(len(columns))]
        picks = ", ".join(f"+{quote(c.name)} AS {n}" for c, n in zip(columns, names, strict=True))
        sides = [
            f"SELECT {picks}, {mark} AS d FROM {quote(db)}.{quote(table.name)}"
            for db, table, mark in ((one, a, 1), (two, b, -1))
        ]
        sql = (
            f"SELECT 1 FROM ({' UNION ALL '.join(sides)}) "
            f"GROUP BY {grouping(columns, names)} HAVING sum(d) <> 0 LIMIT 1"
        )
        return self.work.con.execute(sql).fetchone() is None


def _newer(theirs: Schema, base: Schema) -> Schema:
    """What theirs has that the base had not: what ours dropped is not brought back."""
    known = {(o[0], fold(o[1])) for o in base.objects}
    return replace(
        theirs, objects=tuple(o for o in theirs.objects if (o[0], fold(o[1])) not in known)
    )
