"""``git xexp merge``, and what it shares with ``git xexp rebase``."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import Columns, open_project, shared
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.tables.plan import MergeOptions, Mode, OnConflict

if TYPE_CHECKING:
    from gitxexp.workflows.merge.merge import Merged

#: As :class:`gitxexp.tables.engine.Engine` has them.
ENGINES = ("auto", "sqlite", "duckdb")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Size(click.ParamType[int]):
    """``500MB``, ``2GB`` or a number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
        if not match:
            self.fail(f"'{value}' is not a size (like 500MB)", param, ctx)
        return int(float(match.group(1)) * _UNITS[match.group(2)])


class Rename(click.ParamType[tuple[str, str]]):
    """``incoming=existing``"""

    name = "old=new"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        old, _, new = str(value).partition("=")
        if not old.strip() or not new.strip():
            self.fail(f"'{value}' is not old=new", param, ctx)
        return old.strip(), new.strip()


@dataclass(frozen=True)
class Given:
    """What the command line of ``merge`` or ``rebase`` asks for."""

    sources: tuple[str, ...]
    output: Path | None
    only: tuple[str, ...]
    models: bool
    key: tuple[tuple[str, ...], ...]
    tables: tuple[str, ...]
    on_conflict: str
    no_fill: bool
    renumber: bool
    rename: tuple[tuple[str, str], ...]
    stringify: tuple[tuple[str, ...], ...]
    allow_lossy: bool
    memory: int
    in_place: bool
    count: bool
    engine: str
    dry_run: bool
    commit: bool
    message: str | None
    no_wait: bool
    as_json: bool
    strategy: str | None = None

    def options(self, mode: Mode) -> MergeOptions:
        """As the engines take it."""
        return MergeOptions(
            mode=mode,
            key=_flat(self.key),
            tables=self.tables,
            fill=not self.no_fill,
            on_conflict=OnConflict(self.on_conflict),
            renumber=self.renumber,
            rename=dict(self.rename),
            stringify=_flat(self.stringify),
            allow_lossy=self.allow_lossy,
            memory=self.memory,
            in_place=self.in_place,
            count=self.count,
        )


def _flat(names: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return tuple(name for some in names for name in some)


_OPTIONS = (
    click.argument("sources", nargs=-1, required=True, metavar="SOURCE..."),
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
                 help="Merge plain files into FILE."),
    click.option("--only", multiple=True, metavar="WHAT",
                 help="Merge only this: results, data, models, a path or a glob (repeatable)."),
    click.option("--models", is_flag=True, help="Also import the sources' models as candidates."),
    click.option("--key", type=Columns(), multiple=True, metavar="COLS",
                 help="Key columns (comma-separated) of tables without a key."),
    click.option("--table", "tables", multiple=True, metavar="NAME", help="Merge only these tables."),
    click.option("--on-conflict", type=click.Choice([str(c) for c in OnConflict]), default="fail",
                 show_default=True, help="If one key has two values: stop, take a side, or keep both rows."),
    click.option("--no-fill", is_flag=True, help="Do not fill NULL cells of matching keys."),
    click.option("--renumber", is_flag=True, help="Give clashing integer primary keys new numbers."),
    click.option("--rename", type=Rename(), multiple=True, metavar="OLD=NEW",
                 help="Merge the incoming column OLD as NEW."),
    click.option("--stringify", type=Columns(), multiple=True, metavar="COL",
                 help="Convert a column of mixed types to text."),
    click.option("--allow-lossy", is_flag=True, help="Accept a type promotion that changes values."),
    click.option("--memory", type=Size(), default="0",
                 help="Memory that DuckDB may use before it spills to disk (1GB)."),
    click.option("--in-place", is_flag=True, help="Change the target in one transaction, without a copy."),
    click.option("--count", is_flag=True, help="Count the target's rows with --in-place, too."),
    click.option("--engine", type=click.Choice(ENGINES), default="auto",
                 show_default=True, help="Merge engine (auto: SQLite for SQLite files, else DuckDB)."),
    click.option("-n", "--dry-run", "--plan", "dry_run", is_flag=True,
                 help="Show what would be done."),
    click.option("--commit", is_flag=True, help="Commit the pointers and the registry."),
    shared(message="The commit message.", no_wait=True, json=True),
)  # fmt: skip


