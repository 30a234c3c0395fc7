"""``prune --worktrees`` and ``--explore``: worktrees that are provably finished.

Finished means: created by this program, with its own experiment tagged, and without content that
exists nowhere else (the checklist of ``worktree remove``). A disposable one is finished if nothing
was changed. ``git xexp undo`` restores each.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.objects import Progress
from gitxexp.workflows.worktrees import records, safety
from gitxexp.workflows.worktrees import remove as worktrees_remove
from gitxexp.workflows.worktrees.records import EXPLORE, WORKTREE, Worktree


@dataclass(frozen=True)
class FinishedCheck:
    """One worktree: whether it is finished, and why or why not."""

    tree: Worktree
    kind: str  #: "worktree" or "explore"
    finished: bool
    why: str


def check_finished(
    project: Project, kinds: Sequence[str], progress: Progress | None = None
) -> list[FinishedCheck]:
    """Every worktree of these kinds that this program made; changes nothing."""
    checks = []
    for tree in records.list_worktrees(project):
        if tree.note is not None and tree.note.kind in kinds and not tree.main:
            why, finished = _judge(project, tree, progress)
            checks.append(FinishedCheck(tree, tree.note.kind, finished, why))
    return checks


def _judge(project: Project, tree: Worktree, progress: Progress | None) -> tuple[str, bool]:
    try:
        worktrees_remove.check_removable(project, tree)
        if tree.locked is not None:
            return "it is locked", False
        if tree.gone:
            return "its folder is gone", True
        if tree.note is not None and tree.note.kind == EXPLORE:
            changed = worktrees_remove.changed_in(project, tree)
            return (f"{changed[0]} was changed", False) if changed else ("nothing changed", True)
        return _finished(project, tree, progress)
    except XexpError as error:
        return error.message, False


def _finished(project: Project, tree: Worktree, progress: Progress | None) -> tuple[str, bool]:
    red = [check for check in safety.checklist(project, tree, progress) if not check.ok]
    if red:
        return red[0].text, False
    own = safety.since_start(tree)
    tagged = [e for e in safety.experiments_of(project, tree) if e.commit in own]
    if not tagged:
        return "nothing was tagged in it yet", False
    return f"{tagged[0].name} is tagged, merged and safe", True


def remove(
    project: Project, going: Sequence[FinishedCheck], *, wait: bool = True
) -> list[FinishedCheck]:
    """Remove these worktrees, each checked again first; return those removed."""
    gone = []
    for check in going:
        tree = check.tree
        if tree.gone:
            worktrees_remove.prune(project, wait=wait)
        elif _judge(project, tree, None)[1]:
            worktrees_remove.remove(project, tree.name, check.kind, wait=wait)
        else:
            continue
        gone.append(check)
    return gone


__all__ = ["EXPLORE", "WORKTREE", "FinishedCheck", "check_finished", "remove"]
