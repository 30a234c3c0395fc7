"""Merge and rebase of whole SQLite files: what is public here is what commands call.

One table of one source into the target: which way its rows go.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.tables.plan import MergeOptions, MergeReport, Mode, OnConflict, Progress
from gitxexp.tables.sqlite.account import Account
from gitxexp.tables.sqlite.align import align, check_tables
from gitxexp.tables.sqlite.counters import is_counter, largest_counters
from gitxexp.tables.sqlite.feed import Feed, some_null, target_null
from gitxexp.tables.sqlite.files import check_version, clear_errors
from gitxexp.tables.sqlite.keyed import merge_declared, merge_keyed
from gitxexp.tables.sqlite.keyless import Subset, merge_keyless
from gitxexp.tables.sqlite.names import fold
from gitxexp.tables.sqlite.objects import Extras
from gitxexp.tables.sqlite.pages import Copies, narrow
from gitxexp.tables.sqlite.rebase import check_rebase_key, claim, make_way, rebase_key
from gitxexp.tables.sqlite.schema import Column, Key, read_schema
from gitxexp.tables.sqlite.source import Source, connect, open_sources, transcode
from gitxexp.tables.sqlite.target import InPlace, NewFile, Work, refuse_links
from gitxexp.tables.sqlite.write import Careful, Writer

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
    """Merge (or rebase) SQLite ``sources`` into ``target``; the account of what was done.

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
        raise UsageError("no source was named")
    with clear_errors(target):
        for source in sources:
            if not source.exists():
                raise XexpError(f"{source} does not exist")
            for other in (target, out):
                if other is not None and other.exists() and other.samefile(source):
                    raise XexpError(f"{source} is both a source and the target")
        if options.in_place and out is not None:
            raise UsageError("in place and another output exclude each other")
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

    ``copied``: the first input is the target itself, and a copy of it is worked on.
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
    """The first file beside each other one, where equal rows on equal pages need no look."""
    every = options.mode == Mode.REBASE or options.key or options.renumber
    if options.on_conflict == OnConflict.THEIRS and len(files) > 2:
        every = True
    return Copies(files, [] if every else [(0, i) for i in range(1, len(files))])


def _check_names(work: Work, sources: Sequence[Source], options: MergeOptions) -> None:
    """Names that the user gave must exist somewhere."""
    if not (options.tables or options.key):
        return
    schemas = [read_schema(work.con)]
    for source in sources:
        with clear_errors(source.path), closing(connect(source.uri)) as con:
            schemas.append(read_schema(con))
    check_tables(options, schemas)
    if options.key:
        check_rebase_key(options, schemas)


class _Run:
    """One merge of several sources into a work, begun again row by row if it has to be."""

    def __init__(
        self,
        work: Work,
        sources: list[Source],
        options: MergeOptions,
        progress: Progress | None,
        built: bool,
    ) -> None:
        self.work, self.options, self.progress, self.built = work, options, progress, built
        self.sources = sources[::-1] if options.mode == Mode.REBASE else sources
        self.copies = work.copies if isinstance(work, NewFile) else None

    def report(self, write: bool, keep_if_same: bool) -> MergeReport:
        """Do it all; make it real if it may be."""
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
        con = self.work.con
        if self.built:
            account.built(con)
        extras: Extras | None = None
        batches = [self.sources[i : i + BATCH] for i in range(0, len(self.sources), BATCH)]
        for batch in batches:
            with attached(con, batch) as names:
                extras = extras or Extras(con, account)
                write = Writer(con, self.options, account, careful)
                write.together = self.options.mode == Mode.MERGE
                write.later = [(n, read_schema(con, n)) for n in names]
                for name, source in zip(names, batch, strict=True):
                    with clear_errors(source.path, reading=True):
                        self._one(name, source, account, extras, write)
                if batch is batches[-1]:
                    extras.finish()
                for source in batch:
                    source.unchanged()
                good = commit and not account.conflicts and account.changed
                con.execute("COMMIT" if good or not isinstance(self.work, InPlace) else "ROLLBACK")
        return account

    def _one(
        self, name: str, source: Source, account: Account, extras: Extras, write: Writer
    ) -> None:
        con, options = self.work.con, self.options
        _, schema = write.later.pop(0)
        feeds = align(con, name, schema, str(source.path), options, account)
        for i, feed in enumerate(feeds):
            counter = options.mode == Mode.MERGE and is_counter(feed.target, schema)
            if not (counter and largest_counters(con, feed, write)):
                self._table(feed, source, write)
            self._tick(i + 1, len(feeds))
        extras.collect(name, schema, {fold(t) for t in options.tables})

    def _table(self, feed: Feed, source: Source, write: Writer) -> None:
        tally = write.account.of(feed.target.name)
        apart = None
        if self.copies is not None and not feed.renamed:
            apart = self.copies.between(self.copies.files[0], source).get(fold(tally.name))
        if apart is None:
            merge_table(self.work.con, feed, self.options, write)
            return
        part = narrow(self.work.con, feed, apart, tally)
        merge_table(self.work.con, part.feed, self.options, write, part.ranges)
        tally.incoming += part.common
        tally.identical += part.common

    def _tick(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, total, "tables")


@contextmanager
def attached(con: sqlite3.Connection, batch: Sequence[Source]) -> Iterator[list[str]]:
    """Attach sources read-only and begin one transaction over all of them."""
    names = [f"source{i}" for i in range(len(batch))]
    with ExitStack() as stack:
        for name, source in zip(names, batch, strict=True):
            with clear_errors(source.path):
                con.execute(f"ATTACH ? AS {name}", (source.uri,))
            stack.callback(_detach, con, name)
        con.execute("BEGIN IMMEDIATE")
        stack.callback(_end, con)
        yield names


def _end(con: sqlite3.Connection) -> None:
    if con.in_transaction:
        con.execute("ROLLBACK")


def _detach(con: sqlite3.Connection, name: str) -> None:
    con.execute(f"DETACH {name}")


def merge_table(
    con: sqlite3.Connection, feed: Feed, options: MergeOptions, write: Writer, ranges: str = ""
) -> None:
    """Merge (or rebase) every offered row; ``ranges`` are the target rows worth comparing."""
    table = feed.target
    declared: Key | None = None
    claims = ""
    if options.mode == Mode.REBASE:
        key = rebase_key(feed, options)
        if key is not None:
            claims = f"claims{write.account.of(table.name).number}"
            feed = make_way(con, feed, key, claims, write)
    elif options.key and not table.virtual and all(table.column(c) for c in options.key):
        declared = Key(options.key, ("BINARY",) * len(options.key), exact=True)
    if table.keys:
        _with_unique_key(con, feed, table.keys[0], options, write, ranges)
    elif declared is not None:
        merge_declared(con, feed, declared, options, write)
        _keyless(con, feed.only(some_null(feed, declared)), target_null(declared), write)
    else:
        _keyless(con, feed, "1", write, ranges)
    if claims:
        claim(con, claims)
    elif options.mode == Mode.REBASE and write.account.of(table.name).new:
        wanted = ", ".join(options.key) or "version or run id"
        write.account.note(f"table {table.name} has no {wanted}: its rows were added")


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
        column = next(
            c
            for c in feed.table.columns
            if fold(feed.renamed.get(fold(c.name), c.name)) == fold(name)
        )
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
    tally = write.account.of(feed.target.name)
    tally.incoming += counts.offered
    tally.new += counts.new
    tally.identical += counts.identical
