"""``git xexp undo``."""

from __future__ import annotations

import click

from gitxexp.cli import progress
from gitxexp.cli.commands.log import facts
from gitxexp.cli.options import json_option, no_wait_option, open_project
from gitxexp.cli.render import console
from gitxexp.repository import undo as repository_undo
from gitxexp.repository.operation import Operation


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
            repository_undo.undo_last(
                project, min(count, 2**31), force=force, wait=not no_wait, told=done.append
            )
    finally:  # the first ones stay undone where a later one is refused
        if not as_json:
            for operation in done:
                console.done(f"undone: {operation.verb} {operation.summary}".rstrip())
    if as_json:
        console.out(
            console.as_json([facts(operation) | {"status": "undone"} for operation in done])
        )
