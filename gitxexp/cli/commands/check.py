"""``git xexp check --merge BASE``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.text import counted

if TYPE_CHECKING:
    from gitxexp.workflows.merge.check import MergeCheck


@click.command(cls=Command)
@click.option("--merge", "base", metavar="BASE", required=True,
              help="Look at the merges that HEAD has and BASE has not.")  # fmt: skip
@shared(json=True)
@click.pass_context
def check(ctx: click.Context, base: str, as_json: bool) -> None:
    """Say whether merges that were made without the merge driver dropped rows; exit 1 if so."""
    from gitxexp.workflows.merge.check import merges

    project = open_project()
    with progress.line("checking") as project.progress:
        found = merges(project, base)
    if as_json:
        console.print_json(found)
    else:
        _show(found, base)
    ctx.exit(1 if found.dropped or found.problems else 0)


def _show(found: MergeCheck, base: str) -> None:
    from gitxexp.cli.render import rows

    for item in found.dropped:
        count = len(item.rows)
        what = f"{counted(count, 'row')} of {item.table} in {item.path}"
        console.out(f"{item.commit[:10]} ({item.subject}) dropped {what}")
        for change in item.rows[: rows.MOST]:
            console.out(f"  {rows.row(change)}")
        if count > rows.MOST:
            console.out(f"  and {count - rows.MOST} more")
    for problem in found.problems:
        console.say(f"warning: {problem}")
    if found.dropped:
        commit = found.dropped[0].commit[:10]
        hints.hint(f"bring them back: git xexp merge {commit}^1 {commit}^2 --commit")
    elif not found.problems:
        console.out(f"{counted(found.merges, 'merge')} since {base}: no row was dropped")
