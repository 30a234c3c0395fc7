"""``git xexp undo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.commands.log import facts
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console

if TYPE_CHECKING:
    from gitxexp.repository.operation import Operation


@click.command(cls=Command)
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@click.option("--force", is_flag=True, help="Undo even if it was pushed or built upon.")
@shared(no_wait=True, json=True)
def undo(count: int, force: bool, no_wait: bool, as_json: bool) -> None:
    """Take the last N operations back (one by default); your own files stay as they are."""
    from gitxexp.repository.undo import undo_last

    project = open_project()
    done: list[Operation] = []
    try:
        with progress.line("undoing"):
            undo_last(project, min(count, 2**31), force=force, wait=not no_wait, told=done.append)
    finally:  # the first ones stay undone where a later one is refused
        if not as_json:
            for operation in done:
                console.done(f"undone: {operation.verb} {operation.summary}".rstrip())
    if as_json:
        console.out(
            console.as_json([facts(operation) | {"status": "undone"} for operation in done])
        )
