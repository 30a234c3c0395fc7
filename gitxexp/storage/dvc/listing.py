"""What a remote has, and how large it is: the questions that are put to one.

A key that exists proves nothing: an upload that was cut short may leave one. So every answer here
comes with a size. Object stores, SFTP and WebDAV give sizes with their listings; a plain HTTP server
is asked for each object, and where it names no size only the content tells (:func:`has_content`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gitxexp.storage.dvc.session import Unreachable
from gitxexp.storage.objects import matches

#: Pages of a listing (of 1,000 objects) that are read rather than asking for a few objects by name.
_FEW_PAGES = 5
#: Pages that are read one after the other; more are asked for by prefix, several at a time.
_MANY_PAGES = 16
#: HTTP's answers that say of one object that it is not there (S3 without the right to list: 403).
_NOT_FOUND = (403, 404, 410)


def sizes(odb: Any, oids: Collection[str], name: str | None) -> dict[str, int | None]:
    """Those of the objects that the remote has, with their sizes in bytes (None: it does not say).

    ``odb`` is DVC's object database of the remote ``name``. Raises Unreachable where it does not
    answer: what cannot be asked is not absent.
    """
    wanted = {odb.oid_to_path(oid).strip("/"): oid for oid in oids}
    if not wanted:
        return {}
    odb.fs.fs.invalidate_cache()
    found: dict[str, int | None] = {}
    for path, size in _answers(odb, wanted, name):
        oid = wanted.get(path.strip("/"))
        if oid is not None:
            found[oid] = size
    return found


def _answers(
    odb: Any, wanted: dict[str, str], name: str | None
) -> Iterator[tuple[str, int | None]]:
    """Paths with sizes, those asked for among them, by the fewest requests."""
    from dvc_objects.fs.base import ObjectFileSystem

    prefixes = sorted({oid[:2] for oid in wanted.values()})
    folders = [odb.fs.join(odb.path, prefix) for prefix in prefixes]
    if not odb.fs.CAN_TRAVERSE or len(wanted) == 1:
        yield from _each(odb, wanted.values(), name)
    elif not isinstance(odb.fs, ObjectFileSystem):  # a folder for each prefix
        if len(wanted) <= 2 * len(folders):
            yield from _each(odb, wanted.values(), name)
        else:
            yield from _in_folders(odb, folders, lambda path: odb.fs.fs.ls(path, detail=True))
    else:
        pages = _pages(odb)
        if pages > max(_FEW_PAGES, len(wanted) / 5):
            yield from _each(odb, wanted.values(), name)
        elif pages > _MANY_PAGES:
            yield from _in_folders(odb, folders, lambda path: _below(odb, path))
        else:
            yield from ((i["name"], i["size"]) for i in _below(odb, odb.path))


def _pages(odb: Any) -> float:
    """About how many pages the whole listing has, from the objects that begin with 000."""
    sample = odb.fs.fs.find(odb.fs.join(odb.path, "00"), prefix="0", detail=True)
    return 4096 * len(sample) / odb.fs.LIST_OBJECT_PAGE_SIZE  # type: ignore[no-any-return]


def _below(odb: Any, path: str) -> Iterable[Any]:
    """Everything below a prefix of an object store."""
    return odb.fs.fs.find(path, detail=True).values()  # type: ignore[no-any-return]


def _in_folders(
    odb: Any, folders: Iterable[str], listed: Callable[[str], Iterable[Any]]
) -> Iterator[tuple[str, int | None]]:
    def ask(path: str) -> list[Any]:
        try:
            return list(listed(path))
        except FileNotFoundError:
            return []

    with ThreadPoolExecutor(odb.fs.jobs) as threads:
        for infos in threads.map(ask, folders):
            for info in infos:
                if info["type"] == "link":
                    info = odb.fs.fs.info(info["name"])
                if info["type"] == "file":
                    yield info["name"], info["size"]


def _each(odb: Any, oids: Iterable[str], name: str | None) -> Iterator[tuple[str, int | None]]:
    """Objects asked for by name, several at a time."""

    def ask(path: str) -> tuple[str, int | None] | None:
        try:
            info = odb.fs.fs.info(path)
        except FileNotFoundError as error:
            refuse_unasked(error, name)
            return None
        return (path, info.get("size")) if info["type"] == "file" else None

    with ThreadPoolExecutor(odb.fs.jobs) as threads:
        yield from filter(None, threads.map(ask, map(odb.oid_to_path, oids)))


def refuse_unasked(error: FileNotFoundError, name: str | None) -> None:
    """Raises Unreachable where fsspec's "not found" is that of a server which did not say so.

    What cannot be asked over HTTP is absent to fsspec, whatever the reason
    (fsspec/implementations/http.py, ``_info``).
    """
    cause = error.__cause__ or error.__context__
    if cause is None or not type(cause).__module__.startswith("aiohttp"):
        return
    if getattr(cause, "status", 0) not in _NOT_FOUND:
        raise Unreachable(name, str(cause)) from error


def has_content(odb: Any, oid: str, legacy: bool) -> bool:
    """Whether what the remote has under this name is the object: it is read whole and hashed."""
    with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
        copy = Path(folder) / "object"
        odb.fs.get_file(odb.oid_to_path(oid), str(copy))
        return matches(copy, oid, legacy)
