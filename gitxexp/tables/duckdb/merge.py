"""Two-way merges of files: open, align, decide and, unless only planning, write.

Three-way merges of files, for git.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.files import Kind, kind_by_name, kind_of
from gitxexp.common.sql import quote
from gitxexp.common.text import counted as say_counted
from gitxexp.tables.duckdb.align import Aligned, Matched, Side, align, match_tables
from gitxexp.tables.duckdb.declaration import declaration
from gitxexp.tables.duckdb.parquet import check_durations
from gitxexp.tables.duckdb.rows import TableOutcome, count, counted, listed
from gitxexp.tables.duckdb.session import DuckdbRefused, Session, Source, Table, stamp
from gitxexp.tables.duckdb.source import damaged, open_duckdb, open_source
from gitxexp.tables.duckdb.three_way import differing, restored, three_way
from gitxexp.tables.duckdb.two_way import key_of, merge_table, rebase_table
from gitxexp.tables.duckdb.write import DecidedMerge, accept, beside, publish, write, writing
from gitxexp.tables.plan import Conflict, MergeOptions, MergeReport, Mode, OnConflict, Progress
from gitxexp.tables.rules import check_declared_key, dropped_with, settled_whole

#: Decides one table: the outcome of its inputs, or None if the table is dropped.
Decide = Callable[[Session, Matched, Kind, MergeOptions], TableOutcome | None]


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
    that of the target, or follows from its name. Sources are never written. With conflicts nothing is
    written and the report lists them (``written`` is False). Without ``write`` the report is of
    what would be done. Raises :class:`XexpError`.
    """
    options = options or MergeOptions()
    if options.in_place:
        raise UsageError(
            "only SQLite files can be merged in place by SQLite's own engine",
            "write a new file: -o FILE",
        )
    _check_paths(target, sources)
    inputs = [path for path in (target, *sources) if path in sources or path.exists()]
    if not inputs:
        raise XexpError("there is nothing to merge", "name a file to merge")
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
    base: Path | None = None,
) -> MergeReport:
    """Run any merge; two-way and three-way merges differ in ``decide`` and in ``base``, one of the
    sources."""
    tell = progress or (lambda done, total, unit: None)
    kind = _out_kind(target, out)
    with writing(out), contextlib.ExitStack() as stack:
        temp = stack.enter_context(beside(out)) if apply else None
        session = stack.enter_context(Session(options.memory, out.parent if apply else None))
        before = stamp(target) if target else ()
        ours = _open_target(session, stack, target, kind, temp, options)
        others = [_opened(session, stack, path, options) for path in sources]
        session.seal([*([ours] if ours else []), *others], temp)
        stack.enter_context(_naming_cause(session, [*([ours] if ours else []), *others]))
        check_durations(session, [*([ours] if ours else []), *others])
        tables = match_tables(ours, others, out, kind, options)
        _check_key(tables, options)
        outcomes: list[TableOutcome] = []
        for done, table in enumerate(tables):
            tell(done, len(tables), "tables")
            outcomes += [o for o in [decide(session, table, kind, options)] if o]
        if not outcomes:
            raise XexpError("there is no table to merge", "check the files and --table")
        _check_references(tables, outcomes)
        for outcome in outcomes:
            _check_not_null(session, outcome, kind)
        was = next((source for source in others if source.path == base), None)
        job = DecidedMerge(session, kind, ours, others, tuple(outcomes), options, was)
        report = job.report()
        if report.conflicts:
            return report
        accept(job, job.duckdb_objects.lost)  # a plan refuses what the merge would refuse
        if temp is None:
            return report
        same = target is not None and out.absolute() == target.absolute()
        changed = report.changed or any(o.table.dropped or o.gone or o.change for o in outcomes)
        if same and not changed:
            return replace(report, written=True)
        notes = write(job, temp, copy_of=None if changed else target)
        tell(len(tables), len(tables), "tables")
        for source in (*others, *([ours] if ours else [])):
            source.close()
        _check_unmoved(target if same else None, before)
        publish(temp, out)
        return replace(report, written=True, notes=(*report.notes, *notes))


_REFERENCE = re.compile(
    r"\bREFERENCES\s+(?:\w+\.)?(\"(?:[^\"]|\"\")+\"|\[[^]]+\]|`[^`]+`|\w+)", re.I
)


def _check_references(tables: Sequence[Matched], outcomes: Sequence[TableOutcome]) -> None:
    """Refuse new numbers for rows to which others refer: those would refer to the target's."""
    moved = {o.table.name.lower(): o for o in outcomes if o.renumbered}
    for table in tables if moved else ():
        for _, each in [*([table.ours] if table.ours else []), *table.others]:
            for name in _REFERENCE.findall(each.ddl):
                outcome = moved.get(name.strip('"[]`').lower())
                if outcome is not None:
                    raise XexpError(
                        f"{table.name} refers to {outcome.table.name}, where"
                        f" {say_counted(outcome.renumbered, 'row')} would get a new number",
                        "merge SQLite files, where rows follow new numbers, or leave renumbering out",
                    )


