"""``git xexp merge``, and what it shares with ``git xexp rebase``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.options import F, json_option, message_option, no_wait_option, open_project
from gitxexp.cli.render import console, merges
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.tables.engine import Engine
from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
from gitxexp.workflows.merge import merge as merge_merge
from gitxexp.workflows.merge.inputs import Selection
from gitxexp.workflows.merge.merge import Conflicted, Merged, MergeRequest

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


_OPTIONS = (
    click.argument("sources", nargs=-1, required=True, metavar="SOURCE..."),
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
                 help="Merge plain files into FILE."),
    click.option("--only", multiple=True, metavar="WHAT",
                 help="What to merge: results, data, models, a path or a glob (repeatable)."),
    click.option("--models", is_flag=True, help="Lay the sources' models beside, as candidates."),
    click.option("--key", multiple=True, metavar="COLS",
                 help="Key columns, with commas, of tables that have no key."),
    click.option("--table", "tables", multiple=True, metavar="NAME", help="Only these tables."),
    click.option("--on-conflict", type=click.Choice([str(c) for c in OnConflict]), default="fail",
                 show_default=True, help="One key, two values: stop, take a side, or keep both rows."),
    click.option("--no-fill", is_flag=True, help="Never fill a NULL cell of a matching key."),
    click.option("--renumber", is_flag=True, help="New numbers for clashing integer primary keys."),
    click.option("--rename", type=Rename(), multiple=True, metavar="OLD=NEW",
                 help="Merge the incoming column OLD as NEW."),
    click.option("--stringify", multiple=True, metavar="COL",
                 help="Let a column of mixed types become text."),
    click.option("--allow-lossy", is_flag=True, help="Accept a type promotion that changes values."),
    click.option("--memory", type=Size(), default="0",
                 help="What DuckDB may use before it spills to disk (1GB)."),
    click.option("--in-place", is_flag=True, help="Change the target in one transaction, no copy."),
    click.option("--engine", type=click.Choice([str(e) for e in Engine]), default="auto",
                 show_default=True, help="Who does the work; auto: SQLite for SQLite files, else DuckDB."),
    click.option("-n", "--dry-run", "--plan", "dry_run", is_flag=True,
                 help="Show what would be done."),
    click.option("--commit", is_flag=True, help="Commit the pointers and the registry."),
    message_option("The commit's message."),
)  # fmt: skip


def merge_options(function: F) -> F:
    """What ``merge`` and ``rebase`` both take."""
    for decorate in reversed((*_OPTIONS, no_wait_option, json_option)):
        function = decorate(function)
    return function


@click.command()
@merge_options
@click.option("--strategy", metavar="NAME", help="What happens to rows: merge, rebase or keep.")
def merge(**options: Any) -> None:
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
    undo takes it back.
    """
    run(options, Mode.MERGE)


def run(
    options: dict[str, Any], mode: Mode, confirm: Callable[[Merged], None] | None = None
) -> None:
    """Plan or merge as the options say, and show it; ``confirm`` sees the plan first."""
    act = _plain(options, mode) if options["output"] else _repository(options, mode)
    try:
        if options["dry_run"]:
            _show(act(False), options)
            return
        if confirm is not None:
            confirm(act(False))
        _show(act(True), options)
    except Conflicted as conflict:
        _show(conflict.merged, options)
        raise


def _plain(options: dict[str, Any], mode: Mode) -> Callable[[bool], Merged]:
    for name in ("only", "models", "commit", "message", "strategy"):
        if options.get(name):
            raise UsageError(f"--{name} is for artifacts of a repository, not for -o FILE")

    def act(write: bool) -> Merged:
        with progress.line("merging") as show:
            return merge_merge.files(
                options["sources"], options["output"], _merge_options(options, mode),
                Engine(options["engine"]), show, write=write,
            )  # fmt: skip

    return act


def _repository(options: dict[str, Any], mode: Mode) -> Callable[[bool], Merged]:
    try:
        project = open_project()
        project.require_set_up()
    except XexpError as error:
        if all(Path(name).exists() for name in options["sources"]):
            raise XexpError(
                error.message, f"{error.hint}\nor merge plain files: -o FILE"
            ) from error
        raise
    request = MergeRequest(
        sources=options["sources"],
        mode=mode,
        strategy=options.get("strategy"),
        selection=Selection(options["only"], options["models"]),
        options=_merge_options(options, mode),
        engine=Engine(options["engine"]),
        commit=options["commit"],
        message=options["message"],
    )

    def act(write: bool) -> Merged:
        with progress.line("merging") as show:
            if not write:
                return merge_merge.plan(project, request, show)
            return merge_merge.merge(project, request, show, wait=not options["no_wait"])

    return act


def _merge_options(options: dict[str, Any], mode: Mode) -> MergeOptions:
    return MergeOptions(
        mode=mode,
        key=_split(options["key"]),
        tables=options["tables"],
        fill=not options["no_fill"],
        on_conflict=OnConflict(options["on_conflict"]),
        renumber=options["renumber"],
        rename=dict(options["rename"]),
        stringify=_split(options["stringify"]),
        allow_lossy=options["allow_lossy"],
        memory=options["memory"],
        in_place=options["in_place"],
    )


def _split(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _show(merged: Merged, options: dict[str, Any]) -> None:
    if options["as_json"]:
        console.out(console.as_json(merges.facts(merged)))
        return
    conflicting = any(a.report.conflicts for a in merged.artifacts)
    asked = conflicting or options["dry_run"]
    text = merges.merged(merged)
    if text:
        (console.out if asked else console.done)(text)
    for note in merged.notes:
        console.say(f"note: {note}")
    if merged.commit:
        console.done(f"committed {merged.commit[:10]}")
    elif merged.advice and not options["dry_run"]:
        hints.hint(f"next: {merged.advice}")
    if merged.artifacts and not merged.changed and not conflicting:
        console.remark("nothing to merge: every row is here already")
        hints.hint()
