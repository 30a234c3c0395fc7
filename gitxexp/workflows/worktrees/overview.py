"""``worktree list``: every worktree and what exists only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.objects import Progress
from gitxexp.workflows.worktrees import records, safety
from gitxexp.workflows.worktrees.records import Worktree


@dataclass(frozen=True)
class WorktreeStatus:
    """One worktree. None means unknown (the reason is in ``notes``).

    ``disk`` is in bytes, beyond the shared cache.
    """

    name: str
    kind: str  #: main, worktree, explore, or other (not created by us)
    path: Path
    branch: str | None
    commit: str | None
    experiment: str | None
    changed: int | None  #: files and DVC outputs
    unpushed: int | None  #: objects
    unmerged: int | None  #: rows
    disk: int | None
    gone: bool
    locked: bool
    notes: tuple[str, ...] = ()


def list_statuses(
    project: Project,
    progress: Progress | None = None,
    *,
    kind: str | None = None,
    ask_remote: bool = False,
) -> list[WorktreeStatus]:
    """Every worktree (or those of one ``kind``), the main one first. Only local remotes are
    checked, unless ``ask_remote``."""
    worktrees = [tree for tree in records.list_worktrees(project) if not tree.bare]
    wanted = [tree for tree in worktrees if kind is None or _kind(tree) == kind]
    return [_status(project, tree, progress, ask_remote) for tree in wanted]


def _kind(tree: Worktree) -> str:
    return "main" if tree.main else tree.note.kind if tree.note else "other"


def _status(
    project: Project, tree: Worktree, progress: Progress | None, ask_remote: bool
) -> WorktreeStatus:
    facts = _Questions(project, tree, progress, ask_remote)
    there = not tree.gone and tree.commit is not None
    experiment = safety.last_experiment(project, tree) if there else None
    return WorktreeStatus(
        name=tree.name,
        kind=_kind(tree),
        path=tree.path,
        branch=tree.branch,
        commit=tree.commit,
        experiment=experiment.name if experiment else None,
        changed=facts.ask(facts.changed) if there else None,
        unpushed=facts.ask(facts.unpushed) if there else None,
        unmerged=facts.ask(facts.unmerged) if there else None,
        disk=None if tree.gone else facts.ask(lambda: safety.disk_used(tree)),
        gone=tree.gone,
        locked=tree.locked is not None,
        notes=tuple(facts.notes),
    )


class _Questions:
    def __init__(
        self, project: Project, tree: Worktree, progress: Progress | None, ask_remote: bool
    ) -> None:
        self.project = project
        self.ask_remote = ask_remote
        self.tree = tree
        self.progress = progress
        self.notes: list[str] = []

    def ask(self, question: Any) -> int | None:
        """Return the result, or None with a note: one broken worktree must not abort the list."""
        try:
            number: int | None = question()
            return number
        except XexpError as error:
            self.notes.append(f"{self.tree.name}: {error.message}")
        except OSError as error:
            self.notes.append(f"{self.tree.name}: {error.strerror}: {error.filename}")
        return None

    def changed(self) -> int:
        data = safety.changed_data(self.project, self.tree, self.progress)
        return len(safety.changed_files(self.tree)) + len(data)

    def unpushed(self) -> int | None:
        outputs = safety.outputs_of(self.project, self.tree)
        if not (self.ask_remote or safety.on_folders(self.tree, outputs)):
            return None
        return len(safety.unpushed(self.project, self.tree, outputs))

    def unmerged(self) -> int:
        return safety.unmerged_rows(self.project, self.tree)
