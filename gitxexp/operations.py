"""``undo``: take the last operations back, newest first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gitxexp import wayback
from gitxexp.errors import NoAnswer
from gitxexp.oplog import Operation, printable
from gitxexp.project import Project


def undo(
    project: Project,
    count: int,
    *,
    force: bool = False,
    wait: bool = True,
    told: Callable[[Operation], object] | None = None,
) -> list[Operation]:
    """Take back the last ``count`` finished operations; returns them.

    ``told`` is given each as soon as it is undone, for those before a failure stay undone. Raises
    NoAnswer when there are fewer, or when later work stands on one and not ``force``.
    """
    with project.locked(wait=wait):
        project.recover()
        found = project.log.operations("done", limit=count)
        if len(found) < count:
            what = f"only {len(found)} can be undone" if found else "there is nothing to undo"
            raise NoAnswer(what, "git xexp log lists the operations")
        _refuse_elsewhere(project, found)
        for operation in found:
            with wayback.uninterrupted():
                wayback.undo(project, operation, force=force)
            if told is not None:
                told(operation)
    return found


def _refuse_elsewhere(project: Project, operations: list[Operation]) -> None:
    """Raises NoAnswer for what ran in a folder that is no worktree of this repository now.

    The log has absolute paths, and a copy of a repository has the log: its steps would be taken
    back in the repository that it was copied from.
    """
    trees = [Path(tree["worktree"]) for tree in project.worktrees()]
    places = [*trees, project.places.common_dir, project.places.git_dir]
    here = {printable(path) for path in (*places, *map(Path.resolve, places))}
    for operation in operations:
        if operation.worktree not in here:
            raise NoAnswer(
                f"'{operation.verb}' ran in {operation.worktree}, which is no worktree of this repository",
                "what was done before a repository was moved or copied cannot be taken back in it",
            )
