"""Merge and rebase whole SQLite files, two-way and (for git's merge driver) three-way.

The public functions here are those that commands call.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import field, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError, only_one
from gitxexp.common.sql import quote
from gitxexp.tables.assets import kind_of
from gitxexp.tables.plan import Conflict, MergeOptions, MergeReport, Mode, OnConflict, Progress
from gitxexp.tables.rules import (
    check_declared_key,
    dropped_with,
    fold,
    merge_key,
    renamed,
    settled_whole,
)
from gitxexp.tables.sqlite.align import align, check_tables
from gitxexp.tables.sqlite.assets import keep_counted_assets, merge_assets
from gitxexp.tables.sqlite.feed import Feed, make_feed, some_null, target_null
from gitxexp.tables.sqlite.files import check_version, clear_errors
from gitxexp.tables.sqlite.keyless import Subset, grouping, merge_keyless
from gitxexp.tables.sqlite.objects import Extras, follow_objects
from gitxexp.tables.sqlite.pages import Apart, Copies, narrow, near_rows, stage_ranges
from gitxexp.tables.sqlite.prefixes import within
from gitxexp.tables.sqlite.rebase import (
    lacks_versions,
    learn_versions,
    make_way,
    replacing_key,
)
from gitxexp.tables.sqlite.schema import Column, Key, Schema, Table, read_schema
from gitxexp.tables.sqlite.source import Source, connect, open_sources, transcode
from gitxexp.tables.sqlite.target import InPlace, NewFile, Work, refuse_links
from gitxexp.tables.sqlite.three_way import merge_table3
from gitxexp.tables.sqlite.two_way import (
    follow_renumbered,
    foreign_keys,
    merge_declared,
    merge_keyed,
)
from gitxexp.tables.sqlite.write import Account, Careful, RowsAlike, Writer

BATCH = 8  #: databases attached at a time; SQLite's own limit is 10


def merge_files(
    target: Path,
    sources: Sequence[Path],
    out: Path | None = None,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
    *,
    write: bool = True,
) -> MergeReport:
    """Merge (or rebase) SQLite ``sources`` into ``target``; return a report of what was done.

    ``out`` None replaces the target atomically, or changes it in one transaction with
    ``options.in_place``; else the result goes to ``out``. A target that does not exist is built
    from the sources. With conflicts that the options do not settle, nothing is written:
    ``report.written`` is False and ``report.conflicts`` holds them. Without ``write`` the report is
    of what would be done, on a private copy. Raises XexpError.
    """
    options = options or MergeOptions()
    check_version()
    target, sources = Path(target), [Path(s) for s in sources]
    _check_paths(target, sources, out, options)
    copied = target.exists() and not (options.in_place and write)
    with (
        clear_errors(out or target),
        tempfile.TemporaryDirectory(prefix="xexp-merge-") as scratch,
        clear_errors(target, reading=True),
    ):
        inputs = open_sources([*([target] if copied else []), *sources], Path(scratch))
        work, rest, built = _open_work(target, inputs, copied, out, options, write)
        try:
            encoding = work.header.encoding if work.header else inputs[0].header.encoding
            rest = [transcode(s, encoding, Path(scratch)) for s in rest]
            _check_names(work, rest, options)
            run = _Run(work, rest, options, progress, built)
            report = run.report(write, out is None and not built)
        finally:
            work.drop()
    return report


def _check_paths(
    target: Path, sources: Sequence[Path], out: Path | None, options: MergeOptions
) -> None:
    if not sources:
        raise UsageError("no source was named", "name a file to merge")
    with clear_errors(target):
        for source in sources:
            if not source.exists():
                raise XexpError(f"{source} does not exist", "check the path")
            for other in (target, out):
                if other is not None and other.exists() and other.samefile(source):
                    raise XexpError(
                        f"{source} is both a source and the target", "name another source"
                    )
        only_one({"in place": options.in_place, "another output": out is not None})
        refuse_links(out if out is not None else target)
        if options.in_place and len(sources) > BATCH:
            raise XexpError(
                f"at most {BATCH} sources can be merged in place", "leave --in-place out"
            )


def _open_work(
    target: Path,
    inputs: list[Source],
    copied: bool,
    out: Path | None,
    options: MergeOptions,
    write: bool,
) -> tuple[Work, list[Source], bool]:
    """The work, the sources still to be merged, and whether the target is built from sources.

    ``copied``: the first input is the target itself, and a copy is modified.
    """
    if target.exists() and not copied:
        return InPlace(target), inputs, False
    encoding = inputs[0].header.encoding
    if not copied and (options.tables or options.rename):
        return NewFile(None, out or target, encoding, not write), inputs, True
    copies = _copies(inputs, options)
    work = NewFile(inputs[0], out or target, encoding, not write, copies)
    return work, inputs[1:], not copied


def _copies(files: Sequence[Source], options: MergeOptions) -> Copies:
    """Pair the first file with each other one, so that rows on equal pages can be skipped."""
    every = options.mode == Mode.REBASE or options.key or options.renumber
    if options.on_conflict == OnConflict.THEIRS and len(files) > 2:
        every = True
    others = [] if every else range(1, len(files))
    return Copies(files, [(0, i) for i in others], others)


def _check_names(work: Work, sources: Sequence[Source], options: MergeOptions) -> None:
    """Check that names given by the user exist."""
    if not (options.tables or options.key):
        return
    schemas = [read_schema(work.con)]
    for source in sources:
        with clear_errors(source.path), closing(connect(source.uri)) as con:
            schemas.append(read_schema(con))
    check_tables(options, schemas)
    tables = [table for schema in schemas for table in schema.tables.values()]
    rename = {fold(old): new for old, new in options.rename.items()}
    names = ([rename.get(fold(c.name), c.name) for c in t.columns] for t in tables)
    check_declared_key(options.key, names)


@dataclass
class _Turn:
    """One source of a rebase."""

    number: int
    source: Source
    schema: Schema = field(default_factory=lambda: Schema({}, ()))
    feeds: dict[str, Feed] = field(default_factory=dict)  #: by folded table name
    left: str = ""  #: a test for the rows of the present table that no later source replaces
    #: table -> temporary table of the old and new numbers of its rows
    moved: dict[str, str] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        return self.number // BATCH

    @property
    def db(self) -> str:
        return database(self.number % BATCH)


def _aligned(con: sqlite3.Connection, turns: Sequence[_Turn]) -> list[Feed]:
    """Align each feed with what all sources made of the tables; return one feed for each table."""
    main = read_schema(con)
    for turn in turns:
        turn.feeds = {
            name: make_feed(f.db, f.table, main.tables[name], f.renamed, f.label)
            for name, f in turn.feeds.items()
        }
    return [*{name: f for turn in reversed(turns) for name, f in turn.feeds.items()}.values()]


class _Run:
    """One merge of several sources, restarted row by row if needed."""

    def __init__(
        self,
        work: Work,
        sources: list[Source],
        options: MergeOptions,
        progress: Progress | None,
        built: bool,
    ) -> None:
        self.work, self.options, self.progress, self.built = work, options, progress, built
        self.sources = sources
        self.copies = work.copies if isinstance(work, NewFile) else None

    def report(self, write: bool, keep_if_same: bool) -> MergeReport:
        """Do everything, and commit it if allowed."""
        try:
            account = self._attempt(careful=False, commit=write)
        except Careful:
            self.work.restart()
            account = self._attempt(careful=True, commit=write)
        if account.conflicts or not write:
            return account.report(written=False)
        if account.changed or not keep_if_same:
            self.work.keep()
        return account.report(written=True)

    def _attempt(self, careful: bool, commit: bool) -> Account:
        account = Account()
        if self.built:
            account.built(self.work.con)
        run = self._rebase if self.options.mode == Mode.REBASE else self._merge
        run(account, careful, commit)
        return account

    def _merge(self, account: Account, careful: bool, commit: bool) -> None:
        con = self.work.con
        extras: Extras | None = None
        batches = [self.sources[i : i + BATCH] for i in range(0, len(self.sources), BATCH)]
        for batch in batches:
            with attached(con, batch) as names:
                extras = extras or Extras(con, account)
                account.order = account.order or list(extras.before.tables)
                write = Writer(con, self.options, account, careful)
                write.together = True
                write.later = [(n, read_schema(con, n)) for n in names]
                for name, source in zip(names, batch, strict=True):
                    with clear_errors(source.path, reading=True):
                        self._one(name, source, account, extras, write)
                if batch is batches[-1]:
                    extras.finish()
                for source in batch:
                    source.unchanged()
                self._end(account, commit)

    def _end(self, account: Account, commit: bool) -> None:
        good = commit and not account.conflicts and account.changed
        keep = good or not isinstance(self.work, InPlace)
        self.work.con.execute("COMMIT" if keep else "ROLLBACK")

    def _rebase(self, account: Account, careful: bool, commit: bool) -> None:
        """Table by table, delete what any source replaces, the last source first; then merge.

        The tables that others refer to come first, so that new numbers are known for both.
        """
        con, options = self.work.con, self.options
        write = Writer(con, options, account, careful)
        chosen = {fold(t) for t in options.tables}
        turns = [_Turn(n, source) for n, source in enumerate(self.sources)]
        with ExitStack() as stack:
            few = len(turns) <= BATCH
            if few:
                stack.enter_context(attached(con, self.sources))

            def each(some: Iterable[_Turn], do: Callable[[_Turn], None]) -> None:
                for _, group in groupby(some, lambda turn: turn.batch):
                    batch = list(group)
                    first = batch[0].batch * BATCH
                    sources = self.sources[first : first + BATCH]
                    with nullcontext() if few else attached(con, sources):
                        for turn in batch:
                            with clear_errors(turn.source.path, reading=True):
                                do(turn)
                        if not few:
                            con.execute("COMMIT")

            def begin(turn: _Turn) -> None:
                if turn is turns[0]:
                    extras.append(Extras(con, account))
                    account.order = list(extras[0].before.tables)
                turn.schema = read_schema(con, turn.db)
                label = str(turn.source.path)
                feeds = align(con, turn.db, turn.schema, label, options, account)
                turn.feeds = {fold(feed.target.name): feed for feed in feeds}

            extras: list[Extras] = []
            each(turns, begin)
            tables = parents_first(con, _aligned(con, turns))
            for i, table in enumerate(tables):
                name = fold(table.target.name)
                offering = [turn for turn in turns if name in turn.feeds]
                tally = account.of(name)
                key = replacing_key([t.feeds[name] for t in offering], options.key, tally)
                lacking = set[int]()
                each(offering, partial(self._look, name=name, key=key, lacking=lacking))
                if lacking:
                    each(offering, partial(self._learn, name=name, key=key, write=write))
                each(reversed(offering), partial(self._make_way, name=name, key=key, write=write))
                each(offering, partial(self._bring, name=name, write=write))
                self._tick(i + 1, len(tables))

            def end(turn: _Turn) -> None:
                extras[0].collect(turn.db, turn.schema, chosen)
                if turn is turns[-1]:
                    extras[0].finish()
                turn.source.unchanged()

            each(turns, end)
            account.note_unkeyed(options.key)
            if few:
                self._end(account, commit)

    def _look(self, turn: _Turn, name: str, key: tuple[str, ...], lacking: set[int]) -> None:
        if lacks_versions(self.work.con, turn.feeds[name], key):
            lacking.add(turn.number)

    def _learn(self, turn: _Turn, name: str, key: tuple[str, ...], write: Writer) -> None:
        learn_versions(self.work.con, turn.feeds[name], key[0], write)

    def _make_way(self, turn: _Turn, name: str, key: tuple[str, ...], write: Writer) -> None:
        feed, tally = turn.feeds[name], write.account.of(name)
        if not key or kind_of(tally.name, feed.columns, turn.schema.tables):
            return
        tally.keyed = True
        write.moved = turn.moved
        feed = follow_renumbered(self.work.con, feed, write)
        turn.left = make_way(self.work.con, feed, key, turn.number, write)

    def _bring(self, turn: _Turn, name: str, write: Writer) -> None:
        """Merge what no later source replaces."""
        con, feed, left = self.work.con, turn.feeds[name], turn.left
        turn.left = ""
        if merge_assets(con, None, feed, turn.schema.tables, write):
            return
        write.moved, write.turn = turn.moved, turn.number
        feed = follow_renumbered(con, feed, write)
        merge_table(con, feed.only(left), self.options, write)

    def _one(
        self, name: str, source: Source, account: Account, extras: Extras, write: Writer
    ) -> None:
        con, options = self.work.con, self.options
        _, schema = write.later.pop(0)
        feeds = align(con, name, schema, str(source.path), options, account)
        feeds = parents_first(con, feeds)
        write.moved.clear()
        for i, feed in enumerate(feeds):
            if not merge_assets(con, None, feed, schema.tables, write):
                self._table(feed, source, write)
            self._tick(i + 1, len(feeds))
        extras.collect(name, schema, {fold(t) for t in options.tables})

    def _table(self, feed: Feed, source: Source, write: Writer) -> None:
        tally = write.account.of(feed.target.name)
        apart = None
        followed = follow_renumbered(self.work.con, feed, write)
        if followed is not feed:
            merge_table(self.work.con, followed, self.options, write)
            return
        if self.copies is not None and not feed.renamed:
            apart = self.copies.between(self.copies.files[0], source).get(fold(tally.name))
        if apart is None:
            write.alike = self._alike(feed, source)
            merge_table(self.work.con, feed, self.options, write)
            write.alike = None
            return
        part = narrow(self.work.con, feed, apart, tally)
        merge_table(self.work.con, part.feed, self.options, write, part.ranges)
        tally.incoming += part.common
        tally.identical += part.common

    def _alike(self, feed: Feed, source: Source) -> RowsAlike | None:
        """Which of the target's rows may equal an offered one, as far as the copy has told."""
        if self.copies is None or feed.renamed:
            return None
        alike = self.copies.like(source, fold(feed.target.name))
        if alike is None:
            return None
        ranges = stage_ranges(self.work.con, "alike", alike.ranges) if alike.ranges else ""
        return RowsAlike(ranges, within(alike.prefixes))

    def _tick(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total, "tables")


