"""``git xexp undo``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress, prompts
from gitxexp.cli.commands.log import facts
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer

if TYPE_CHECKING:
    from gitxexp.repository.operation import Operation


@click.command(cls=Command)
@click.argument("count", type=click.IntRange(min=1), default=1, metavar="[N]")
@click.option("--force", is_flag=True, help="Undo even if it was pushed or built upon.")
@shared(yes="Do not ask when a later command changed nothing.", no_wait=True, json=True)
def undo(count: int, force: bool, yes: bool, no_wait: bool, as_json: bool) -> None:
    """Undo the last N operations (default: one); your own files stay as they are."""
    from gitxexp.repository.undo import plan, undo_last

    project = open_project()
    planned = plan(project, min(count, 2**31), force=force)
    if planned.passed and not yes and prompts.can_ask():
        console.say(f"the last operation, {planned.passed[0].line}, changed nothing")
        yes = prompts.confirm(f"undo {planned.operations[0].line} before it?")
        if not yes:
            raise NoAnswer("nothing was undone")
    done: list[Operation] = []
    try:
        with progress.line("undoing"):
            undo_last(
                project, len(planned.operations), force=force, wait=not no_wait, passing=yes,
                told=done.append,
            )  # fmt: skip
    finally:  # the first ones stay undone where a later one is refused
        tell(done, "undone", as_json)
        for operation in planned.operations[len(done) :][:1]:
            console.remark(f"not undone: {_line(operation)}")


def tell(operations: list[Operation], status: str, as_json: bool) -> None:
    """Say what became of operations."""
    if as_json:
        console.print_json([facts(item) | {"status": status} for item in operations])
        return
    verb = "undone" if status == "undone" else "redone"
    for item in operations:
        console.done(f"{verb}: {_line(item)}")


def _line(operation: Operation) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(operation.started))
    return " ".join(filter(None, (operation.verb, operation.summary, f"({when})")))
