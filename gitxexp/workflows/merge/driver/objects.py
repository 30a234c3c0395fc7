"""The objects that pointers name: found, fetched, stored, and put into the work tree."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.storage.dvc.pointer_file import Output
from gitxexp.tables.plan import Conflict, OnConflict
from gitxexp.workflows.merge.driver.place import GitPlace
from gitxexp.workflows.merge.driver.result import replace


@dataclass(frozen=True)
class Data:
    """What a pointer says of its data; ``nfiles`` only of a directory."""

    oid: str
    size: int
    nfiles: int | None = None


#: Conflicts that the user settled one by one.
Settled = tuple[tuple[Conflict, OnConflict], ...]

#: May replace the two objects that are to be merged.
Prepare = Callable[[Path, Path, Settled], tuple[Path, Path]]


class Placed(StrEnum):
    """What became of the work tree's file after its pointer was merged."""

    DONE = "done"
    ABSENT = "absent"  #: it was not checked out before, and is not now
    KEPT = "kept"  #: it holds what is in no cache, so it was left alone
    LATER = "later"  #: git may still refuse the merge, so it was left alone


def fetched(place: GitPlace, out: Output) -> Path:
    """The object of an output, sound, from a cache or the remote; XexpError if none has it."""
    from gitxexp.storage.dvc.remote import fetch_objects

    assert out.oid is not None
    found = cached(place, out)
    if found is not None:
        return found
    with suppress(XexpError):
        fetch_objects(place.top, out, [out.oid])
        found = cached(place, out)
    if found is None:
        raise XexpError(
            f"no cache and no remote has {out.path} ({out.hash})",
            "get it (dvc fetch), then: git xexp conflicts resolve",
        )
    return found


def caches(place: GitPlace, out: Output) -> list[Path]:
    """The caches of all work trees, this one's first."""
    from gitxexp.storage.dvc.places import cache_dirs

    roots = [place.top / out.root, *(other / out.root for other in place.siblings())]
    return list(cache_dirs(roots[0], roots[1:]))


def cached(place: GitPlace, out: Output) -> Path | None:
    """The object of an output in the nearest cache that has a sound copy."""
    from gitxexp.storage.objects import matches, object_path

    assert out.oid is not None
    for cache in caches(place, out):
        file = object_path(cache, out.oid, out.legacy)
        if file.is_file() and matches(file, out.oid, out.legacy):
            return file
    return None


def store(place: GitPlace, out: Output, file: Path, suffix: str = "") -> Data:
    """Move a file into this work tree's cache, read-only as DVC has it.

    ``suffix`` is ".dir" for the manifest of a directory.
    """
    from gitxexp.storage.dvc.places import cache_dir
    from gitxexp.storage.objects import hash_file, object_path

    oid, size = hash_file(file) + suffix, file.stat().st_size
    target = object_path(cache_dir(place.top / out.root), oid, out.legacy)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o444)
        replace(file, target)
    return Data(oid, size)


def waits(target: Path) -> bool:
    """Whether rows wait in a log beside the database."""
    logs = (target.with_name(target.name + suffix) for suffix in ("-wal", ".wal", "-journal"))
    return any(log.exists() and log.stat().st_size for log in logs)
