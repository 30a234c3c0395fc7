"""``git xexp push``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import XexpError

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.tags import Experiment


@click.command(cls=Command)
@click.argument("versions", nargs=-1, metavar="[VERSION...]")
@click.option(
    "--all", "everything", is_flag=True, help="Push every experiment, including pushed ones."
)
@click.option("-r", "--remote", metavar="NAME", help="The DVC remote (default: DVC's default).")
@click.option("--git-remote", metavar="NAME", help="The git remote to push to.")
@click.option("--artifacts", is_flag=True, help="Push artifacts only, no branch and no tag.")
@click.option("--incomplete", is_flag=True, help="Push even if artifacts are missing.")
@shared(dry_run="Show what would be pushed.", json=True)
def push(
    versions: tuple[str, ...],
    everything: bool,
    remote: str | None,
    git_remote: str | None,
    artifacts: bool,
    incomplete: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push artifacts, then branches and tags, of the VERSIONs.

    By default of every experiment that is unpushed, and of the current branch. The DVC remote is
    listed in full before and after, so that what an interrupted push left out is repaired. Branches and
    tags go last and all at once.
    """
    from gitxexp.cli.render import pushes
    from gitxexp.workflows.artifacts import push

    project = open_project()
    chosen = [_experiment(project, name) for name in versions] if versions else None
    with progress.line("asking the remote"):
        plan = push.plan(project, chosen, git_remote=git_remote, everything=everything)
    if artifacts:
        plan = replace(plan, refs=(), clashing=())
    if dry_run:
        if as_json:
            console.print_json(pushes.plan_object(plan))
        else:
            console.out(*pushes.plan_text(plan))
        return
    with progress.line("pushing") as show:
        done = push.push(project, plan, remote=remote, incomplete=incomplete, progress=show)
    if as_json:
        console.print_json(pushes.as_object(done))
    elif not plan.clashing or done.refs:
        pushes.show(done, known=bool(project.experiments()))
    if plan.clashing:
        raise push.clash(plan)


def _experiment(project: Project, name: str) -> Experiment:
    from gitxexp.workflows.experiments.resolve import tagged

    if name in project.git.lines("remote"):
        raise XexpError(
            f"'{name}' is a remote, not a version", f"git xexp push --git-remote {name}"
        )
    return tagged(project, name)
