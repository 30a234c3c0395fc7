"""Query which objects a remote has, and their sizes.

A key that exists proves nothing: an upload that was cut short may leave one. So every answer
includes a size. Object stores, SFTP and WebDAV give sizes with their listings; a plain HTTP server
is asked for each object, and if it reports no size only the content can tell (:func:`has_content`).
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from gitxexp.common.dataclass import dataclass
from gitxexp.storage.dvc.session import Unreachable
from gitxexp.storage.objects import matches

#: Listing pages (1,000 objects each) to read rather than ask for a few objects by name.
_FEW_PAGES = 5
#: Pages read sequentially; longer listings are requested by prefix, in parallel.
_MANY_PAGES = 16
#: Seconds for which threads at work are waited for after an error.
_PATIENCE = 2.0
#: HTTP status codes that mean an object does not exist (S3 without the right to list: 403).
_NOT_FOUND = (403, 404, 410)

T = TypeVar("T")
Q = TypeVar("Q")
#: A path with its size in bytes, None if the server does not report one.
Sized = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote as DVC opened it: its object database, its name, and the layout of its objects."""

    odb: Any
    name: str | None
    legacy: bool
    limit: float  #: seconds within which it must answer

    def sizes(self, oids: Collection[str]) -> dict[str, int | None]:
        """Return those objects that it has, with their sizes in bytes (None: not reported).

        Raises Unreachable if it does not answer: what cannot be asked is not absent.
        """
        wanted = {self.odb.oid_to_path(oid).strip("/"): oid for oid in oids}
        if not wanted:
            return {}
        found: dict[str, int | None] = {}
        for path, size in self._answers(list(wanted.values())):
            oid = wanted.get(path.strip("/"))
            if oid is not None:
                found[oid] = size
        return found

    def read(self, oid: str) -> bytes | None:
        """Read a small object; None if it does not exist."""

        def ask(path: str) -> bytes | None:
            try:
                return bytes(self.odb.fs.cat_file(path))
            except FileNotFoundError as error:
                self._refuse_unasked(error)
                return None

        return next(self._ask(ask, [self.odb.oid_to_path(oid)]))

    def has_content(self, oid: str) -> bool:
        """Return whether the content under this name is the object: it is read in full and hashed."""
        with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
            copy = Path(folder) / "object"
            self.odb.fs.get_file(self.odb.oid_to_path(oid), str(copy))
            return matches(copy, oid, self.legacy)

    # -- with few requests -------------------------------------------------------------------------

    def _answers(self, oids: list[str]) -> Iterator[Sized]:
        """Objects with sizes, including those asked for."""
        from dvc_objects.fs.base import ObjectFileSystem

        fs = self.odb.fs
        folders = [fs.join(self.odb.path, prefix) for prefix in sorted({oid[:2] for oid in oids})]
        if not fs.CAN_TRAVERSE or len(oids) == 1:
            yield from self._each(oids)
        elif not isinstance(fs, ObjectFileSystem):  # a folder for each prefix
            if len(oids) <= 2 * len(folders):
                yield from self._each(oids)
            else:
                yield from self._in_folders(folders, lambda path: fs.fs.ls(path, detail=True))
        else:
            pages = next(self._ask(self._pages, [self.odb.path]))
            if pages > max(_FEW_PAGES, len(oids) / 5):
                yield from self._each(oids)
            else:
                places = folders if pages > _MANY_PAGES else [self.odb.path]
                yield from self._in_folders(places, self._below)

    def _pages(self, path: str) -> float:
        """Estimate the number of pages of the whole listing from the objects that begin with 000."""
        self.odb.fs.fs.invalidate_cache()
        sample = self.odb.fs.fs.find(self.odb.fs.join(path, "00"), prefix="0", detail=True)
        return 4096 * len(sample) / float(self.odb.fs.LIST_OBJECT_PAGE_SIZE)

    def _below(self, path: str) -> Iterable[Any]:
        """List everything below a prefix of an object store."""
        infos: dict[str, Any] = self.odb.fs.fs.find(path, detail=True)
        return infos.values()

    def _in_folders(
        self, folders: list[str], listed: Callable[[str], Iterable[Any]]
    ) -> Iterator[Sized]:
        def ask(path: str) -> list[Sized]:
            self.odb.fs.fs.invalidate_cache(path)
            try:
                infos = list(listed(path))
            except FileNotFoundError:
                return []
            links = (i for i in infos if i["type"] == "link")
            infos += [self.odb.fs.fs.info(link["name"]) for link in links]
            return [(info["name"], info["size"]) for info in infos if info["type"] == "file"]

        for infos in self._ask(ask, folders):
            yield from infos

    def _each(self, oids: list[str]) -> Iterator[Sized]:
        """Look up objects by name, several at a time."""

        def ask(path: str) -> Sized | None:
            self.odb.fs.fs.invalidate_cache(self.odb.fs.parent(path))
            try:
                info = self.odb.fs.fs.info(path)
            except FileNotFoundError as error:
                self._refuse_unasked(error)
                return None
            return (path, info.get("size")) if info["type"] == "file" else None

        yield from filter(None, self._ask(ask, [self.odb.oid_to_path(oid) for oid in oids]))

    def _refuse_unasked(self, error: FileNotFoundError) -> None:
        """Raise Unreachable if fsspec reports "not found" although the server did not say so.

        fsspec treats any HTTP failure as "not found", whatever the reason
        (fsspec/implementations/http.py, ``_info``).
        """
        cause = error.__cause__ or error.__context__
        if cause is None or not type(cause).__module__.startswith("aiohttp"):
            return
        if getattr(cause, "status", 0) not in _NOT_FOUND:
            raise Unreachable(self.name, str(cause)) from error

    def _ask(self, ask: Callable[[Q], T], questions: list[Q]) -> Iterator[T]:
        """Yield answers as they arrive, several requests at a time.

        Raises Unreachable if none arrives within the time limit. The threads are daemons: one that
        hangs does not keep the program from exiting, as a pool of ``concurrent.futures`` would. But one
        at work is waited for, after an error, too: OpenSSL crashes in a thread as the program exits.
        """
        answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        left: Iterator[Q] = iter(questions)
        lock = threading.Lock()

        def work() -> None:
            try:
                while True:
                    with lock:
                        question = next(left)
                    answers.put((ask(question), None))
            except StopIteration:
                pass
            except BaseException as error:
                answers.put((None, error))

        count = min(self.odb.fs.jobs, len(questions))
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for _ in questions:
            try:
                answer, error = answers.get(timeout=self.limit)
            except Empty:
                raise Unreachable(
                    self.name, f"no answer within {self.limit:g} seconds (xexp.remote.timeout)"
                ) from None
            if error is not None:
                with lock:
                    left = iter(())
                end = time.monotonic() + min(_PATIENCE, self.limit)
                for thread in threads:
                    thread.join(max(0.0, end - time.monotonic()))
                raise error
            yield answer  # type: ignore[misc]
