"""``explore checkout`` and ``cleanup``: detached, disposable worktrees, built by the same code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.objects import Progress
from gitxexp.workflows.experiments.resolve import resolve
from gitxexp.workflows.worktrees import create, records, remove
from gitxexp.workflows.worktrees.create import Made, Wish
from gitxexp.workflows.worktrees.records import EXPLORE, Tree


@dataclass(frozen=True)
class Found:
    """A worktree that was there already."""

    name: str
    path: Path


def checkout(
    project: Project, wish: Wish, progress: Progress | None = None, *, wait: bool = True
) -> Made | Found:
    """``../explore-VERSION`` at what ``wish.at`` means; the one that is there already if it still is.

    An experiment found by its run or hash gives its version to the name. Raises XexpError when the
    worktree was moved to another commit.
    """
    found = resolve(project, wish.at)
    exact = found.exact and found.experiment
    name = exact.name if exact else wish.name
    for tree in explorers(project):
        if tree.name != name or tree.gone:
            continue
        if tree.commit != found.commit:
            raise XexpError(
                f"{tree.path} is there, at another commit", f"git xexp explore cleanup {tree.name}"
            )
        return Found(tree.name, tree.path)
    return create.create(project, replace(wish, name=name), progress, wait=wait)


def explorers(project: Project) -> list[Tree]:
    """Every disposable worktree that ``checkout`` made (by our note, not by its name)."""
    return [tree for tree in records.trees(project) if tree.note and tree.note.kind == EXPLORE]


def cleanup(
    project: Project, name: str | None, *, force: bool = False, wait: bool = True
) -> list[Tree]:
    """Remove one disposable worktree, or all; returns them.

    Nothing is removed, and NoAnswer raised, when files were added or changed, unless ``force``.
    """
    wanted = [records.find(project, name, EXPLORE)] if name else explorers(project)
    for tree in wanted:
        if tree.note is None or tree.note.kind != EXPLORE:
            raise XexpError(
                f"{tree.path} was not made by git xexp explore checkout",
                f"git xexp worktree remove '{tree.path}'",
            )
        remove.check_removable(project, tree)
        if not force:
            remove.refuse_if_changed(project, tree)
    for tree in wanted:
        remove.remove(project, tree.name, EXPLORE, wait=wait)
    return wanted
