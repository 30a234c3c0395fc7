"""``git xexp registry delete``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress, prompts
from gitxexp.cli.commands.registry.source import db_option
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.workflows.registry.delete import Deleted, DeletePlan


@click.command(cls=Command)
@click.argument("versions", nargs=-1, required=True, metavar="VERSION...")
@click.option(
    "--force", is_flag=True, help="Delete without asking, even if pushed or in production."
)
@click.option(
    "--remote", "from_remote", is_flag=True, help="Also delete the tags on the git remote."
)
@click.option("--git-remote", metavar="NAME", help="The git remote (default: the one pushed to).")
@click.option("--no-commit", is_flag=True, help="Do not commit the changed registry.")
@db_option
@shared(yes="Do not ask.", dry_run="Show what would be deleted.", no_wait=True, json=True)
def delete(
    versions: tuple[str, ...],
    force: bool,
    from_remote: bool,
    git_remote: str | None,
    no_commit: bool,
    db: Path | None,
    yes: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Delete experiments: their tags and their rows in the registry. `git xexp undo` restores them.

    Commits, results and cached files stay. Experiments that are in production or were pushed are
    refused without --force. A tag on the remote is deleted only if it is the same as the local one.
    """
    from gitxexp.workflows.registry import plain
    from gitxexp.workflows.registry.delete import delete, plan

    if db is not None:
        _sure(versions, force=force or yes)
        _show_names([*versions] if dry_run else plain.delete_in(db, versions), dry_run, as_json)
        return
    project = open_project()
    found = plain.only_configurations(project, versions)
    if found:
        _sure([one.name for one in found], force=force or yes or dry_run)
        names = [one.name for one in found]
        if not dry_run:
            plain.delete_configurations(project, found, commit=not no_commit, wait=not no_wait)
        _show_names(names, dry_run, as_json)
        return
    planned = plan(project, versions, remote=git_remote, from_remote=from_remote, force=force)
    if dry_run:
        _show_plan(planned, as_json=as_json)
        return
    if not (force or yes) and not planned.refusals:
        _ask(planned)
    with progress.line("deleting"):
        done = delete(
            project, planned, from_remote=from_remote, force=force, commit=not no_commit,
            wait=not no_wait,
        )  # fmt: skip
    if as_json:
        console.print_json(
            {
                "deleted": list(done.versions),
                "remote": done.remote,
                "commit": done.commit,
                "cached": [{"path": c.path, "hash": c.hash} for c in done.cached],
                "unreachable": list(done.unreachable),
            }
        )
        return
    _show(done)


def _sure(names: Sequence[str], *, force: bool) -> None:
    """A question before configurations are deleted; NoAnswer without a yes."""
    listed = ", ".join(names)
    if force:
        return
    if not prompts.can_ask():
        raise NoAnswer(f"{listed}: nothing was deleted", "delete without asking: --force")
    if not prompts.confirm(f"delete {listed}?"):
        raise NoAnswer("nothing was deleted")


def _show_names(names: Sequence[str], dry_run: bool, as_json: bool) -> None:
    if as_json and dry_run:
        console.print_json({"would_delete": [*names], "refused": []})
    elif as_json:
        console.print_json(
            {"deleted": [*names], "remote": None, "commit": None, "cached": [], "unreachable": []}
        )
    else:
        for name in names:
            console.done(f"{'would delete' if dry_run else 'deleted'}  {name}")


def _ask(planned: DeletePlan) -> None:
    names = ", ".join(entry.version for entry in planned.entries)
    if not prompts.can_ask():
        raise NoAnswer(f"{names}: nothing was deleted", "delete without asking: --force")
    for entry in planned.entries:
        console.say(f"{entry.version}  {entry.payload.headline}")
    if not prompts.confirm(f"delete {names}?"):
        raise NoAnswer("nothing was deleted")


def _show_plan(planned: DeletePlan, *, as_json: bool) -> None:
    if as_json:
        console.print_json(
            {
                "would_delete": [entry.version for entry in planned.entries],
                "refused": list(planned.refusals),
            }
        )
        return
    for entry in planned.entries:
        console.out(f"would delete  {entry.version}  {entry.payload.headline}")
    for sentence in planned.refusals:
        console.say(f"refused without --force: {sentence}")


def _show(done: Deleted) -> None:
    for version in done.versions:
        console.done(f"deleted  {version}")
    if done.remote:
        console.done(f"deleted on {done.remote} too")
    for one in done.cached:
        console.say(f"note: {one.path} of the experiment is now only in the DVC cache ({one.hash})")
    for commit in done.unreachable:
        console.say(f"note: commit {commit[:7]} is on no branch; git keeps it for some weeks")
