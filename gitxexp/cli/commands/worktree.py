"""``git xexp worktree``: new, list, remove, prune."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Group
from gitxexp.cli.options import Label, json_option, no_wait_option, nul_option, open_project
from gitxexp.cli.render import console
from gitxexp.cli.render.numbers import size
from gitxexp.common.errors import NoAnswer
from gitxexp.common.text import counted
from gitxexp.repository.config import LINKS
from gitxexp.workflows.worktrees import create, overview, records, safety
from gitxexp.workflows.worktrees import remove as worktrees_remove
from gitxexp.workflows.worktrees.create import CreatedWorktree, WorktreeRequest


@click.group(cls=Group)
def worktree() -> None:
    """One experiment, one branch, one folder, with the data shared."""


@worktree.command()
@click.argument("name", type=Label())
@click.option("--at", default="HEAD", metavar="REV", help="Start from this version or commit.")
@click.option("--path", type=click.Path(path_type=Path), help="Where to make it.")
@click.option("--branch", metavar="B", help="The branch's name; an existing one is checked out.")
@click.option("--link", type=click.Choice(LINKS), help="How data gets there (default: auto).")
@click.option("--no-fetch", is_flag=True, help="Fetch nothing from the DVC remote.")
@click.option("--print-path", is_flag=True, help="Print only the path.")
@no_wait_option
@json_option
def new(name: str, **options: Any) -> None:
    """Make ../exp-NAME on branch exp/NAME, ready to work in.

    Data and models are shared with the DVC cache without a copy where the file system can;
    databases, and what the configuration calls writable, are real copies.
    """
    request = WorktreeRequest(
        name, options["at"], options["path"], options["branch"], options["link"],
        not options["no_fetch"],
    )  # fmt: skip
    with progress.line(name) as show:
        made = create.create(open_project(), request, show, wait=not options["no_wait"])
    report(made, only_path=options["print_path"], as_json=options["as_json"])


def report(made: CreatedWorktree, *, only_path: bool, as_json: bool) -> None:
    """Print what was made; raises NoAnswer when outputs are missing."""
    plan, ready = made.plan, made.ready
    if as_json:
        console.out(console.as_json(_facts(made)))
    elif only_path:
        console.out(str(plan.path))
    else:
        where = f"on branch {plan.branch}" if plan.branch else "detached"
        console.done(f"{console.paint(plan.path.name, 'yellow')} {where}, from {_start(made)}")
        console.done(_summary(made))
        console.done(f"cd {shlex.quote(os.path.relpath(plan.path))}")
        if {"hardlink", "symlink"} & set(ready.used):
            console.say(
                "note: linked files are shared and read-only: replace them, do not write into them"
                " ([worktree] writable in .xexp/config.toml makes copies)"
            )
    for note in ready.notes:
        console.say(f"note: {note}")
    if ready.missing:
        for path in ready.missing:
            console.say(f"missing: {path}")
        raise NoAnswer(
            f"the worktree is there, but {len(ready.missing)} of its files are not",
            f"git xexp push where they were made, then: cd {shlex.quote(str(plan.path))} && dvc pull",
        )


def _start(made: CreatedWorktree) -> str:
    short = made.plan.commit[:7]
    return short if made.plan.at.startswith(short) else f"{made.plan.at} ({short})"


def _summary(made: CreatedWorktree) -> str:
    ready = made.ready
    if not ready.outputs:
        return "no data is tracked by DVC there"
    names = {"reflink": "reflinked", "hardlink": "hard links", "symlink": "symbolic links",
             "copy": "copied"}  # fmt: skip
    parts = [f"{count:,} {names[kind]}" for kind, count in ready.used.items()]
    fetched = f"; {ready.fetched:,} objects fetched" if ready.fetched else ""
    state = "incomplete" if ready.missing else "ready"
    return f"{counted(ready.outputs, 'output')} {state}: {', '.join(parts) or 'no files'}{fetched}"


def _facts(made: CreatedWorktree) -> dict[str, Any]:
    plan, ready = made.plan, made.ready
    return {
        "name": plan.name,
        "path": str(plan.path),
        "branch": plan.branch,
        "commit": plan.commit,
        "outputs": ready.outputs,
        "files": dict(ready.used),
        "bytes_copied": ready.copied,
        "fetched": ready.fetched,
        "missing": list(ready.missing),
        "notes": list(ready.notes),
    }


@worktree.command("list")
@click.option(
    "--porcelain", is_flag=True, help="Print lines for scripts; their form never changes."
)
@nul_option("End lines with NUL; implies --porcelain.")
@json_option
def list_(porcelain: bool, nul: bool, as_json: bool) -> None:
    """List the worktrees and what is only there.

    A changed file, an artifact that is on no remote, a results row that the main worktree does not
    have, and the disk used beyond the shared cache.
    """
    with progress.line("reading") as show:
        rows = overview.list_statuses(open_project(), show)
    show_rows(rows, porcelain=porcelain, nul=nul, as_json=as_json)


@worktree.command()
@click.argument("name")
@click.option("--push", is_flag=True, help="Push artifacts, branch and tags first.")
@click.option("--force", is_flag=True, help="Remove although the checklist says no.")
@no_wait_option
@json_option
def remove(name: str, push: bool, force: bool, no_wait: bool, as_json: bool) -> None:
    """Remove a worktree, if nothing in it would be lost.

    NAME is what it was made with, or the path of any worktree. git xexp undo brings it back.
    """
    project = open_project()
    tree = records.find(project, name)
    worktrees_remove.check_removable(project, tree)
    with progress.line("pushing" if push else "checking") as show:
        if push and not tree.gone:
            worktrees_remove.push(project, tree, show)
        checks = safety.checklist(project, tree, show)
    red = [check for check in checks if not check.ok]
    if not as_json and (red or not console.quiet()):
        show_checks(checks)
    if red and not force:
        fixes = dict.fromkeys(check.fix for check in red if check.fix)
        hint = "\n".join(
            [*fixes, f"or drop it all the same: git xexp worktree remove {name} --force"]
        )
        if as_json:
            console.out(console.as_json(_removal(tree, checks, None)))
        raise NoAnswer(f"{tree.name} was not removed: something would be lost", hint)
    done = worktrees_remove.remove(project, name, wait=not no_wait)
    if as_json:
        console.out(console.as_json(_removal(tree, checks, done)))
        return
    branch = f" and branch {done.branch}" if done.branch else ""
    kept = f"; branch {done.kept_branch} stays" if done.kept_branch else ""
    console.done(
        f"removed {os.path.relpath(done.tree.path)}{branch}{kept} (git xexp undo brings it back)"
    )


def _removal(
    tree: records.Worktree, checks: list[safety.Check], done: worktrees_remove.Removed | None
) -> dict[str, Any]:
    return {
        "name": tree.name,
        "path": str(tree.path),
        "removed": done is not None,
        "branch": done and done.branch,
        "kept_branch": done and done.kept_branch,
        "checks": [asdict(check) for check in checks],
    }


@worktree.command()
@no_wait_option
@json_option
def prune(no_wait: bool, as_json: bool) -> None:
    """Forget the worktrees whose folder is gone."""
    done = worktrees_remove.prune(open_project(), wait=not no_wait)
    if as_json:
        console.out(console.as_json([tree_facts(tree) for tree in done]))
        return
    if not done:
        console.remark("nothing to prune: every worktree's folder is there")
        hints.hint()
    for tree in done:
        console.done(f"pruned {tree.name}: {tree.path} is gone")


def tree_facts(tree: records.Worktree) -> dict[str, Any]:
    """A worktree that went, for ``--json``."""
    return {"name": tree.name, "path": str(tree.path)}


def show_checks(checks: list[safety.Check]) -> None:
    """The checklist, red lines marked."""
    for check in checks:
        mark = console.paint("ok", "green") if check.ok else console.paint("NO", "red")
        console.out(f"{mark}  {check.name:<10}{check.text}")


def show_rows(
    rows: list[overview.WorktreeStatus], *, porcelain: bool, nul: bool, as_json: bool
) -> None:
    """The list in one of its three forms."""
    for note in (note for row in rows for note in row.notes):
        console.say(f"note: {note}")
    if as_json:
        console.out(console.as_json([_row_facts(row) for row in rows]))
    elif nul:
        console.names(line for row in rows for line in _porcelain(row))
    elif porcelain:
        for line in (line for row in rows for line in _porcelain(row)):
            console.out(line)
    else:
        console.out(console.table(_columns(rows)))


def _porcelain(row: overview.WorktreeStatus) -> Iterator[str]:
    """``key value`` for each fact, then an empty line."""
    for key, value in _row_facts(row).items():
        shown = "-" if value is None else ("no", "yes")[value] if isinstance(value, bool) else value
        yield f"{key} {shown}"
    yield ""


def _row_facts(row: overview.WorktreeStatus) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "path": str(row.path),
        "branch": row.branch,
        "commit": row.commit,
        "experiment": row.experiment,
        "changed": row.changed,
        "unpushed": row.unpushed,
        "unmerged": row.unmerged,
        "disk": row.disk,
        "gone": row.gone,
        "locked": row.locked,
    }


def _columns(rows: list[overview.WorktreeStatus]) -> list[console.Column]:
    def number(value: int | None) -> str:
        return "?" if value is None else f"{value:,}"

    def state(row: overview.WorktreeStatus) -> str:
        if row.gone:
            return "gone"
        return "clean" if row.changed == 0 else f"{number(row.changed)} changed"

    return [
        console.Column("name", [row.name for row in rows], flexible=True),
        console.Column("branch", [row.branch or "(detached)" for row in rows], flexible=True),
        console.Column("commit", [(row.commit or "")[:7] for row in rows], optional=1),
        console.Column("experiment", [row.experiment or "" for row in rows]),
        console.Column("state", [state(row) for row in rows]),
        console.Column("unpushed", [number(row.unpushed) for row in rows], right=True),
        console.Column("unmerged", [number(row.unmerged) for row in rows], right=True),
        console.Column("disk", [size(row.disk) for row in rows], right=True),
        console.Column(
            "path", [os.path.relpath(row.path) for row in rows], flexible=True, optional=2
        ),
    ]
