"""``worktree remove``, ``worktree prune`` and ``explore cleanup``.

A worktree is moved aside, not deleted, so that ``git xexp undo`` can restore everything; content
that is in the cache takes no additional disk space.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.files import database_kind
from gitxexp.repository.operation import Changed, Step, UndoContext, Undoing
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.undo import ELSEWHERE
from gitxexp.storage import git as storage_git
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc import remote as dvc_remote
from gitxexp.storage.dvc.changes import status
from gitxexp.storage.dvc.databases import own_copy
from gitxexp.storage.dvc.places import cache_dirs
from gitxexp.storage.dvc.share import site_cache
from gitxexp.storage.git import Git
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Progress, manifest, object_path
from gitxexp.workflows.worktrees import records, safety
from gitxexp.workflows.worktrees.git_entry import exclude, free_path
from gitxexp.workflows.worktrees.records import EXPLORE, Worktree


@dataclass(frozen=True)
class Removed:
    """What was removed. ``branch`` is set if it was deleted, ``kept_branch`` if it stays."""

    tree: Worktree
    branch: str | None
    kept_branch: str | None


def check_removable(project: Project, tree: Worktree) -> None:
    """Raise XexpError for the main worktree and the current one."""
    if tree.main:
        raise XexpError(
            "the main worktree cannot be removed", "name a linked one: git xexp worktree list"
        )
    here = Path(os.path.realpath("."))
    if not tree.gone and here.is_relative_to(os.path.realpath(tree.path)):
        raise XexpError(
            f"you are in {tree.path}",
            f"change into the main worktree first: cd '{project.main_top}'",
        )


def push(project: Project, tree: Worktree, progress: Progress | None = None) -> None:
    """Send what the remotes lack: artifacts first, verified, then branch and tags atomically."""
    outputs = safety.with_remote(tree, safety.outputs_of(project, tree))
    if outputs:
        dvc_remote.push(tree.path, outputs, None, progress, [project.main_top])
    git = safety.git_at(tree)
    if git.lines("remote"):
        remote = storage_git.choose_remote(git, tree.branch, None, project.config.tag_remote)
        refs = [f"refs/tags/{e.name}" for e in safety.experiments_of(project, tree)]
        heads = [f"refs/heads/{tree.branch}"] if tree.branch else []
        GitWriter(git).push(remote, [*refs, *heads], progress)


def remove(
    project: Project, name: str, kind: str = records.WORKTREE, *, wait: bool = True
) -> Removed:
    """Remove the worktree without checks; the caller runs the checklist."""
    project.recover_first(wait=wait)
    verb = "worktree remove" if kind == records.WORKTREE else "explore cleanup"
    with project.operation(verb, wait=wait) as running:
        tree = records.find(project, name, kind)
        check_removable(project, tree)
        sites = _sites(tree)
        removed = _take(project, running, tree)
        running.summary.append(tree.name)
    for site in sites:
        shutil.rmtree(site, ignore_errors=True)
    return removed


def cleanup(
    project: Project, name: str | None, *, force: bool = False, wait: bool = True
) -> list[Worktree]:
    """Remove one disposable worktree, or all; returns them.

    If files were added or changed, nothing is removed and NoAnswer is raised, unless ``force``.
    """
    wanted = [records.find(project, name, EXPLORE)] if name else records.list_explored(project)
    for tree in wanted:
        if tree.note is None or tree.note.kind != EXPLORE:
            raise XexpError(
                f"{tree.path} was not made by git xexp explore checkout",
                f"git xexp worktree remove '{tree.path}'",
            )
        check_removable(project, tree)
        if not force:
            refuse_if_changed(project, tree)
    for tree in wanted:
        remove(project, tree.name, EXPLORE, wait=wait)
    return wanted


def prune(project: Project, *, wait: bool = True) -> list[Worktree]:
    """Forget the worktrees whose folder is gone; locked ones stay (their disk may be elsewhere)."""

    project.recover_first(wait=wait)

    def gone() -> list[Worktree]:
        worktrees = records.list_worktrees(project)
        return [tree for tree in worktrees if tree.gone and tree.locked is None and not tree.main]

    if not gone():
        return []
    with project.operation("worktree prune", wait=wait) as running:
        worktrees = gone()
        for tree in worktrees:
            _take(project, running, tree)
        running.summary.append(", ".join(tree.name for tree in worktrees))
    for tree in worktrees:
        for site in tree.note.site if tree.note else ():
            shutil.rmtree(site, ignore_errors=True)
    return worktrees


def _take(project: Project, running: Running, tree: Worktree) -> Removed:
    """Record, then move the entry, the folder, and last the branch."""
    if tree.admin is None:
        raise XexpError(f"git has no entry for {tree.path}", "git worktree repair")
    delete = _branch_to_delete(project, tree)
    kept = None if tree.gone else _place_for(running, tree)
    running.keep.mkdir(parents=True, exist_ok=True)
    count = len(list(running.keep.glob("admin*")))
    kept_admin = running.keep / f"admin{count}"
    thin = [] if kept is None else _thinnable(project, tree)
    running.record(
        WorktreeRemoved(
            path=str(tree.path),
            tree=None if kept is None else str(kept),
            admin=str(tree.admin),
            kept_admin=str(kept_admin),
            branch=delete,
            commit=tree.commit,
            thinned=[name for name, _ in thin],
            exclude=tree.note.exclude if tree.note else None,
        )
    )
    tree.admin.rename(kept_admin)  # first: git prunes entries without a folder
    if kept is not None:
        tree.path.rename(kept)
        _thin(kept, thin)
    with suppress(OSError):
        tree.admin.parent.rmdir()
    if delete:
        git = Git(project.places.common_dir, foreign=True)
        git.raw("update-ref", "-d", f"refs/heads/{delete}", str(tree.commit))
    exclude(project, tree.note.exclude if tree.note else None, present=False)
    return Removed(tree, delete, None if delete else tree.branch)


def _place_for(running: Running, tree: Worktree) -> Path:
    """Return where the folder is kept: with the backups, or next to itself on another file system."""
    running.keep.mkdir(parents=True, exist_ok=True)
    if tree.path.stat().st_dev == running.keep.stat().st_dev:
        return running.keep / "tree"
    place = tree.path.with_name(f".{tree.path.name}.removed-{running.id}")
    with (running.keep / ELSEWHERE).open("ab") as file:
        file.write(os.fsencode(place) + b"\0")
    return place


def _branch_to_delete(project: Project, tree: Worktree) -> str | None:
    """The branch, if we created it and its commit is tagged."""
    if not (tree.branch and tree.commit and tree.note and tree.note.made_branch):
        return None
    git = Git(project.places.common_dir, foreign=True)
    if git.resolve(f"refs/heads/{tree.branch}") != tree.commit:
        return None
    tags = git.lines("for-each-ref", "--contains", tree.commit, "--count=1", "refs/tags")
    return tree.branch if tags else None


def _sites(tree: Worktree) -> Sequence[Path]:
    """DVC's site cache folders of the worktree."""
    if tree.note and tree.note.site:
        return [Path(site) for site in tree.note.site]
    if tree.gone or not (tree.path / ".dvc" / "tmp" / "btime").exists():
        return []
    site = site_cache(tree.path)
    return [site] if site else []