def database(place: int) -> str:
    """The name of a source that is attached in this place of a batch."""
    return f"source{place}"


@contextmanager
def attached(con: sqlite3.Connection, batch: Sequence[Source]) -> Iterator[list[str]]:
    """Attach sources read-only and begin one transaction over all of them."""
    names = [database(i) for i in range(len(batch))]
    with ExitStack() as stack:
        for name, source in zip(names, batch, strict=True):
            with clear_errors(source.path):
                sqlite.attach(con, source.uri, name)
            stack.callback(_detach, con, name)
        con.execute("BEGIN IMMEDIATE")
        stack.callback(_end, con)
        yield names


def _end(con: sqlite3.Connection) -> None:
    if con.in_transaction:
        con.execute("ROLLBACK")


def _detach(con: sqlite3.Connection, name: str) -> None:
    con.execute(f"DETACH {name}")


def parents_first(con: sqlite3.Connection, feeds: Sequence[Feed]) -> list[Feed]:
    """The tables that others refer to before those, so that rows can follow new numbers."""
    by_name = {fold(feed.target.name): feed for feed in feeds}
    ordered: dict[str, Feed] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in ordered or name in above or name not in by_name:
            return
        for parent, _, _ in foreign_keys(con, by_name[name]):
            visit(fold(parent), (*above, name))
        ordered[name] = by_name[name]

    for name in by_name:
        visit(name, ())
    return list(ordered.values())


