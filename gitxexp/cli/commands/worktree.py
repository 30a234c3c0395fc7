"""``git xexp worktree``: new, list, remove, prune."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Group
from gitxexp.cli.options import LINKS, Label, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import FATAL, NoAnswer, UsageError, only_one


@click.group(cls=Group)
def worktree() -> None:
    """One experiment, one branch, one folder, with the data shared."""


@worktree.command()
@click.argument("name", type=Label())
@click.argument("rev", required=False)
@click.argument("more", nargs=-1, type=Label(), metavar="NAME...")
@click.option("--at", metavar="REV", help="Start from this version or commit (same as REV).")
@click.option("--path", type=click.Path(path_type=Path), help="Where to create it.")
@click.option("--branch", metavar="B", help="Branch to create, or to check out if it exists.")
@click.option("--link", type=click.Choice(LINKS), help="How data is placed (default: auto).")
@click.option("--no-fetch", is_flag=True, help="Do not fetch from the DVC remote.")
@click.option("--recurse-submodules", is_flag=True, help="Check out submodules, too.")
@click.option("--print-path", is_flag=True, help="Print only the path.")
@shared(no_wait=True, json=True)
def new(
    name: str,
    rev: str | None,
    more: tuple[str, ...],
    at: str | None,
    path: Path | None,
    branch: str | None,
    link: str | None,
    no_fetch: bool,
    recurse_submodules: bool,
    print_path: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Create ../exp-NAME on branch exp/NAME, starting from REV or HEAD.

    Large data is linked into the DVC cache. Everything that training writes (models, metrics,
    results, plots, outputs of stages) is a separate file, and so is data of up to 100 MB.

    Several names create several worktrees. Three or more arguments are all names; the second of two
    is a name unless it is a revision. To start several from a revision, use --at.
    """
    from gitxexp.cli.render import worktrees
    from gitxexp.workflows.worktrees.create import (
        CommitOutputs,
        WorktreeRequest,
        check,
        make,
        several,
    )

    project = open_project()
    names = (name, rev, *more) if rev and (more or several(project, rev)) else (name,)
    if len(names) == 1:
        only_one({rev or "REV": rev, f"--at {at}": at}, "give one place to start from")
    if len(names) > 1 and (path or branch):
        raise UsageError(
            "--path and --branch are of one worktree, and there are several names",
            "make them one after the other",
        )
    start = (rev if len(names) == 1 else None) or at or "HEAD"
    requests = [
        WorktreeRequest(
            each, start, path, branch, link, not no_fetch, submodules=recurse_submodules
        )
        for each in names
    ]
    finished = check(project, requests, wait=not no_wait)
    made, lacking = [], None
    known: dict[str, CommitOutputs] = {}
    for request, found in zip(requests, finished, strict=True):
        with progress.line(request.name) as show:
            made.append(found or make(project, request, show, wait=not no_wait, known=known))
        try:
            if not as_json:
                worktrees.show_made(made[-1], only_path=print_path)
        except NoAnswer as error:  # the others are made anyway
            lacking = error
    if as_json:
        worktrees.print_made(made)
    if lacking is not None:
        raise lacking


@worktree.command("list")
@click.option(
    "--porcelain", is_flag=True, help="Print lines for scripts; their form never changes."
)
@click.option("--remote", "ask_remote", is_flag=True, help="Also query non-local remotes.")
@shared(nul="End lines with NUL; implies --porcelain.", json=True)
def list_(porcelain: bool, ask_remote: bool, nul: bool, as_json: bool) -> None:
    """List the worktrees and what exists only there.

    Shows changed files, artifacts that are on no remote, results rows that the main worktree lacks,
    and the disk used beyond the shared cache. Only local remotes are asked unless --remote is
    given; what others have is shown as unknown (?).
    """
    from gitxexp.cli.render import worktrees
    from gitxexp.workflows.worktrees.overview import list_statuses

    with progress.line("reading") as show:
        rows = list_statuses(open_project(), show, ask_remote=ask_remote)
    worktrees.show_rows(rows, porcelain=porcelain, nul=nul, as_json=as_json)


@worktree.command()
@click.argument("name")
@click.option("--push", is_flag=True, help="Push artifacts, branch and tags first.")
@click.option("--force", is_flag=True, help="Remove even if the checklist fails.")
@shared(no_wait=True, json=True)
def remove(name: str, push: bool, force: bool, no_wait: bool, as_json: bool) -> None:
    """Remove a worktree, if nothing in it would be lost.

    NAME is the name it was created with, or the path of any worktree. git xexp undo restores it.
    """
    from gitxexp.cli.render import worktrees
    from gitxexp.workflows.worktrees import records, safety
    from gitxexp.workflows.worktrees import remove as removal

    project = open_project()
    tree = records.find(project, name)
    removal.check_removable(project, tree)
    with progress.line("pushing" if push else "checking") as show:
        if push and not tree.gone:
            removal.push(project, tree, show)
        checks = safety.checklist(project, tree, show)
    red = [check for check in checks if not check.ok]
    if not as_json and (red or not console.quiet()):
        worktrees.show_checks(checks)
    if red and not force:
        fixes = dict.fromkeys(check.fix for check in red if check.fix)
        hint = "\n".join([*fixes, f"or remove it anyway: git xexp worktree remove {name} --force"])
        if as_json:
            console.print_json(worktrees.removal(tree, checks, None))
        code = FATAL if any(check.unasked for check in red) else None
        raise NoAnswer(f"{tree.name} was not removed: something would be lost", hint, code)
    done = removal.remove(project, name, wait=not no_wait)
    if as_json:
        console.print_json(worktrees.removal(tree, checks, done))
        return
    branch = f" and branch {done.branch}" if done.branch else ""
    kept = f"; branch {done.kept_branch} stays" if done.kept_branch else ""
    console.done(
        f"removed {os.path.relpath(done.tree.path)}{branch}{kept} (git xexp undo restores it)"
    )


@worktree.command()
@shared(no_wait=True, json=True)
def prune(no_wait: bool, as_json: bool) -> None:
    """Forget the worktrees whose folder is gone."""
    from gitxexp.cli.render import worktrees
    from gitxexp.workflows.worktrees import remove as removal

    done = removal.prune(open_project(), wait=not no_wait)
    if as_json:
        console.print_json([worktrees.tree_object(tree) for tree in done])
        return
    if not done:
        console.remark("nothing to prune: every worktree's folder is there")
        hints.hint()
    for tree in done:
        console.done(f"pruned {tree.name}: {tree.path} is gone")