def _thinnable(project: Project, tree: Worktree) -> list[tuple[str, Path]]:
    """Files of unchanged outputs that are real copies, each with its cache object.

    Databases are left alone: a process may still have one open.
    """
    try:
        outputs = pointers.outputs_in(tree.path, safety.git_at(tree))
        changes = status(tree.path, outputs, project.stat_cache, project.progress)
    except XexpError:
        return []
    touched = {change.output.path for change in changes}
    copies = []
    for out in outputs:
        if out.cached and out.oid and out.path not in touched:
            copies += [
                (name, obj)
                for name, obj in _objects(tree.path, out)
                if _is_copy(tree.path / name, obj)
            ]
    return copies


def _objects(top: Path, out: pointers.Output) -> list[tuple[str, Path]]:
    caches = cache_dirs(top / out.root)
    if not caches:
        return []
    if not out.is_dir:
        return [(out.path, object_path(caches[0], out.oid or "", out.legacy))]
    return [
        (
            f"{out.path}/{entry.path}",
            object_path(caches[0], (entry.hash or "")[4:], out.legacy),
        )
        for entry in manifest(out, caches) or ()
    ]


def _is_copy(file: Path, cached: Path) -> bool:
    try:
        info, kept = file.lstat(), cached.stat()
    except OSError:
        return False
    same = info.st_size == kept.st_size and info.st_dev == kept.st_dev
    small = info.st_size < 4096
    return (
        same
        and not small
        and info.st_nlink == 1
        and not file.is_symlink()
        and database_kind(file) not in ("sqlite", "duckdb")
    )


