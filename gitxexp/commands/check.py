"""``git xexp check --merge BASE``."""

from __future__ import annotations

import click

from gitxexp import manners, progress, render
from gitxexp.merge import checking
from gitxexp.merge.checking import Checked
from gitxexp.options import json_option, open_project
from gitxexp.render import merges, rows
from gitxexp.wording import counted


@click.command()
@click.option("--merge", "base", metavar="BASE", required=True,
              help="Look at the merges that HEAD has and BASE has not.")  # fmt: skip
@json_option
@click.pass_context
def check(ctx: click.Context, base: str, as_json: bool) -> None:
    """Say whether merges that were made without the merge driver dropped rows; exit 1 if so."""
    project = open_project()
    with progress.line("checking") as project.progress:
        found = checking.merges(project, base)
    if as_json:
        render.out(render.as_json(merges.plain(found)))
    else:
        _show(found, base)
    ctx.exit(1 if found.dropped or found.problems else 0)


def _show(found: Checked, base: str) -> None:
    for item in found.dropped:
        count = len(item.rows)
        what = f"{counted(count, 'row')} of {item.table} in {item.path}"
        render.out(f"{item.commit[:10]} ({item.subject}) dropped {what}")
        for change in item.rows[: merges.MOST]:
            render.out(f"  {rows.row(change)}")
        if count > merges.MOST:
            render.out(f"  and {count - merges.MOST} more")
    for problem in found.problems:
        render.say(f"warning: {problem}")
    if found.dropped:
        commit = found.dropped[0].commit[:10]
        manners.hint(f"bring them back: git xexp merge {commit}^1 {commit}^2 --commit")
    elif not found.problems:
        render.out(f"{counted(found.merges, 'merge')} since {base}: no row was dropped")
