"""``git xexp redo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.commands.undo import tell
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared

if TYPE_CHECKING:
    from gitxexp.repository.operation import Operation


@click.command(cls=Command)
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@shared(no_wait=True, json=True)
def redo(count: int, no_wait: bool, as_json: bool) -> None:
    """Redo the last N undone operations (default: one)."""
    from gitxexp.repository.undo import redo_last

    project = open_project()
    done: list[Operation] = []
    try:
        with progress.line("redoing"):
            redo_last(project, min(count, 2**31), wait=not no_wait, told=done.append)
    finally:
        tell(done, "done", as_json)