def merge_table(
    con: sqlite3.Connection, feed: Feed, options: MergeOptions, write: Writer, ranges: str = ""
) -> None:
    """Merge every offered row; ``ranges`` are the target rows worth comparing."""
    table = feed.target
    # the key of a rebase says which rows it replaces, not which ones are the same
    declared = () if table.virtual or options.mode == Mode.REBASE else options.key
    unique = [key.columns for key in table.keys]
    chosen = merge_key([c.name for c in table.stored], unique, declared)
    if chosen.declared:
        key = Key(chosen.columns, ("BINARY",) * len(chosen.columns), exact=True)
        merge_declared(con, feed, key, options, write)
        _keyless(con, feed.only(some_null(feed, key)), target_null(key), write)
    elif table.keys:
        _with_unique_key(con, feed, table.keys[0], options, write, ranges)
    else:
        _keyless(con, feed, "1", write, ranges)


def _with_unique_key(
    con: sqlite3.Connection, feed: Feed, key: Key, options: MergeOptions, write: Writer, ranges: str
) -> None:
    table = feed.target
    alias = fold(table.alias or "")
    numbered = bool(alias) and key.folded == (alias,)
    if not (numbered and not feed.has(key.columns[0])):
        merge_keyed(con, feed, key, options, write)
    if not _may_be_null(feed, key):
        return
    rest = feed.only(some_null(feed, key))
    if not table.rowid:
        tally = write.account.of(table.name)
        tally.incoming += con.execute(f"SELECT count(*) {rest.source()}").fetchone()[0]
        tally.new += write.each(rest, rest.columns, f"SELECT {rest.select()} {rest.source()}")
    elif numbered:
        others = tuple(c for c in table.stored if fold(c.name) != alias)
        _keyless(con, rest, "1", write, ranges, others)
    else:
        _keyless(con, rest, target_null(key), write, ranges)


