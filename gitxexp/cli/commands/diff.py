"""``git xexp diff``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import Columns, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NO, UsageError

if TYPE_CHECKING:
    from gitxexp.workflows.merge.diff import DiffRequest, FileDiff

_PATHS = "gitxexp.diff.paths"


class _WithPaths(Command):
    """A command that tells the arguments before ``--`` from those after it, as git does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_PATHS] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(cls=_WithPaths)
@click.argument("sides", nargs=-1, metavar="[A [B]] [-- PATH...]")
@click.option("--stat", is_flag=True, help="Print only counts.")
@click.option("--key", type=Columns(), multiple=True, metavar="COLS",
              help="Pair rows by these columns (comma-separated).")  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="Number of rows listed per table."
)
@click.option(
    "--exit-code", is_flag=True, help="Exit with 1 if anything differs; -q prints nothing."
)
@shared(json=True)
@click.pass_context
def diff(
    ctx: click.Context,
    /,
    sides: tuple[str, ...],
    stat: bool,
    key: tuple[tuple[str, ...], ...],
    limit: int | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Show the rows that differ between A and B (default: this work tree).

    A and B are versions, revisions, worktrees or files; data that DVC tracks is compared through
    its pointers. Without A it is HEAD.
    """
    from gitxexp.cli.render import rows
    from gitxexp.workflows.merge.diff import DiffRequest

    paths = ctx.meta.get(_PATHS, ())
    sides = _range(sides)
    request = DiffRequest(
        a=sides[0] if sides else "HEAD",
        b=sides[1] if len(sides) > 1 else None,
        paths=(*sides[2:], *paths),
        key=tuple(name for names in key for name in names),
        limit=0 if stat else limit,
    )
    difference = _compared(request)
    if as_json:
        console.print_json(difference)
    elif difference and not console.quiet():
        console.page(rows.stat(difference) if stat else rows.files(difference))
    elif not exit_code and len(sides) == 2 and sys.stderr.isatty():
        hints.hint(f"no row differs; parameters and code: git xexp explore diff {' '.join(sides)}")
    ctx.exit(NO if difference and (exit_code or console.quiet()) else 0)


def _range(sides: tuple[str, ...]) -> tuple[str, ...]:
    """``A..B`` as A and B, as git-diff(1) reads it."""
    path = bool(sides) and (sides[0].startswith(("./", "../", "/")) or Path(sides[0]).exists())
    if not sides or ".." not in sides[0] or path:
        return sides
    if "..." in sides[0]:
        raise UsageError("A...B is not supported", "A..B compares the two")
    before, _, after = sides[0].partition("..")
    return (before or "HEAD", after or "HEAD", *sides[1:])


def _compared(request: DiffRequest) -> list[FileDiff]:
    from gitxexp.workflows.merge.diff import differences, of_files

    with progress.line("comparing") as show:
        found = of_files(request)
        if found is None:
            project = open_project()
            project.progress = show
            return list(differences(project, request))
    if request.paths:
        raise UsageError(
            "a comparison of two files takes no paths", "name two versions, or omit --"
        )
    return found
