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
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.processes import alive
from gitxexp.storage.dvc.places import (
    has_own_remotes,
    is_dvc_repo,
    local_remote_dir,
    remote_name,
)
from gitxexp.storage.dvc.pointers import File, Output
from gitxexp.storage.dvc.repair import WorkTreeFiles, restore_object
from gitxexp.storage.git import Git
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Objects, Progress, is_object, manifest, object_path

if TYPE_CHECKING:
    from gitxexp.storage.dvc.remote import OpenRemotes


class Strategy(StrEnum):
    """How to get content that git does not store. ``auto`` tries the others in this order."""

    AUTO = "auto"
    CACHE = "cache"  #: this worktree's cache, then those of the others
    DVC = "dvc"  #: the remote, one object at a time
    WORKTREE = "worktree"  #: a temporary worktree and ``dvc pull`` in it


@dataclass(frozen=True, slots=True)
class ObjectCopy:
    """One copy of an object: a file, and what to call where it lies."""

    file: Path
    name: str


@dataclass(frozen=True, slots=True)
class AskedRemote:
    """A remote to ask for an output."""

    name: str | None  #: None if the project has none
    folder: Path | None  #: None unless it is local
    own: bool  #: as a worktree's commit defines it


@dataclass
class Stores:
    """The caches and remotes of one work tree that the strategy allows."""

    objects: Objects
    strategy: Strategy
    remote: str | None = None
    progress: Progress | None = None
    brought: set[str] = field(default_factory=set)  #: objects that came from a remote
    _open_remotes: OpenRemotes | None = None
    _asked: dict[tuple[str, str | None], tuple[AskedRemote, ...]] = field(default_factory=dict)

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
        """Return a directory's files, from a cache, else from the remote. Raises XexpError if that cannot
        be reached."""
        found = self.objects.manifest(out)
        if found is None and out.oid and self.strategy is Strategy.AUTO:
            home = self.objects.home(out.root)
            if restore_object(home, out.oid, self.work_trees, legacy=out.legacy):
                found = manifest(out, [home])
        if found is not None or not self.remotes or not out.oid or out.versioned:
            return found
        problem: XexpError | None = None
        for asked in self.asked(out):
            if asked.folder is None and asked.name is not None:
                try:
                    self._into_cache(out, [out.oid], own=asked.own)
                except XexpError as error:
                    problem = problem or error
            found = manifest(out, [asked.folder]) if asked.folder else self.objects.manifest(out)
            if found is not None:
                return found
        if problem is not None:
            raise problem
        return None

    def places(self, out: Output, oid: str) -> Iterator[ObjectCopy]:
        """Yield copies of the object, nearest first. Asking for the next one means the last was
        corrupt."""
        if self.cached:
            home = self.objects.home(out.root)
            for cache in self.caches(out.root):
                file = object_path(cache, oid, out.legacy)
                if is_object(file):
                    yield ObjectCopy(file, "cache" if cache == home else f"cache {cache}")
        if self.strategy is Strategy.AUTO:
            for file in self.work_trees.copies(oid):
                yield ObjectCopy(file, "work tree")
        if not self.remotes:
            return
        problem: XexpError | None = None
        for asked in self.asked(out):
            if asked.folder is not None:
                file = object_path(asked.folder, oid, out.legacy)
                if is_object(file):
                    yield ObjectCopy(file, f"remote {asked.name}")
            elif asked.name is not None and not out.versioned:
                try:
                    fetched = self._into_cache(out, [oid], own=asked.own)
                except XexpError as error:
                    problem = problem or error
                    continue
                if fetched is not None:
                    yield ObjectCopy(fetched, f"remote {asked.name}")
        if problem is not None:
            raise problem

    def asked(self, out: Output) -> tuple[AskedRemote, ...]:
        """Return the remotes to ask for an output: today's, then the one that a worktree's commit
        names, if that differs."""
        key = out.root, out.remote
        if key not in self._asked:
            root = self.top / out.root
            self._asked[key] = tuple(
                AskedRemote(
                    remote_name(root, self.remote, pointer=out.remote, own=own),
                    local_remote_dir(root, self.remote, pointer=out.remote, own=own),
                    own,
                )
                for own in ((False, True) if has_own_remotes(root) else (False,))
            )
        return self._asked[key]

    def prefetch(self, objects: Iterable[tuple[Output, str]]) -> None:
        """Fetch many objects from remotes that are not local directories into the cache at once.

        Fetches only what no cache has; failures surface when the object itself is requested.
        """
        if not self.remotes:
            return
        groups: dict[Output, list[str]] = {}
        for out, oid in objects:
            if out.versioned or self.asked(out)[0].folder is not None:
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
            from gitxexp.storage.dvc.remote import OpenRemotes, fetch_objects  # not for the cache

            opened = self._open_remotes = self._open_remotes or OpenRemotes()
            self.brought.update(
                fetch_objects(self.top, out, wanted, self.remote, self.progress, opened, own=own)
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
