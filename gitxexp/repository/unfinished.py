"""Unfinished git commands in a work tree: a merge, a rebase, a cherry-pick, a revert."""

from __future__ import annotations

from gitxexp.repository.repository import Project

#: The file or folder that git keeps meanwhile, and the git command that continues or ends it
#: (gitrepository-layout(5), git-rebase(1)).
_KEPT = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


def unfinished(project: Project) -> str | None:
    """Return the unfinished git command here, such as ``merge``."""
    folder = project.places.git_dir
    return next((verb for name, verb in _KEPT.items() if (folder / name).exists()), None)
