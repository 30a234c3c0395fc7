"""Submodules: the commits that a commit names for them, and the repositories here that have those."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from gitxexp.storage import paths
from gitxexp.storage.git import Git, TreeEntry


def links(git: Git, rev: str) -> list[TreeEntry]:
    """The submodules of a commit, with the commits that it names; asked at the top."""
    every = git.ls_tree(rev, recursive=True)
    return [each for each in every if each.kind == "commit" and paths.is_checked_out(each.path)]


def other_repository(top: Path, path: str) -> str | None:
    """The folder of the submodule, or other repository, around ``path`` below ``top``; None if there
    is none."""
    folders = (parent for parent in reversed(PurePosixPath(path, ".git").parents[:-1]))
    return next((str(one) for one in folders if os.path.lexists(top / one / ".git")), None)


def repository_of(tops: Iterable[Path], link: TreeEntry) -> Git | None:
    """git in a submodule of one of these work trees that has the commit of ``link``: the one at its
    path, else another, for submodules move. None if there is none."""
    return next((git for top in tops for git in _filled(top, link.path) if _has(git, link)), None)


def _filled(top: Path, first: str) -> Iterator[Git]:
    yield from _at(top, first)
    for other in links(Git(top, foreign=True), "HEAD"):
        if other.path != first:
            yield from _at(top, other.path)


def _at(top: Path, path: str) -> Iterator[Git]:
    folder = top / paths.resolved(top, path)
    if (folder / ".git").exists():
        yield Git(folder, foreign=True)


def _has(git: Git, link: TreeEntry) -> bool:
    return git.ok("cat-file", "-e", f"{link.oid}^{{commit}}")
