"""Pointers of files whose hash is known, and of single files of a tracked directory.

DVC's own ``add`` does it; what it would hash again it is told beforehand (its state database keys
a hash by path, inode, time and size). A file of a directory output is added or dropped alone, so
that files of it which are not checked out stay in the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitxexp.dvcio.adding import Added, add
from gitxexp.dvcio.objects import matches, object_path
from gitxexp.dvcio.places import cache_dir
from gitxexp.dvcio.session import opened
from gitxexp.pointers import Output


@dataclass(frozen=True, slots=True)
class Tracked:
    """Files to be known to DVC: absolute path → md5 as hex, of files as they are now."""

    hashes: Mapping[Path, str]


def remember(root: Path, tracked: Tracked) -> None:
    """Tell DVC the hashes of files, so that it does not read them again."""
    with opened(root, "note known hashes") as repo:
        _remember(repo, tracked)


def _remember(repo: Any, tracked: Tracked) -> None:
    from dvc.fs import localfs
    from dvc_data.hashfile.hash_info import HashInfo

    for path, digest in tracked.hashes.items():
        repo.state.save(str(path), localfs, HashInfo("md5", digest))


def track_file(top: Path, root: str, path: str, tracked: Tracked) -> Added:
    """``dvc add`` of one file or a whole directory whose files' hashes are known."""
    if tracked.hashes:
        remember(top / root, tracked)
    return add(top, [path])


def track_members(
    top: Path, output: Output, members: Iterable[str], tracked: Tracked
) -> tuple[str, ...]:
    """Bring these paths (from the top) of a directory output up to date in its pointer.

    A path that is not there is dropped from it; the other files are neither read nor needed.
    Returns the pointer that changed.
    """
    with opened(top / output.root, f"update {output.pointer}") as repo:
        _remember(repo, tracked)
        with repo.scm_context(autostage=False, quiet=True):
            repo.add([str(top / path) for path in members], relink=False)
    return (output.pointer,)


def store(root: Path, path: Path, oid: str, *, legacy: bool = False) -> None:
    """Have the object ``oid``, whose bytes ``path`` has, whole in the project's cache."""
    kept = object_path(cache_dir(root), oid, legacy)
    if kept.is_file():
        if matches(kept, oid, legacy):
            return
        kept.unlink()
    with opened(root, f"take {path.name} into the cache") as repo:
        from dvc.fs import localfs

        cache = repo.cache.legacy if legacy else repo.cache.local
        cache.add([str(path)], localfs, [oid])


@contextmanager
def exclusively(roots: Iterable[Path]) -> Iterator[None]:
    """No other DVC command runs in these projects for the time of a ``with``.

    Raises XexpError when one is at work.
    """
    with ExitStack() as stack:
        for root in roots:
            repo = stack.enter_context(opened(root, "lock the cache"))
            stack.enter_context(repo.lock)
        yield
