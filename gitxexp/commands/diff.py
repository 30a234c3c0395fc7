"""``git xexp diff``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from gitxexp import render
from gitxexp.errors import UsageError
from gitxexp.merge import differences
from gitxexp.merge.differences import FileDiff, Request
from gitxexp.options import json_option, open_project
from gitxexp.render import rows

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
@click.argument("sides", nargs=-1, metavar="A [B] [-- PATH...]")
@click.option("--stat", is_flag=True, help="Counts only.")
@click.option("--key", multiple=True, metavar="COLS", help="Pair rows by these columns.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Rows listed per table.")
@click.option("--exit-code", is_flag=True, help="Exit 1 when there is a difference.")
@json_option
@click.pass_context
def diff(ctx: click.Context, /, sides: tuple[str, ...], **options: Any) -> None:
    """Show the rows that differ between A and B (default: this work tree).

    A and B are versions, revisions, worktrees or files; data that DVC tracks is compared through
    its pointers. Without A it is HEAD.
    """
    paths = ctx.meta.get(_PATHS, ())
    if len(sides) > 2:
        sides, paths = sides[:2], (*sides[2:], *paths)
    key = tuple(part.strip() for value in options["key"] for part in value.split(",") if part)
    request = Request(
        a=sides[0] if sides else "HEAD",
        b=sides[1] if len(sides) > 1 else None,
        paths=paths,
        key=key,
        limit=0 if options["stat"] else options["limit"],
    )
    found = differences.of_files(request)
    if found is not None and paths:
        raise UsageError("two files have no paths in them", "name two versions, or leave -- out")
    results = found if found is not None else differences.differences(open_project(), request)
    differs = _show(results, options)
    ctx.exit(1 if differs and options["exit_code"] else 0)


def _show(found: Iterable[FileDiff], options: dict[str, Any]) -> bool:
    """Show each file as soon as it is compared; whether there was any."""
    if options["as_json"] or options["stat"]:
        listed = list(found)
        if options["as_json"]:
            render.out(render.as_json([rows.facts(item) for item in listed]))
        elif listed:
            render.out(rows.stat(listed))
        return bool(listed)
    lines = [line for item in found for line in rows.file(item)]
    if lines:
        render.page("\n".join(lines))
    return bool(lines)
