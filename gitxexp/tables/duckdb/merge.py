"""Two-way merges of files: open, align, decide, and, unless only asked, write."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.files import Kind, kind_by_name, kind_of
from gitxexp.tables.duckdb.align import align
from gitxexp.tables.duckdb.match import Matched, match_tables
from gitxexp.tables.duckdb.outcome import Outcome, counted
from gitxexp.tables.duckdb.rebase import rebase_table
from gitxexp.tables.duckdb.rows import count
from gitxexp.tables.duckdb.session import Session, Source, stamp
from gitxexp.tables.duckdb.source import open_duckdb, open_source
from gitxexp.tables.duckdb.two_way import merge_table
from gitxexp.tables.duckdb.write import Job, beside, publish, write, writing
from gitxexp.tables.plan import MergeOptions, MergeReport, Mode, Progress

#: Decides one table: the outcome of its inputs, or None where the table leaves the result.
Decide = Callable[[Session, Matched, Kind, MergeOptions], Outcome | None]


def merge_files(
    target: Path,
    sources: Sequence[Path],
    out: Path | None = None,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
    *,
    write: bool = True,
) -> MergeReport:
    """Bring ``sources`` into ``target`` (which may not exist yet) and write ``out``.

    Files may be SQLite, DuckDB or parquet in any mix. ``out`` defaults to ``target``; its kind is
    the target's own, or what its name says. Sources are never written. With conflicts nothing is
    written and the report lists them (``written`` is False). Without ``write`` the report is of
    what would be done. Raises :class:`XexpError`.
    """
    options = options or MergeOptions()
    if options.in_place:
        raise UsageError("only SQLite files can be merged in place by SQLite's own engine")
    _check_paths(target, sources)
    inputs = [path for path in (target, *sources) if path in sources or path.exists()]
    if not inputs:
        raise XexpError("there is nothing to merge")
    mine = target if target.exists() else None
    return run(mine, list(sources), out or target, _two_way, options, progress, write)


def run(
    target: Path | None,
    sources: Sequence[Path],
    out: Path,
    decide: Decide,
    options: MergeOptions,
    progress: Progress | None,
    apply: bool,
) -> MergeReport:
    """The frame of every merge; ``decide`` is what differs between two-way and three-way."""
    tell = progress or (lambda done, total, unit: None)
    kind = _out_kind(target, out)
    with writing(out), contextlib.ExitStack() as stack:
        temp = stack.enter_context(beside(out)) if apply else None
        session = stack.enter_context(Session(options.memory, out.parent if apply else None))
        before = stamp(target) if target else ()
        ours = _open_target(session, stack, target, kind, temp, options)
        others = [_opened(session, stack, path, options) for path in sources]
        tables = match_tables(ours, others, out, kind, options)
        _check_key(tables, options)
        outcomes: list[Outcome] = []
        for done, table in enumerate(tables):
            tell(done, len(tables), "tables")
            outcomes += [o for o in [decide(session, table, kind, options)] if o]
        if not outcomes:
            raise XexpError("there is no table to merge")
        job = Job(session, kind, ours, others, tuple(outcomes), options)
        report = job.report()
        if temp is None or report.conflicts:
            return report
        same = target is not None and out.absolute() == target.absolute()
        changed = report.changed or any(o.table.dropped or o.gone for o in outcomes)
        if same and not changed:
            return replace(report, written=True)
        notes = write(job, temp, copy_of=None if changed else target)
        tell(len(tables), len(tables), "tables")
        for source in (*others, *([ours] if ours else [])):
            source.close()
        _check_unmoved(target if same else None, before)
        publish(temp, out)
        return replace(report, written=True, notes=(*report.notes, *notes))


def _two_way(session: Session, table: Matched, kind: Kind, options: MergeOptions) -> Outcome:
    aligned = align(session, table.name, table.ours, table.others, options, kind)
    if not table.others:
        here = count(session, aligned.ours.query) if aligned.ours else 0
        return Outcome(aligned, counted(aligned, here, 0))
    if options.mode is Mode.REBASE:
        return rebase_table(session, aligned, options)
    return merge_table(session, aligned, options)


def _check_paths(target: Path, sources: Sequence[Path]) -> None:
    for source in sources:
        kind_of(source)
        if target.exists() and source.samefile(target):
            raise XexpError(f"{source} is the target itself", hint="name another source")


def _out_kind(target: Path | None, out: Path) -> Kind:
    if target is not None and out.absolute() == target.absolute():
        return kind_of(target)
    with contextlib.suppress(XexpError):
        return kind_by_name(out)
    if target is not None:
        return kind_of(target)
    return kind_by_name(out)


def _open_target(
    session: Session,
    stack: contextlib.ExitStack,
    target: Path | None,
    kind: Kind,
    temp: Path | None,
    options: MergeOptions,
) -> Source | None:
    """The target; a DuckDB one that will be edited is copied first, under a reader's lock."""
    if target is None:
        return None
    if temp is None or kind != "duckdb" or kind_of(target) != "duckdb":
        return _opened(session, stack, target, options)
    lock = open_duckdb(session, target)
    temp = session.workplace(temp)
    for suffix in ("", ".wal"):
        part = target.resolve().with_name(target.resolve().name + suffix)
        if part.exists():
            shutil.copyfile(part, temp.with_name(temp.name + suffix))
    lock.close()
    session.rows("SET wal_autocheckpoint = '1TB'")
    copy = open_duckdb(session, temp, read_only=False)
    return replace(copy, path=target, close=lambda: None)


def _opened(
    session: Session, stack: contextlib.ExitStack, path: Path, options: MergeOptions
) -> Source:
    source = open_source(session, path, options.stringify, options.allow_lossy)
    stack.callback(_quietly(source.close))
    if source.stamp and stamp(path) != source.stamp:
        raise XexpError(f"{path} changed while it was being read", hint="try again")
    return source


def _quietly(close: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        with contextlib.suppress(XexpError):
            close()

    return run


def _check_key(tables: Sequence[Matched], options: MergeOptions) -> None:
    if not options.key:
        return
    for table in tables:
        every = [t for _, t in ([table.ours] if table.ours else []) + table.others]
        names = {c.lower() for t in every for c in t.columns}
        names |= {new.lower() for new in options.rename.values()}
        if all(key.lower() in names for key in options.key):
            return
    raise XexpError(f"no table has the key columns {', '.join(options.key)}")


def _check_unmoved(target: Path | None, before: tuple[int, ...]) -> None:
    if target is not None and stamp(target) != before:
        raise XexpError(
            f"{target} changed while it was being merged; nothing was written", hint="try again"
        )
