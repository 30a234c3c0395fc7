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
    operations = open_project().log.operations(limit=min(limit, 2**31) if limit else -1)
    if as_json:
        console.print_json([facts(operation) for operation in operations])
        return
    if not operations:
        console.remark("there are no operations in this repository yet")
        return
    started = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(o.started)) for o in operations]
    columns = [
        Column("id", [str(o.id) for o in operations], right=True),
        Column("when", started, optional=1),
        Column("operation", [o.verb for o in operations]),
        Column("status", [o.status for o in operations]),
        Column("what", [o.summary for o in operations], flexible=True),
    ]
    console.page(console.table(columns))


def facts(operation: Operation) -> dict[str, Any]:
    """One operation for ``--json``."""
    names = ("id", "verb", "summary", "worktree", "started", "finished", "status")
    return {name: getattr(operation, name) for name in names}
