"""``git xexp log``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column

if TYPE_CHECKING:
    from gitxexp.repository.operation import Operation


@click.command(cls=Command)
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@shared(json=True)
def log(limit: int | None, as_json: bool) -> None:
    """List the operations of this repository, newest first."""
    found = open_project().log.operations(limit=min(limit, 2**31) if limit else -1)
    if as_json:
        console.print_json([facts(operation) for operation in found])
        return
    if not found:
        console.remark("there are no operations in this repository yet")
        return
    started = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(o.started)) for o in found]
    columns = [
        Column("id", [str(o.id) for o in found], right=True),
        Column("when", started, optional=1),
        Column("operation", [o.verb for o in found]),
        Column("status", [o.status for o in found]),
        Column("what", [o.summary for o in found], flexible=True),
    ]
    console.page(console.table(columns))


def facts(operation: Operation) -> dict[str, Any]:
    """One operation for ``--json``."""
    names = ("id", "verb", "summary", "worktree", "started", "finished", "status")
    return {name: getattr(operation, name) for name in names}
