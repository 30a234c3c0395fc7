"""The worktrees of a repository, with our notes on those that we created.

The note is a file in git's own entry for the worktree (``worktrees/<id>/xexp.json`` in the common
dir), so it follows ``git worktree move`` and ends with the worktree.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.places import is_dvc_repo
from gitxexp.workflows.worktrees.git_entry import admins_of, real_path

NOTE = "xexp.json"

WORKTREE, EXPLORE = "worktree", "explore"


@dataclass(frozen=True)
class Note:
    """Our note on a worktree that we created."""

    name: str
    kind: str  #: "worktree", or "explore" for a disposable one
    commit: str  #: where it began
    made_branch: bool = False
    link: str = ""  #: the link type of most files
    exclude: str | None = None  #: its line in info/exclude if it is inside the repository
    site: tuple[str, ...] = ()  #: DVC's site cache folders


@dataclass(frozen=True)
class Worktree:
    """One worktree. ``note`` is None for the main one and those not created by us."""

    path: Path
    branch: str | None
    commit: str | None
    main: bool = False
    bare: bool = False
    locked: str | None = None  #: the reason, "" without one
    gone: bool = False  #: its folder does not exist
    admin: Path | None = None
    note: Note | None = field(default=None)

    @property
    def name(self) -> str:
        """The name it was made with, else its folder's."""
        return self.note.name if self.note else self.path.name


def list_worktrees(project: Project) -> list[Worktree]:
    """Every worktree of the repository, the main one first."""
    worktrees = []
    admins = admins_of(project.places.common_dir)
    for number, item in enumerate(project.worktrees()):
        path = Path(item["worktree"])
        admin = admins.get(real_path(path)) if number else None
        worktrees.append(
            Worktree(
                path=path,
                branch=item["branch"].removeprefix("refs/heads/") if "branch" in item else None,
                commit=item.get("HEAD") if set(item.get("HEAD", "0")) != {"0"} else None,
                main=number == 0,
                bare="bare" in item,
                locked=item.get("locked"),
                gone=not path.exists(),
                admin=admin,
                note=_read(admin / NOTE) if admin else None,
            )
        )
    return worktrees


def list_explored(project: Project) -> list[Worktree]:
    """Every disposable worktree that ``checkout`` made (by its note, not by its name)."""
    return [tree for tree in list_worktrees(project) if tree.note and tree.note.kind == EXPLORE]


def _read(path: Path) -> Note | None:
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return Note(**{**data, "site": tuple(data.get("site", ()))})
    except (OSError, ValueError, TypeError):
        return None


def write(admin: Path, note: Note) -> None:
    """Keep the note of a worktree in its entry."""
    temporary = admin / f"{NOTE}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(note)), "utf-8")
    temporary.replace(admin / NOTE)


def find(project: Project, name: str, kind: str = WORKTREE) -> Worktree:
    """Return the worktree ``name``: one of ours by name, any one by path.

    Raises XexpError if there is none, or if a name matches a worktree that we did not create.
    """
    known = list_worktrees(project)
    ours = [
        tree for tree in known if tree.note and (tree.note.name, tree.note.kind) == (name, kind)
    ]
    if ours:
        return ours[0]
    given = os.path.realpath(name)
    by_path = [tree for tree in known if os.path.realpath(tree.path) == given]
    if by_path and (os.sep in name or name in (".", "..")):
        return by_path[0]
    foreign = [tree for tree in known if name in (tree.path.name, tree.branch)]
    note = foreign[0].note if foreign else None
    if note is not None and note.kind == kind:
        raise XexpError(f"'{name}' belongs to worktree {note.name}", f"name it {note.name}")
    if foreign:
        raise XexpError(
            f"worktree {name} was not made by git xexp worktree new {name}",
            f"name it by its path: {foreign[0].path}",
        )
    names = [tree.name for tree in known if tree.note and tree.note.kind == kind]
    rest = f"there are: {', '.join(names)}" if names else "git xexp worktree list"
    raise XexpError(f"there is no worktree {name}", suggestion(name, names, rest))


def home_of(project: Project, root: str, others: Iterable[Path] = ()) -> Path | None:
    """The DVC project at ``root`` (from the top) whose cache and credentials are shared.

    The main worktree's; if that has none (bare, or on a branch without DVC) this worktree's, then
    any other's. None if none has one.
    """
    own = [project.places.top] if project.places.top else []
    for top in (project.main_top, *own, *others):
        if is_dvc_repo(top / root):
            return top / root
    return None