def merge_options(function: Callable[..., None]) -> Callable[..., None]:
    """What ``merge`` and ``rebase`` both take, handed over as :class:`Given`."""

    @wraps(function)
    def gathered(*, yes: bool | None = None, **options: Any) -> None:
        more = {} if yes is None else {"yes": yes}
        function(Given(**options), **more)

    for decorate in reversed(_OPTIONS):
        gathered = decorate(gathered)
    return gathered


@click.command(cls=Command)
@merge_options
@click.option("--strategy", metavar="NAME", help="How to treat rows: merge, rebase or keep.")
def merge(given: Given) -> None:
    """Bring the rows of other experiments into this work tree's results and data.

    SOURCE is a worktree (its files as they are now), branch, version, tag, revision or file. The
    results databases and data files of a SOURCE are fetched if needed and merged into the same
    paths here; -o merges plain files (SQLite, DuckDB, parquet, folders and globs of parquet) and
    needs no repository.

    Rows accumulate: columns are aligned by name, a column that one side lacks is NULL there, and
    each exact row is kept as often as the input that has it most often. So no row of any input is
    lost, merging twice changes nothing, and the order of the sources does not matter. 1, 1.0 and
    '1' are three values.

    Where a table has a unique key (or --key names one), a NULL or absent cell of a matching key is
    filled from the other side. Two different values are a conflict: both are shown, nothing is
    written, the exit code is 1; --on-conflict takes a side. Rows with NULL in the key are rows like
    any other.

    Per artifact --strategy decides, else the merge: section of params.yaml (strategy, table,
    key_columns, data_strategy, data_key_columns), else [merge] in .xexp/config.toml: merge, rebase
    (replace by key) or keep. So a DVC stage can merge, and the strategy is a tracked parameter:

    \b
        stages:
          merge:
            cmd: git xexp merge baseline lr-sweep
            params: [merge]
            outs:
            - results/experiments.db:
                persist: true

    Afterwards the DVC pointer is up to date, the registry has a row about the merge, and git xexp
    undo undoes it.
    """
    run(given, Mode.MERGE)


def run(given: Given, mode: Mode, confirm: Callable[[Merged], None] | None = None) -> None:
    """Plan or merge, and show it; ``confirm`` sees the plan first."""
    from gitxexp.cli.render.merges import show
    from gitxexp.workflows.merge.merge import Conflicted

    act = _files(given, mode) if given.output else _repository(given, mode)
    try:
        if confirm is not None and not given.dry_run:
            confirm(act(False))
        merged = act(not given.dry_run)
        if given.dry_run and merged.conflicts:
            raise Conflicted(merged)  # as the merge would end
    except Conflicted as conflict:
        show(conflict.merged, dry_run=given.dry_run, as_json=given.as_json)
        raise
    show(merged, dry_run=given.dry_run, as_json=given.as_json)


def _files(given: Given, mode: Mode) -> Callable[[bool], Merged]:
    from gitxexp.tables.engine import Engine
    from gitxexp.workflows.merge.merge import files

    for name in ("only", "models", "commit", "message"):
        if getattr(given, name):
            raise UsageError(
                f"--{name} is for artifacts of a repository, not for -o FILE",
                "omit it, or leave out -o",
            )
    assert given.output is not None
    output, engine = given.output, Engine(given.engine)
    project = None
    with suppress(XexpError):  # plain files need no repository
        project = open_project()

    def act(write: bool) -> Merged:
        with progress.line("merging") as show:
            return files(
                given.sources, output, given.options(mode), engine, show, write=write,
                project=project, strategy=given.strategy,
            )  # fmt: skip

    return act


def _repository(given: Given, mode: Mode) -> Callable[[bool], Merged]:
    from gitxexp.tables.engine import Engine
    from gitxexp.workflows.merge.inputs import Selection
    from gitxexp.workflows.merge.merge import MergeRequest, merge, plan

    try:
        project = open_project()
        project.require_set_up()
        hints.note_drivers(project)
    except XexpError as error:
        if all(Path(name).exists() for name in given.sources):
            raise XexpError(
                error.message, f"{error.hint}\nor merge plain files: -o FILE"
            ) from error
        raise
    request = MergeRequest(
        sources=given.sources,
        mode=mode,
        strategy=given.strategy,
        selection=Selection(given.only, given.models),
        options=given.options(mode),
        engine=Engine(given.engine),
        commit=given.commit,
        message=given.message,
    )

    def act(write: bool) -> Merged:
        with progress.line("merging") as show:
            if not write:
                return plan(project, request, show)
            return merge(project, request, show, wait=not given.no_wait)

    return act
