"""Print worktrees: what was created, the list, the checklist of a removal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column, size
from gitxexp.common.errors import FATAL, NoAnswer
from gitxexp.common.text import counted
from gitxexp.workflows.worktrees.create import CreatedWorktree
from gitxexp.workflows.worktrees.overview import WorktreeStatus
from gitxexp.workflows.worktrees.records import Worktree
from gitxexp.workflows.worktrees.remove import Removed
from gitxexp.workflows.worktrees.safety import SafetyCheck


def print_made(made: Sequence[CreatedWorktree]) -> None:
    """Print what was made as JSON, an array where it is several; raises as :func:`show_made`."""
    console.print_json(_made(made[0]) if len(made) == 1 else list(map(_made, made)))
    for each in made:
        _remark(each)


def show_made(made: CreatedWorktree, *, only_path: bool) -> None:
    """Print what was made; raises NoAnswer when outputs are missing."""
    plan, ready = made.plan, made.ready
    if only_path:
        console.out(str(plan.path))
    else:
        where = f"on branch {plan.branch}" if plan.branch else "detached"
        console.done(f"{console.paint(plan.path.name, 'yellow')} {where}, from {_start(made)}")
        console.done(_summary(made))
        console.done(f"cd {shlex.quote(os.path.relpath(plan.path))}")
        if {"hardlink", "symlink"} & set(ready.used):
            console.say(
                "note: large data files are links into the DVC cache: replace them, do not write into"
                " them (copies: --link copy, or [worktree] writable in .xexp/config.toml)"
            )
    _remark(made)


def _remark(made: CreatedWorktree) -> None:
    plan, ready = made.plan, made.ready
    console.notes(ready.notes)
    if ready.missing:
        for path in ready.missing:
            console.say(f"missing: {path}")
        first = "when it answers" if ready.unasked else "git xexp push where they were made, then"
        raise NoAnswer(
            f"worktree created, but it lacks {counted(len(ready.missing), 'file')}",
            f"{first}: cd {shlex.quote(str(plan.path))} && dvc pull",
            FATAL if ready.unasked else None,
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


def _made(made: CreatedWorktree) -> dict[str, Any]:
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


def removal(tree: Worktree, checks: Sequence[SafetyCheck], done: Removed | None) -> dict[str, Any]:
    """``worktree remove --json``; ``done`` is None where the checklist said no."""
    return {
        "name": tree.name,
        "path": str(tree.path),
        "removed": done is not None,
        "branch": done and done.branch,
        "kept_branch": done and done.kept_branch,
        "checks": [asdict(check) for check in checks],
    }


def tree_object(tree: Worktree) -> dict[str, Any]:
    """A removed worktree, for ``--json``."""
    return {"name": tree.name, "path": str(tree.path)}


def show_checks(checks: Sequence[SafetyCheck]) -> None:
    """The checklist, red lines marked."""
    width = max((len(check.name) for check in checks), default=0) + 1
    for check in checks:
        mark = console.paint("ok", "green") if check.ok else console.paint("NO", "red")
        console.out(f"{mark}  {check.name:<{width}}{check.text}")


def show_rows(rows: Sequence[WorktreeStatus], *, porcelain: bool, nul: bool, as_json: bool) -> None:
    """The list in one of its three forms."""
    console.notes(note for row in rows for note in row.notes)
    if as_json:
        console.print_json([_row_facts(row) for row in rows])
    elif nul:
        console.names(line for row in rows for line in _porcelain(row))
    elif porcelain:
        for line in (line for row in rows for line in _porcelain(row)):
            console.out(line)
    else:
        console.out(*console.table(_columns(rows)))


def _porcelain(row: WorktreeStatus) -> Iterator[str]:
    """``key value`` for each fact, then an empty line."""
    for key, value in _row_facts(row).items():
        shown = "-" if value is None else ("no", "yes")[value] if isinstance(value, bool) else value
        yield f"{key} {shown}"
    yield ""


def _row_facts(row: WorktreeStatus) -> dict[str, Any]:
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


def _columns(rows: Sequence[WorktreeStatus]) -> list[Column]:
    def number(value: int | None) -> str:
        return "?" if value is None else f"{value:,}"

    def state(row: WorktreeStatus) -> str:
        if row.gone:
            return "gone"
        return "clean" if row.changed == 0 else f"{number(row.changed)} changed"

    return [
        Column("name", [row.name for row in rows], flexible=True),
        Column("branch", [row.branch or "(detached)" for row in rows], flexible=True),
        Column("commit", [(row.commit or "")[:7] for row in rows], optional=1),
        Column("experiment", [row.experiment or "" for row in rows]),
        Column("state", [state(row) for row in rows]),
        Column("unpushed", [number(row.unpushed) for row in rows], right=True),
        Column("unmerged", [number(row.unmerged) for row in rows], right=True),
        Column("disk", [size(row.disk) for row in rows], right=True),
        Column("path", [os.path.relpath(row.path) for row in rows], flexible=True, optional=2),
    ]
