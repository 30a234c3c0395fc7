"""``git xexp check --merge BASE``."""

from __future__ import annotations

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.options import json_option, open_project
from gitxexp.cli.render import console, merges, rows
from gitxexp.common.text import counted
from gitxexp.workflows.merge import check as merge_check
from gitxexp.workflows.merge.check import MergeCheck


@click.command()
@click.option("--merge", "base", metavar="BASE", required=True,
              help="Look at the merges that HEAD has and BASE has not.")  # fmt: skip
@json_option
@click.pass_context
def check(ctx: click.Context, base: str, as_json: bool) -> None:
    """Say whether merges that were made without the merge driver dropped rows; exit 1 if so."""
    project = open_project()
    with progress.line("checking") as project.progress:
        found = merge_check.merges(project, base)
    if as_json:
        console.out(console.as_json(merges.plain(found)))
    else:
        _show(found, base)
    ctx.exit(1 if found.dropped or found.problems else 0)


def _show(found: MergeCheck, base: str) -> None:
    for item in found.dropped:
        count = len(item.rows)
        what = f"{counted(count, 'row')} of {item.table} in {item.path}"
        console.out(f"{item.commit[:10]} ({item.subject}) dropped {what}")
        for change in item.rows[: merges.MOST]:
            console.out(f"  {rows.row(change)}")
        if count > merges.MOST:
            console.out(f"  and {count - merges.MOST} more")
    for problem in found.problems:
        console.say(f"warning: {problem}")
    if found.dropped:
        commit = found.dropped[0].commit[:10]
        hints.hint(f"bring them back: git xexp merge {commit}^1 {commit}^2 --commit")
    elif not found.problems:
        console.out(f"{counted(found.merges, 'merge')} since {base}: no row was dropped")