def _may_be_null(feed: Feed, key: Key) -> bool:
    """Whether an offered key may hold a NULL, as far as the declarations say."""
    for name in key.columns:
        if not feed.has(name):
            return True
        value = feed.expr(name)
        column = next((c for c in feed.table.columns if f"s.{quote(c.name)}" == value), None)
        if column is None:
            return True
        own = fold(feed.table.alias or "") == fold(column.name)
        if not column.notnull and not own and not feed.table.without_rowid:
            return True
    return False


def _keyless(
    con: sqlite3.Connection,
    feed: Feed,
    where: str,
    write: Writer,
    ranges: str = "",
    columns: tuple[Column, ...] | None = None,
) -> None:
    subset = Subset(columns or feed.target.stored, where, ranges)
    counts = merge_keyless(con, feed, subset, write)
    counts.add_to(write.account.of(feed.target.name))


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
            raise XexpError(f"{path} does not exist", "check the path")
        if path is not ours and out.exists() and out.samefile(path):
            raise XexpError(
                f"{out} is both an input and the output", "name another output: -o FILE"
            )


def _empty(path: Path) -> Path:
    with closing(sqlite.connect(Path(path), isolation="DEFERRED")) as con:
        con.execute("PRAGMA user_version=1")
        con.commit()
    return path


