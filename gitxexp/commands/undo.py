"""``git xexp undo``."""

from __future__ import annotations

import click

from gitxexp import operations, render
from gitxexp.options import no_wait_option, open_project


@click.command()
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@click.option("--force", is_flag=True, help="Also what was pushed or has later work on it.")
@no_wait_option
def undo(count: int, force: bool, no_wait: bool) -> None:
    """Take the last N operations back (one by default); your own files stay as they are."""
    project = open_project()
    for operation in operations.undo(project, count, force=force, wait=not no_wait):
        render.out(f"undone: {operation.verb} {operation.summary}".rstrip())