def _thin(kept: Path, files: list[tuple[str, Path]]) -> None:
    """Replace copies by hard links to the cache; one that cannot be replaced stays."""
    for name, cached in files:
        temporary = kept / f"{name}.{os.getpid()}.tmp"
        with suppress(OSError):
            os.link(cached, temporary)
            temporary.replace(kept / name)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def changed_in(project: Project, tree: Worktree) -> list[str]:
    """Files added or changed in a disposable worktree, tracked by git, by DVC or untracked."""
    names = safety.changed_files(tree)
    return names + [change.output.path for change in safety.changed_data(project, tree)]


def refuse_if_changed(project: Project, tree: Worktree) -> None:
    """Raise NoAnswer if something was added or changed in a disposable worktree."""
    changed = [] if tree.gone else changed_in(project, tree)
    if not changed:
        return
    names = ", ".join(changed[:5]) + (" …" if len(changed) > 5 else "")
    raise NoAnswer(
        f"{tree.path} has changes: {names}",
        f"copy out what you need, then: git xexp explore cleanup {tree.name} --force",
    )


# -- undo ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorktreeRemoved(Step):
    """The worktree at ``path``: its folder is kept as ``tree`` (None: it was gone), its entry
    ``admin`` below ``worktrees/`` as ``kept_admin``. ``branch`` is None unless the operation deletes
    it; ``thinned``: files that are links for the time being."""

    kind: ClassVar[str] = "removed"

    path: str
    tree: str | None
    admin: str
    kept_admin: str
    branch: str | None
    commit: str | None
    thinned: list[str]
    exclude: str | None

    def check(self, at: UndoContext) -> Changed | None:
        return None  # what is in its place now stays: restore next to it

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        """Restore folder, entry and branch.

        Both are prepared where they are kept and only then moved, so that this can be repeated.
        """
        kept_admin, admin = Path(self.kept_admin), Path(self.admin)
        tree, path = self.tree and Path(self.tree), Path(self.path)
        if not self._branch_back(at) and kept_admin.exists():
            (kept_admin / "HEAD").write_text(f"{self.commit}\n")
        if tree and tree.exists():
            _own_again(tree, self.thinned)
            _folder_back(at, tree, path, kept_admin, free_path(admin))
        elif kept_admin.exists():
            admin.parent.mkdir(exist_ok=True)
            kept_admin.rename(free_path(admin))
        if tree and not path.exists():
            at.notify(f"{path} was not kept; create it again: git worktree add '{path}'")
        exclude(at, self.exclude, present=True)

    def _branch_back(self, at: UndoContext) -> bool:
        """Recreate the deleted branch; False if its name is in use for other work."""
        if not self.branch:
            return True
        git, ref = Git(at.places.common_dir, foreign=True), f"refs/heads/{self.branch}"
        if git.resolve(ref) is None:
            git.raw("update-ref", "-m", "xexp: undo", ref, str(self.commit))
        return git.resolve(ref) == self.commit


def _folder_back(at: UndoContext, tree: Path, path: Path, kept_admin: Path, admin: Path) -> None:
    """Move entry and folder back, or next to their places if something else is there now.

    They name each other (gitrepository-layout(5), ``worktrees/<id>/gitdir``).
    """
    with suppress(OSError):
        path.rmdir()
    target = free_path(path)
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
        at.notify(f"{path} is in use: the worktree is back as {target}")


def _own_again(path: Path, thinned: list[str]) -> None:
    for name in thinned:
        with suppress(FileNotFoundError):
            own_copy(path / name)
