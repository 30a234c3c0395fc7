"""``git xexp undo``."""

from __future__ import annotations

import click

from gitxexp import operations, progress, render
from gitxexp.commands.log import facts
from gitxexp.oplog import Operation
from gitxexp.options import json_option, no_wait_option, open_project


@click.command()
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@click.option("--force", is_flag=True, help="Also what was pushed or has later work on it.")
@no_wait_option
@json_option
def undo(count: int, force: bool, no_wait: bool, as_json: bool) -> None:
    """Take the last N operations back (one by default); your own files stay as they are."""
    project = open_project()
    done: list[Operation] = []
    try:
        with progress.line("undoing"):
            operations.undo(
                project, min(count, 2**31), force=force, wait=not no_wait, told=done.append
            )
    finally:  # the first ones stay undone where a later one is refused
        if not as_json:
            for operation in done:
                render.done(f"undone: {operation.verb} {operation.summary}".rstrip())
    if as_json:
        render.out(render.as_json([facts(operation) | {"status": "undone"} for operation in done]))
