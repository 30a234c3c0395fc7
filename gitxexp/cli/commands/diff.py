"""``git xexp diff``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gitxexp.cli import progress
from gitxexp.cli.options import json_option, open_project
from gitxexp.cli.render import console, rows
from gitxexp.common.errors import UsageError
from gitxexp.workflows.merge import diff as merge_diff
from gitxexp.workflows.merge.diff import DiffRequest, FileDiff

_PATHS = "gitxexp.diff.paths"


class _WithPaths(click.Command):
    """A command that tells the arguments before ``--`` from those after it, as git does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_PATHS] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(cls=_WithPaths)
@click.argument("sides", nargs=-1, metavar="[A [B]] [-- PATH...]")
@click.option("--stat", is_flag=True, help="Counts only.")
@click.option(
    "--key", multiple=True, metavar="COLS", help="Pair rows by these columns, with commas."
)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Rows listed per table.")
@click.option(
    "--exit-code", is_flag=True, help="Exit 1 when there is a difference; -q says nothing else."
)
@json_option
@click.pass_context
def diff(ctx: click.Context, /, sides: tuple[str, ...], **options: Any) -> None:
    """Show the rows that differ between A and B (default: this work tree).

    A and B are versions, revisions, worktrees or files; data that DVC tracks is compared through
    its pointers. Without A it is HEAD.
    """
    paths = ctx.meta.get(_PATHS, ())
    sides = _range(sides)
    if len(sides) > 2:
        sides, paths = sides[:2], (*sides[2:], *paths)
    key = tuple(part.strip() for value in options["key"] for part in value.split(",") if part)
    request = DiffRequest(
        a=sides[0] if sides else "HEAD",
        b=sides[1] if len(sides) > 1 else None,
        paths=paths,
        key=key,
        limit=0 if options["stat"] else options["limit"],
    )
    found = _compared(request)
    if not console.quiet() or options["as_json"]:
        _show(found, options)
    ctx.exit(1 if found and (options["exit_code"] or console.quiet()) else 0)


def _range(sides: tuple[str, ...]) -> tuple[str, ...]:
    """``A..B`` as A and B, as git-diff(1) reads it."""
    path = bool(sides) and (sides[0].startswith(("./", "../", "/")) or Path(sides[0]).exists())
    if not sides or ".." not in sides[0] or path:
        return sides
    if "..." in sides[0]:
        raise UsageError("A...B is not understood", "A..B compares the two")
    before, _, after = sides[0].partition("..")
    return (before or "HEAD", after or "HEAD", *sides[1:])


def _compared(request: DiffRequest) -> list[FileDiff]:
    with progress.line("comparing") as show:
        found = merge_diff.of_files(request)
        if found is None:
            project = open_project()
            project.progress = show
            return list(merge_diff.differences(project, request))
    if request.paths:
        raise UsageError("two files have no paths in them", "name two versions, or leave -- out")
    return found


def _show(found: Sequence[FileDiff], options: dict[str, Any]) -> None:
    if options["as_json"]:
        console.out(console.as_json([rows.facts(item) for item in found]))
    elif options["stat"] and found:
        console.out(rows.stat(found))
    elif found:
        console.page("\n".join(line for item in found for line in rows.file(item)))
