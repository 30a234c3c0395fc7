"""The safety checklist of ``worktree remove``: what would be lost, and the command that saves it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from gitxexp.dvcio import Progress
from gitxexp.errors import XexpError
from gitxexp.project import Project
from gitxexp.wording import some
from gitxexp.worktrees import state
from gitxexp.worktrees.known import Tree

_SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One line. ``ok`` is False for what refuses; ``fix`` is then the command that helps."""

    name: str
    ok: bool
    text: str
    fix: str | None = None


def checklist(project: Project, tree: Tree, progress: Progress | None = None) -> list[Check]:
    """Every check of the worktree, in the order in which one would put things right."""
    if tree.gone:
        return [Check("folder", True, "gone already")]
    return [
        *_locked(tree),
        _files(tree),
        _data(project, tree, progress),
        _tagged(project, tree),
        _commits(tree),
        _artifacts(project, tree),
        _results(project, tree),
    ]


def _at(tree: Tree, command: str) -> str:
    return f"git -C {shlex.quote(str(tree.path))} {command}"


def _locked(tree: Tree) -> Iterator[Check]:
    if tree.locked is not None:
        reason = f": {tree.locked}" if tree.locked else ""
        fix = f"git worktree unlock {shlex.quote(str(tree.path))}"
        yield Check("lock", False, f"the worktree is locked{reason}", fix)


def _files(tree: Tree) -> Check:
    changed = state.changed_files(tree)
    if not changed:
        return Check("files", True, "no uncommitted changes")
    fix = _at(tree, "add -A") + " && " + _at(tree, "commit")
    return Check("files", False, f"uncommitted changes: {some(changed, _SHOWN)}", fix)


def _data(project: Project, tree: Tree, progress: Progress | None) -> Check:
    try:
        changes = state.changed_data(project, tree, progress)
    except XexpError as error:
        return Check("data", False, f"cannot be compared: {error.message}", error.hint)
    if not changes:
        return Check("data", True, "every DVC output is as its pointer says")
    names = [f"{change.output.path} ({change.kind})" for change in changes]
    return Check(
        "data", False, f"DVC outputs not in the cache: {some(names, _SHOWN)}", _at(tree, "xexp tag")
    )


def _tagged(project: Project, tree: Tree) -> Check:
    found = state.experiments_of(project, tree)
    if found:
        return Check("tag", True, f"tagged {found[0].name}")
    if not state.since_start(tree):
        return Check("tag", True, "no commits of its own to tag")
    return Check("tag", False, "its commits are not tagged as an experiment", _at(tree, "xexp tag"))


def _commits(tree: Tree) -> Check:
    own = state.own_commits(tree)
    if not own:
        return Check("commits", True, "a tag or another branch holds every commit")
    things = "commit is" if len(own) == 1 else "commits are"
    return Check(
        "commits",
        False,
        f"{len(own)} {things} on no other branch and no tag",
        _at(tree, "xexp tag"),
    )


def _artifacts(project: Project, tree: Tree) -> Check:
    outputs = state.outputs_of(project, tree)
    try:
        lacking = state.unpushed(project, tree, outputs)
    except XexpError as error:
        return Check("artifacts", False, f"the remote cannot be asked: {error.message}", error.hint)
    if lacking:
        text = f"not on the remote: {some(list(dict.fromkeys(m.path for m in lacking)), _SHOWN)}"
        return Check("artifacts", False, text, f"git xexp worktree remove {tree.name} --push")
    if outputs and not state.with_remote(tree, outputs):
        return Check("artifacts", True, "no DVC remote is set; the cache keeps them")
    return Check("artifacts", True, "every artifact is on the remote" if outputs else "none")


def _results(project: Project, tree: Tree) -> Check:
    try:
        rows = state.unmerged_rows(project, tree)
    except XexpError as error:
        return Check("results", False, f"cannot be read: {error.message}", error.hint)
    if not rows:
        return Check("results", True, "the main worktree has every row")
    source = tree.branch or tree.name
    things = "row is" if rows == 1 else "rows are"
    main = shlex.quote(str(project.main_top))
    return Check(
        "results", False, f"{rows} {things} not in the main worktree's database",
        f"git -C {main} xexp merge {source}",
    )  # fmt: skip