@contextlib.contextmanager
def _naming_cause(session: Session, inputs: Sequence[Source]) -> Iterator[None]:
    """Name the file if a statement over several fails because one cannot be read, or calls what it has
    by its own name."""
    try:
        yield
    except DuckdbRefused as error:
        bad = next((source for source in inputs if damaged(session, source)), None)
        if bad is None:
            if error.message.startswith(("Binder", "Catalog")):
                _refuse_own_names(session, inputs)
            raise
        if error.hint:  # this error is already explained
            raise XexpError(f"{bad.path}: {error.message}", hint=error.hint) from None
        raise XexpError(f"{bad.path}: the parquet file is damaged", hint=error.message) from None


def _check_not_null(session: Session, outcome: TableOutcome, kind: Kind) -> None:
    """Refuse rows without a value that the target's table must have; a plan refuses them, too."""
    table = outcome.table
    if kind != "duckdb" or table.ours is None or outcome.conflicts:
        return
    must = _not_null(table.ours)
    must -= must.intersection(*map(_not_null, table.others))  # those have no such row
    wanted = [name for name in table.columns if name.lower() in must]
    rows = [f"({outcome.add})"] if outcome.add else []
    rows += [outcome.change] if outcome.change else []
    if not wanted or not rows:
        return
    every = " UNION ALL ".join(f"SELECT {listed(wanted)} FROM {r}" for r in rows)
    tests = ", ".join(f"bool_or({quote(name)} IS NULL)" for name in wanted)
    (lacking,) = session.rows(f"SELECT {tests} FROM ({every})")
    for name, without in zip(wanted, lacking, strict=True):
        if without:
            raise XexpError(
                f"{table.name}.{name} must not be NULL here, and incoming rows have no value",
                "give them one in the source, or drop NOT NULL here",
            )


def _not_null(side: Side) -> set[str]:
    """The columns, in lower case, that a table of a DuckDB file declares as NOT NULL."""
    if side.table.kind != "duckdb":
        return set()
    constraints = declaration(side.table.ddl).constraints
    return {c.columns[0].lower() for c in constraints if c.kind == "NOT NULL"}


def _refuse_own_names(session: Session, inputs: Sequence[Source]) -> None:
    """Refuse a table that calls what is in its file by the file's name: no file of another name can
    have it, nor the same one once it is renamed."""
    for source in inputs:
        schemas = {
            schema
            for (schema,) in session.rows(
                "SELECT schema_name FROM duckdb_schemas() WHERE database_name IN ($1, 'system')",
                [source.alias],
            )
        }
        for table in source.tables if source.kind == "duckdb" else ():
            for name in declaration(table.ddl).called:
                if len(name) > 2 or name[0] not in schemas:
                    raise XexpError(
                        f"{source.path}: table {table.name} calls {'.'.join(name)}, by the name of a"
                        " file, so no other file can have it",
                        f"declare it again with {'.'.join(name[1:])}",
                    )


def _two_way(session: Session, table: Matched, kind: Kind, options: MergeOptions) -> TableOutcome:
    aligned = align(session, table.name, table.ours, table.others, options, kind)
    if not table.others:
        here = count(session, aligned.ours.query) if aligned.ours else 0
        return TableOutcome(aligned, counted(aligned, here, 0))
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
    new = list(options.rename.values())
    names = []
    for table in tables:
        every = [t for _, t in ([table.ours] if table.ours else []) + table.others]
        names.append([*(c for t in every for c in t.columns), *new])
    check_declared_key(options.key, names)


def _check_unmoved(target: Path | None, before: tuple[int, ...]) -> None:
    if target is not None and stamp(target) != before:
        raise XexpError(
            f"{target} changed while it was being merged; nothing was written", hint="try again"
        )


