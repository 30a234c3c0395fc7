"""How a made worktree and a removed one are taken back; see :mod:`gitxexp.repository.undo` for the rules.

============  =====================================================================================
kind          data
============  =====================================================================================
``worktree``  path, branch (None: detached), made_branch, commit, parents (folders made on the way),
              exclude (line for ``info/exclude``, or None)
``removed``   path, tree (where its folder is kept; None: it was gone), admin (its entry below
              ``worktrees/``), kept_admin, branch (None unless the operation deletes it), commit,
              thinned (files that are links for the time being), exclude
============  =====================================================================================
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.errors import NoAnswer
from gitxexp.storage.git import Git

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project


#: Names, in a folder of backups, a folder that is kept on another file system.
ELSEWHERE = "elsewhere"


def admin_of(common_dir: Path, tree: Path) -> Path | None:
    """The entry below ``worktrees/`` of the git common dir that belongs to the folder ``tree``."""
    wanted = os.path.realpath(tree.parent) + f"/{tree.name}/.git"
    for pointer in sorted((common_dir / "worktrees").glob("*/gitdir")):
        with suppress(OSError):
            named = Path(os.fsdecode(pointer.read_bytes()).rstrip("\n"))
            here = os.path.realpath(named.parent.parent) + f"/{named.parent.name}/.git"
            if here == wanted:
                return pointer.parent
    return None


def exclude(project: Project, line: str | None, *, present: bool) -> None:
    """Have ``line`` in ``info/exclude`` of the repository, or not."""
    if line is None:
        return
    file = project.places.common_dir / "info" / "exclude"
    text = file.read_bytes() if file.exists() else b""
    lines = text.splitlines()
    wanted = os.fsencode(line)
    if (wanted in lines) == present:
        return
    lines = [*lines, wanted] if present else [other for other in lines if other != wanted]
    file.parent.mkdir(exist_ok=True)
    temporary = file.with_name(f"exclude.{os.getpid()}.tmp")
    temporary.write_bytes(b"".join(other + b"\n" for other in lines))
    temporary.replace(file)


# -- a worktree that was made ------------------------------------------------------------------


def unmake(project: Project, data: dict[str, Any], undoing: bool) -> None:
    """Folder, entry and branch gone again. On undo a changed folder is kept in the state folder."""
    path = Path(data["path"])
    admin = admin_of(project.places.common_dir, path)
    if undoing and admin and path.exists() and _work_in(path):
        kept = _free(project.state / "rescued" / path.name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, kept)
        project.notify(f"the worktree had changes: its folder is now {kept}")
    _clear(project.places.common_dir, path)
    if admin is not None:
        shutil.rmtree(admin, ignore_errors=True)
    for folder in data["parents"]:
        with suppress(OSError):
            Path(folder).rmdir()
    ref = f"refs/heads/{data['branch']}"
    git = Git(project.places.common_dir, foreign=True)
    if data["made_branch"] and git.resolve(ref) == data["commit"]:
        git.raw("update-ref", "-d", ref, data["commit"])
    exclude(project, data["exclude"], present=False)


def _clear(common_dir: Path, path: Path) -> None:
    """Delete a worktree's folder, its ``.git`` last; a folder that is not ours stays."""
    try:
        pointer = os.fsdecode((path / ".git").read_bytes())
    except OSError:
        with suppress(OSError):
            path.rmdir()
        return
    if not pointer.startswith(f"gitdir: {common_dir}/worktrees/"):
        return
    for entry in path.iterdir():
        if entry.name == ".git":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    (path / ".git").unlink()
    path.rmdir()


def _work_in(path: Path) -> bool:
    """Whether the folder has anything that git would not bring back."""
    return bool(Git(path, foreign=True).raw("status", "--porcelain", "-z", ok=(0, 128)))


