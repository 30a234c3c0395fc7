"""``git xexp pull``."""

from __future__ import annotations

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import FATAL, NO


@click.command(cls=Command)
@click.argument("remote", required=False)
@click.argument("branch", required=False)
@click.option(
    "--rebase/--no-rebase", default=None, help="Rebase or merge (default: as git is configured)."
)
@click.option("--no-data", is_flag=True, help="Leave the outputs in the work tree as they are.")
@shared(json=True)
def pull(
    remote: str | None, branch: str | None, rebase: bool | None, no_data: bool, as_json: bool
) -> None:
    """Pull commits and experiments, and check out their outputs.

    Like git pull, from REMOTE and BRANCH or from what the current branch follows. The merge drivers
    are registered first where this clone has none. Outputs that were changed here stay as they are.
    """
    from gitxexp.cli.render import pulls
    from gitxexp.workflows.artifacts.pull import PullRequest, pull

    request = PullRequest(remote, branch, rebase, data=not no_data)
    with progress.line("pulling") as show:
        done = pull(open_project(), request, show)
    if as_json:
        console.out(console.as_json(pulls.as_object(done)))
    else:
        pulls.show(done)
    if done.missing:
        raise click.exceptions.Exit(FATAL if done.unasked else NO)
