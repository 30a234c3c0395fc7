"""``git xexp explore checkout``, ``worktrees`` and ``cleanup``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import LINKS, open_project, shared
from gitxexp.cli.render import console


@click.command(cls=Command)
@click.argument("version")
@click.option("--path", type=click.Path(path_type=Path), help="Where to create it.")
@click.option("--link", type=click.Choice(LINKS), help="How data is placed (default: auto).")
@click.option("--no-fetch", is_flag=True, help="Do not fetch from the DVC remote.")
@click.option("--print-path", is_flag=True, help="Print only the path.")
@shared(no_wait=True, json=True)
def checkout(
    version: str, path: Path | None, link: str | None, no_fetch: bool, print_path: bool,
    no_wait: bool, as_json: bool,
) -> None:  # fmt: skip
    """Look at a past experiment in ../explore-VERSION, with its data.

    The worktree is detached and disposable: git xexp explore cleanup removes it.
    """
    from gitxexp.cli.render.worktrees import print_made, show_made
    from gitxexp.workflows.worktrees.create import ExistingWorktree, WorktreeRequest, checkout
    from gitxexp.workflows.worktrees.records import EXPLORE

    request = WorktreeRequest(version, version, path, None, link, not no_fetch, EXPLORE)
    with progress.line(version) as show:
        worktree = checkout(open_project(), request, show, wait=not no_wait)
    if not isinstance(worktree, ExistingWorktree):
        if as_json:
            print_made([worktree])
        else:
            show_made(worktree, only_path=print_path)
    elif as_json:
        console.print_json({"name": worktree.name, "path": str(worktree.path)})
    elif print_path:
        console.out(str(worktree.path))
    else:
        console.done(f"{worktree.path.name} already exists")
        console.done(f"cd {shlex.quote(os.path.relpath(worktree.path))}")


@click.command(cls=Command)
@click.option(
    "--porcelain", is_flag=True, help="Print lines for scripts; their form never changes."
)
@shared(nul="End lines with NUL; implies --porcelain.", json=True)
def worktrees(porcelain: bool, nul: bool, as_json: bool) -> None:
    """List the worktrees that explore checkout made."""
    from gitxexp.cli.render.worktrees import show_rows
    from gitxexp.workflows.worktrees.overview import list_statuses
    from gitxexp.workflows.worktrees.records import EXPLORE

    with progress.line("reading") as show:
        rows = list_statuses(open_project(), show, kind=EXPLORE)
    show_rows(rows, porcelain=porcelain, nul=nul, as_json=as_json)


@click.command(cls=Command)
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Remove even if files were added or changed.")
@shared(no_wait=True, json=True)
def cleanup(version: str | None, force: bool, no_wait: bool, as_json: bool) -> None:
    """Remove what explore checkout made: one version, or all.

    Refuses when files were added or changed. git xexp undo brings a worktree back.
    """
    from gitxexp.cli.render.worktrees import tree_object
    from gitxexp.workflows.worktrees.remove import cleanup

    with progress.line("checking") as show:
        project = open_project()
        project.progress = show
        done = cleanup(project, version, force=force, wait=not no_wait)
    if as_json:
        console.print_json([tree_object(tree) for tree in done])
        return
    if not done:
        console.remark("nothing to remove: explore checkout has left no worktree")
        hints.hint()
    for tree in done:
        console.done(f"removed {os.path.relpath(tree.path)}")