def refuse_unmaking(project: Project, data: dict[str, Any]) -> None:
    """Raises NoAnswer when the worktree of an operation to be undone has work in it."""
    path = Path(data["path"])
    if Path(os.path.realpath(".")).is_relative_to(path):
        raise NoAnswer(f"you are in {path}", f"change into another folder: cd '{project.main_top}'")
    git = Git(project.places.common_dir, foreign=True)
    ref = f"refs/heads/{data['branch']}"
    if data["made_branch"] and git.resolve(ref) not in (None, data["commit"]):
        raise NoAnswer(
            f"branch {data['branch']} has commits of its own since the worktree was made",
            f"remove it with its safety checklist: git xexp worktree remove '{path}'",
        )
    if path.exists() and (_work_in(path) or _data_changed(project, path)):
        raise NoAnswer(
            f"{path} has changes", f"keep or drop them: git xexp worktree remove '{path}'"
        )


def _data_changed(project: Project, path: Path) -> bool:
    from gitxexp.storage.dvc import pointers
    from gitxexp.storage.dvc.changes import changed  # late: only undo of a worktree needs them

    outputs = pointers.outputs_in(path, Git(path, foreign=True))
    return bool(changed(path, outputs, project.stat_cache, project.progress))


# -- a worktree that was removed ---------------------------------------------------------------


def bring_back(project: Project, data: dict[str, Any], _undoing: bool) -> None:
    """Folder, entry and branch of a removed worktree as they were.

    Both are made right where they are kept and only then moved, so that this can be run again.
    """
    kept_admin, admin = Path(data["kept_admin"]), Path(data["admin"])
    tree, path = data["tree"] and Path(data["tree"]), Path(data["path"])
    if not _branch_back(project, data) and kept_admin.exists():
        (kept_admin / "HEAD").write_text(data["commit"] + "\n")
    if tree and tree.exists():
        _own_again(tree, data["thinned"])
        _folder_back(project, tree, path, kept_admin, _free(admin))
    elif kept_admin.exists():
        admin.parent.mkdir(exist_ok=True)
        kept_admin.rename(_free(admin))
    if tree and not path.exists():
        project.notify(f"{path} is not kept any more: git worktree add '{path}' makes it anew")
    exclude(project, data["exclude"], present=True)


def _branch_back(project: Project, data: dict[str, Any]) -> bool:
    """The deleted branch again; False when its name is in use for other work."""
    if not data["branch"]:
        return True
    git, ref = Git(project.places.common_dir, foreign=True), f"refs/heads/{data['branch']}"
    if git.resolve(ref) is None:
        git.raw("update-ref", "-m", "xexp: undo", ref, data["commit"])
    return bool(git.resolve(ref) == data["commit"])


def _folder_back(project: Project, tree: Path, path: Path, kept_admin: Path, admin: Path) -> None:
    """Move entry and folder back, or beside their places when something else is there now.

    They name each other (gitrepository-layout(5), ``worktrees/<id>/gitdir``).
    """
    with suppress(OSError):
        path.rmdir()
    target = _free(path)
    if kept_admin.exists():
        (tree / ".git").write_bytes(os.fsencode(f"gitdir: {admin}\n"))
        (kept_admin / "gitdir").write_bytes(os.fsencode(f"{target}/.git\n"))
        admin.parent.mkdir(exist_ok=True)
        kept_admin.rename(admin)
    else:
        pointer = os.fsdecode((tree / ".git").read_bytes()).removeprefix("gitdir: ").strip("\n")
        Path(pointer, "gitdir").write_bytes(os.fsencode(f"{target}/.git\n"))
    target.parent.mkdir(parents=True, exist_ok=True)
    tree.rename(target)
    if target != path:
        project.notify(f"{path} is in use: the worktree is back as {target}")


def _free(path: Path) -> Path:
    """``path``, or the first of ``path-undone``, ``path-undone2``, … that does not exist."""
    if not os.path.lexists(path):
        return path
    number = 1
    while os.path.lexists(
        found := path.with_name(f"{path.name}-undone{number if number > 1 else ''}")
    ):
        number += 1
    return found


def _own_again(path: Path, thinned: list[str]) -> None:
    from gitxexp.storage.dvc.databases import own_copy  # late: only the undo of a removal needs it

    for name in thinned:
        with suppress(FileNotFoundError):
            own_copy(path / name)


def drop_kept(folder: Path) -> None:
    """Delete an operation's backups, those on another file system too."""
    with suppress(OSError):
        for line in (folder / ELSEWHERE).read_bytes().split(b"\0"):
            if line:
                shutil.rmtree(os.fsdecode(line), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
