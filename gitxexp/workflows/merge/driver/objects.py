"""Find, fetch, store and check out the objects that pointers name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.storage.dvc.pointer_file import Output
from gitxexp.tables.plan import Conflict, OnConflict
from gitxexp.workflows.merge.driver.place import GitPlace

if TYPE_CHECKING:
    from gitxexp.storage.objects import Objects


@dataclass(frozen=True)
class Data:
    """The data fields of a pointer; ``nfiles`` only for a directory."""

    oid: str
    size: int
    nfiles: int | None = None


#: Conflicts that the user resolved one by one.
Settled = tuple[tuple[Conflict, OnConflict], ...]

#: May replace the two objects before they are merged.
Prepare = Callable[[Path, Path, Settled], tuple[Path, Path]]


class PlacedOutput(StrEnum):
    """The outcome for the work tree's file after its pointer was merged."""

    DONE = "done"
    ABSENT = "absent"  #: it was not checked out before, and is not now
    KEPT = "kept"  #: its content is in no cache, so it was left alone
    LATER = "later"  #: git may still refuse the merge, so it was left alone


def fetched(place: GitPlace, out: Output) -> Path:
    """Return an intact object of an output from a cache or the remote; raises XexpError if none has
    it."""
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


def objects(place: GitPlace) -> Objects:
    """The caches of all work trees, this one's first."""
    from gitxexp.storage.objects import Objects

    return Objects(place.top, place.siblings)


def cached(place: GitPlace, out: Output) -> Path | None:
    """Return the object of an output from the nearest cache with an intact copy."""
    return objects(place).sound(out)


def store(place: GitPlace, out: Output, file: Path, suffix: str = "") -> Data:
    """Move a file into this work tree's cache, read-only as in DVC.

    ``suffix`` is ".dir" for the manifest of a directory.
    """
    from gitxexp.storage.objects import hash_file, take_in

    oid, size = hash_file(file) + suffix, file.stat().st_size
    take_in(objects(place).home(out.root), file, oid, out.legacy, move=True)
    return Data(oid, size)


def file_here(place: GitPlace, path: str) -> bool:
    """Whether the work tree has the file; raises XexpError if a link leads out of the tree."""
    from gitxexp.storage.dvc.places import work_file

    return work_file(place.top, path).is_file()


def waits(target: Path) -> bool:
    """Whether rows wait in a log next to the database."""
    logs = (target.with_name(target.name + suffix) for suffix in ("-wal", ".wal", "-journal"))
    return any(log.exists() and log.stat().st_size for log in logs)
