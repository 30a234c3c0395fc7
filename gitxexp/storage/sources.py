"""Where an object can come from, nearest first: caches, the remote, a temporary worktree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.processes import alive
from gitxexp.storage.dvc.places import has_own_remotes, is_dvc_repo, remote_name
from gitxexp.storage.dvc.pointers import File, Output
from gitxexp.storage.dvc.remote import fetch_objects
from gitxexp.storage.dvc.repair import WorkTreeFiles, restore_object
from gitxexp.storage.git import Git
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Objects, Progress, is_object, manifest, object_path


class Strategy(StrEnum):
    """How to get content that git does not store. ``auto`` tries the others in this order."""

    AUTO = "auto"
    CACHE = "cache"  #: this worktree's cache, then those of the others
    DVC = "dvc"  #: the remote, one object at a time
    WORKTREE = "worktree"  #: a temporary worktree and ``dvc pull`` in it


@dataclass(frozen=True, slots=True)
class Place:
    """One copy of an object: a file, and what to call where it lies."""

    file: Path
    name: str


@dataclass
class Stores:
    """The caches and remotes of one work tree that the strategy allows."""

    objects: Objects
    strategy: Strategy
    remote: str | None = None
    progress: Progress | None = None
    brought: set[str] = field(default_factory=set)  #: objects that came from a remote

    @property
    def top(self) -> Path:
        """The top of the work tree."""
        return self.objects.top

    def caches(self, root: str) -> Iterator[Path]:
        """Return the caches of one DVC project: this worktree's own, then those of the others."""
        return self.objects.near(root)

    @cached_property
    def work_trees(self) -> WorkTreeFiles:
        """Return the files of this work tree and of the others."""
        return WorkTreeFiles((self.top, *self.objects.trees))

    @property
    def cached(self) -> bool:
        """Whether caches may be used."""
        return self.strategy in (Strategy.AUTO, Strategy.CACHE)

    @property
    def remotes(self) -> bool:
        """Whether a remote may be used."""
        return self.strategy in (Strategy.AUTO, Strategy.DVC)

    def manifest(self, out: Output) -> tuple[File, ...] | None:
        """Return a directory's files, from a cache, else from the remote."""
        found = self.objects.manifest(out)
        if found is None and out.oid and self.strategy is Strategy.AUTO:
            home = self.objects.home(out.root)
            if restore_object(home, out.oid, self.work_trees, legacy=out.legacy):
                found = manifest(out, [home])
        if found is not None or not self.remotes or not out.oid or out.versioned:
            return found
        for own in self._configurations(out):
            folder = self._folder(out, own=own)
            if folder is None:
                with suppress(XexpError):
                    self._into_cache(out, [out.oid], own=own)
            found = manifest(out, [folder]) if folder else self.objects.manifest(out)
            if found is not None:
                return found
        return None

    def places(self, out: Output, oid: str) -> Iterator[Place]:
        """Yield copies of the object, nearest first. Asking for the next one means the last was
        corrupt."""
        if self.cached:
            home = self.objects.home(out.root)
            for cache in self.caches(out.root):
                file = object_path(cache, oid, out.legacy)
                if is_object(file):
                    yield Place(file, "cache" if cache == home else f"cache {cache}")
        if self.strategy is Strategy.AUTO:
            for file in self.work_trees.copies(oid):
                yield Place(file, "work tree")
        if not self.remotes:
            return
        problem: XexpError | None = None
        for own in self._configurations(out):
            name = self.remote_name(out, own=own)
            folder = self._folder(out, own=own)
            if folder is not None:
                file = object_path(folder, oid, out.legacy)
                if is_object(file):
                    yield Place(file, f"remote {name}")
            elif name is not None and not out.versioned:
                try:
                    fetched = self._into_cache(out, [oid], own=own)
                except XexpError as error:
                    problem = problem or error
                    continue
                if fetched is not None:
                    yield Place(fetched, f"remote {name}")
        if problem is not None:
            raise problem

    def remote_name(self, out: Output, *, own: bool = False) -> str | None:
        """Return the remote to ask for an output; ``own``: as named in a worktree's commit."""
        return remote_name(self.top / out.root, self.remote, pointer=out.remote, own=own)

    def remote_names(self, out: Output) -> list[str]:
        """Return every remote to ask for an output."""
        names = (self.remote_name(out, own=own) for own in self._configurations(out))
        return [name for name in names if name is not None]

    def _configurations(self, out: Output) -> tuple[bool, ...]:
        """Today's remotes, then those that a worktree's commit names (``own``)."""
        return (False, True) if has_own_remotes(self.top / out.root) else (False,)

    def _folder(self, out: Output, *, own: bool = False) -> Path | None:
        return self.objects.remote(out, self.remote, own=own)

    def prefetch(self, objects: Iterable[tuple[Output, str]]) -> None:
        """Fetch many objects from remotes that are not local directories into the cache at once.

        Fetches only what no cache has; failures surface when the object itself is requested.
        """
        if not self.remotes:
            return
        groups: dict[Output, list[str]] = {}
        for out, oid in objects:
            if out.versioned or self._folder(out) is not None:
                continue
            if self.objects.find(out, oid) is None:
                groups.setdefault(out, []).append(oid)
        for out, oids in groups.items():
            with suppress(XexpError):
                self._into_cache(out, oids)

    def _into_cache(self, out: Output, oids: list[str], *, own: bool = False) -> Path | None:
        """Fetch objects into this worktree's own cache; return the path of the first if it arrived."""
        wanted = [oid for oid in oids if oid not in self.brought]
        if wanted:
            self.brought.update(
                fetch_objects(self.top, out, wanted, self.remote, self.progress, own=own)
            )
        file = object_path(self.objects.home(out.root), oids[0], out.legacy)
        return file if is_object(file) else None


PREFIX = "get-"


@contextmanager
def temporary_worktree(git: Git, state: Path, commit: str, top: Path) -> Iterator[Path]:
    """Create a detached worktree of ``commit`` below ``state``; it is always removed afterwards.

    It shares the cache and the remotes of ``top``. Leftovers of killed processes are removed first.
    """
    _sweep(git, state)
    path = state / f"{PREFIX}{os.getpid()}"
    try:
        GitWriter(git).raw(
            "worktree", "add", "--quiet", "--detach", "--no-checkout", "--", str(path), commit
        )
        inner = Git(path, foreign=True)
        quiet = ("-c", "core.hooksPath=/dev/null")  # a DVC hook would fail on the empty cache
        inner.raw(*quiet, "checkout", "--quiet", "--force", commit, "--", ".")
        for entry in inner.ls_tree(commit, recursive=True):
            if entry.path.endswith(".dvc/config"):
                _share(path, top, entry.path.removesuffix(".dvc/config"))
        yield path
    finally:
        _remove(git, path)


def _share(tree: Path, top: Path, root: str) -> None:
    """Local DVC settings for a project of the temporary worktree: cache, remotes, credentials."""
    if is_dvc_repo(top / root):
        from gitxexp.storage.dvc.share import share_cache

        share_cache(tree / root, top / root)


def _remove(git: Git, path: Path) -> None:
    git.call("worktree", "remove", "--force", "--force", str(path))
    shutil.rmtree(path, ignore_errors=True)
    git.call("worktree", "prune")


def _sweep(git: Git, state: Path) -> None:
    """Remove temporary worktrees whose processes are gone."""
    for path in state.glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX)
        if pid.isdigit() and not alive(int(pid)):
            _remove(git, path)