class _Three:
    """One three-way merge, restarted row by row if a constraint is violated."""

    def __init__(
        self,
        work: NewFile,
        sides: list[Source],
        options: MergeOptions,
        progress: Progress | None,
        copies: Copies,
    ) -> None:
        self.work, self.sides, self.options, self.progress = work, sides, options, progress
        self.whole: set[str] = set()  #: tables that ours dropped and that are restored
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
            account.order = list(extras.before.tables)
            write = Writer(con, self.options, account, careful)
            chosen = {fold(t) for t in self.options.tables}
            follow_objects(con, extras, base, theirs, chosen, account)
            theirs = self._without_dropped(extras.before, theirs, base, account)
            self._drop(extras.before, theirs, base, account)
            label = str(self.sides[0].path)
            feeds = align(con, THEIRS, theirs, label, self.options, account, base)
            feeds = parents_first(con, feeds)
            for i, feed in enumerate(feeds):
                self._table(feed, base, theirs, write)
                if self.progress is not None:
                    self.progress(i + 1, len(feeds), "tables")
            self._assets(base, theirs)
            extras.collect(THEIRS, _newer(theirs, base), chosen)
            extras.finish()
            for side in self.sides:
                side.unchanged()
            con.execute("COMMIT")
        return account

    def _table(self, feed: Feed, base: Schema, theirs: Schema, write: Writer) -> None:
        con = self.work.con
        name = fold(feed.target.name)
        # A table that is restored whole has no base: its rows would count as deleted.
        old = base.tables.get(name) if name not in self.whole else None
        below = None
        if old is not None and old.content is None:
            names = [c.name for c in old.columns]
            rename = renamed(old.name, names, self.options.rename, "the base")
            write.account.of(name).offered.append([rename.get(fold(n), n) for n in names])
            below = make_feed(BASE, old, feed.target, rename, "the base")
        if merge_assets(con, below, feed, theirs.tables, write):
            return
        if below is None:
            merge_table(con, feed, self.options, write)
            return
        followed = follow_renumbered(con, feed, write)
        apart = self.theirs.get(name) if followed is feed and not feed.renamed else None
        feed = followed
        if apart is None:
            merge_table3(con, below, feed, self.options, write)
        else:
            near = near_rows(con, below, feed, apart, self.ours.get(name), write)
            merge_table3(con, near.base, near.theirs, self.options, write, near)

    def _assets(self, base: Schema, theirs: Schema) -> None:
        main = read_schema(self.work.con)
        keep_counted_assets(self.work.con, (main, base, theirs), (BASE, THEIRS))

    def _without_dropped(
        self, ours: Schema, theirs: Schema, base: Schema, account: Account
    ) -> Schema:
        """Leave out tables that ours dropped, unless theirs changed them."""
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
        """Drop tables that theirs dropped, unless ours changed them."""
        for name, table in ours.tables.items():
            if name in theirs.tables or name not in base.tables or table.virtual:
                continue
            account.count_here(self.work.con, table)
            changed = not self._same_rows(BASE, base.tables[name], "main", table, self.ours)
            if changed and self._conflict(account, table, "change/delete") is not OnConflict.THEIRS:
                continue
            tally = account.of(name)
            tally.removed = tally.here
            account.note(dropped_with("table", table.name))
            self.work.con.execute(f"DROP TABLE main.{quote(table.name)}")

    def _conflict(self, account: Account, table: Table, kind: str) -> OnConflict:
        """Which side has the whole table; a conflict if undecided."""
        account.of(table.name).conflicting += 1
        side = settled_whole(table.name, None, self.options)
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
    """Return what theirs added since the base, so that what ours dropped is not restored."""
    known = {(o[0], fold(o[1])) for o in base.objects}
    return replace(
        theirs, objects=tuple(o for o in theirs.objects if (o[0], fold(o[1])) not in known)
    )