def merge3_files(
    base: Path | None,
    ours: Path,
    theirs: Path,
    out: Path | None = None,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """Merge the changes of ``theirs`` since ``base`` into ``ours`` and write ``out`` (default:
    ours).

    Keyed tables are merged cell by cell, others by the change in the number of equal rows; a
    change that both sides made counts once. ``base`` is None or an empty file if both sides added
    the file. With conflicts nothing is written and the report lists them. Raises
    :class:`XexpError`.
    """
    options = options or MergeOptions()
    if options.in_place:
        raise UsageError("a three-way merge always writes a new file", "name it: -o FILE")
    known = base if base is not None and base.exists() and base.stat().st_size else None
    for path in filter(None, (known, ours, theirs)):
        kind_of(path)
    sources = [known, theirs] if known else [theirs]

    def decide(
        session: Session, table: Matched, kind: Kind, chosen: MergeOptions
    ) -> TableOutcome | None:
        return _decide(session, table, kind, chosen, str(known) if known else None, str(theirs))

    return run(ours, [s for s in sources if s], out or ours, decide, options, progress, True, known)


def _decide(
    session: Session,
    table: Matched,
    kind: Kind,
    options: MergeOptions,
    base: str | None,
    theirs: str,
) -> TableOutcome | None:
    was = next((t for label, t in table.others if label == base), None)
    new = next((t for label, t in table.others if label == theirs), None)
    mine = table.ours[1] if table.ours else None
    if mine is None and new is None:
        return None
    gone = _columns(table.name, was, mine, new, options)
    shown = Matched(
        table.name,
        _without(table.ours, gone.dropped) if table.ours else None,
        [_without(item, gone.dropped) for item in table.others],
    )
    aligned = align(session, table.name, shown.ours, shown.others, options, kind)
    if mine is not None:
        left = tuple(c for c in mine.columns if c.lower() in gone.dropped)
        aligned = replace(aligned, dropped=left)
    sides = {side.label: side for side in aligned.others}
    here = count(session, aligned.ours.query) if aligned.ours else 0
    still = TableOutcome(aligned, counted(aligned, here, 0))
    if gone.clash:
        found = (
            Conflict(table.name, {}, c, None, None, None, "schema", theirs) for c in gone.clash
        )
        return replace(still, conflicts=tuple(found))
    old, other = sides.get(base or ""), sides.get(theirs)
    if was is not None and (mine is None or new is None):
        return _gone(session, aligned, old, other, still, options)
    if gone.kept and old is not None and other is not None:
        aligned, other = _kept(aligned, old, other, gone.kept, options)
    return three_way(session, aligned, old, other, options)


@dataclass(frozen=True)
class _Gone:
    """Columns of the base that one side or both dropped."""

    dropped: frozenset[str] = frozenset()  #: removed from the result; in lower case
    clash: tuple[str, ...] = ()  #: the user did not decide
    kept: tuple[str, ...] = ()  #: kept, as on the side that did not drop them


def _columns(
    name: str, was: Table | None, mine: Table | None, new: Table | None, options: MergeOptions
) -> _Gone:
    if was is None or mine is None or new is None:
        return _Gone()
    has = {
        OnConflict.OURS: {c.lower() for c in mine.columns},
        OnConflict.THEIRS: {c.lower() for c in new.columns},
    }
    dropped, clash, kept = set(), [], []
    for column in was.columns:
        held = [side for side, columns in has.items() if column.lower() in columns]
        chosen = settled_whole(name, column, options)
        if len(held) == 2:
            continue
        if not held or (chosen in has and chosen not in held):
            dropped.add(column.lower())
        elif chosen in held:
            kept.append(column)
        else:
            clash.append(column)
    return _Gone(frozenset(dropped), tuple(clash), tuple(kept))


def _kept(
    table: Aligned, base: Side, theirs: Side, columns: Sequence[str], options: MergeOptions
) -> tuple[Aligned, Side]:
    """The table as if the side that dropped ``columns`` had left them unchanged."""
    key, _ = key_of(table, options)
    lower = {name.lower() for name in columns}
    names = [name for name in table.columns if name.lower() in lower]

    def back(side: Side) -> Side:
        lost = [name for name in names if name not in side.has]
        return restored(side, base, lost, key) if lost else side

    ours = back(table.ours) if table.ours else None
    again = back(theirs)
    others = tuple(again if side is theirs else side for side in table.others)
    return replace(table, ours=ours, others=others), again


def _without(item: tuple[str, Table], dropped: frozenset[str]) -> tuple[str, Table]:
    label, table = item
    columns = {c: kind for c, kind in table.columns.items() if c.lower() not in dropped}
    return label, replace(table, columns=columns)


def _gone(
    session: Session,
    table: Aligned,
    base: Side | None,
    theirs: Side | None,
    still: TableOutcome,
    options: MergeOptions,
) -> TableOutcome | None:
    """One side dropped the whole table, so the result drops it too, as in SQLite's engine.

    Rows that the other side changed since are a conflict, resolved for the chosen side.
    """
    left = table.ours or theirs
    chosen = settled_whole(table.name, None, options)
    if count(session, f"SELECT 1 FROM {differing(session, table, {'b': base, 'o': left})}"):
        if chosen not in (OnConflict.OURS, OnConflict.THEIRS):
            kind = "change/delete" if table.ours else "delete/change"
            clash = Conflict(table.name, {}, None, None, None, None, kind, still.report.name)
            return replace(still, conflicts=(clash,))
        if table.ours is not None and chosen is OnConflict.OURS:
            return still
        if theirs is not None and chosen is OnConflict.THEIRS:
            rows = count(session, theirs.query)
            report = counted(table, 0, rows, new=rows)
            return TableOutcome(
                table, report, add=f"SELECT {listed(table.names)} FROM ({theirs.query})"
            )
    if table.ours is None:
        return None
    rows = still.report.here
    note = dropped_with("table", table.name)
    return TableOutcome(table, counted(table, rows, 0, removed=rows), notes=(note,), gone=True)
