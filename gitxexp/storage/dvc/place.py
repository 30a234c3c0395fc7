"""Outputs from the cache into a work tree: links where the file system can, real copies where the
user will write.

A database is never a link: written to through one, it changes the cache's object, and DVC (which
trusts mode 0444) does not notice. Link types are DVC's own
(dvc.org/doc/user-guide/large-dataset-optimization); reflinks are made by ioctl FICLONE
(ioctl_ficlone(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import kind_of_header, umask
from gitxexp.storage.dvc.databases import SUFFIXES
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.objects import Progress, manifest, matches, object_path

_FICLONE = 0x40049409
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Item:
    """One file of an output: ``path`` from the top of the work tree, ``source`` in a cache.

    Both are text: there may be very many, and a Path costs more than the system call.
    """

    path: str
    oid: str
    source: str
    output: Output
    size: int = 0
    protected: bool = True  #: the object is read-only, as DVC makes it
    own: bool = False  #: a real, writable copy whatever the link type


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to place. ``lacking``: path → output, for objects that no cache has whole;
    ``damaged``: cached objects that are not what their name says."""

    items: tuple[Item, ...]
    lacking: dict[str, Output]
    damaged: tuple[Path, ...]


def survey(
    outputs: Iterable[Output],
    caches: Callable[[Output], Sequence[Path]],
    writable: Sequence[str] = (),
) -> Survey:
    """Every file of these outputs, its object opened; nothing is written.

    An object is damaged when its size is not the pointer's, when the sizes of a directory's files
    do not add up to the pointer's and its hash is wrong, or when it is a database whose hash is.
    """
    items: list[Item] = []
    lacking: dict[str, Output] = {}
    damaged: list[Path] = []
    for out in outputs:
        places = caches(out)
        entries = list(_entries(out, places))
        if not entries and out.is_dir and manifest(out, places) is None:
            lacking[out.path] = out
            kept = [object_path(cache, out.oid or "", out.legacy) for cache in places]
            damaged += [path for path in kept if path.is_file()]
        found = [(path, oid, _opened(path, oid, places, out, writable)) for path, oid in entries]
        suspicious = _adds_up_not(out, [item for _, _, item in found])
        for path, oid, item in found:
            if item is None:
                lacking[path] = out
            elif not _sound(item, oid, out, hashed=suspicious or item.own):
                lacking[path] = out
                damaged.append(Path(item.source))
            else:
                items.append(item)
    return Survey(tuple(items), lacking, tuple(dict.fromkeys(damaged)))


def _entries(out: Output, places: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """``(path, oid)`` of every file of an output."""
    if not out.is_dir:
        yield out.path, out.oid or ""
        return
    for entry in manifest(out, places) or ():
        if ".." in entry.path.split("/") or entry.path.startswith("/"):
            raise XexpError(f"the manifest of {out.path} names a file outside it: {entry.path}")
        yield f"{out.path}/{entry.path}", (entry.hash or "").partition(":")[2]


def _opened(
    path: str, oid: str, places: Sequence[Path], out: Output, writable: Sequence[str]
) -> Item | None:
    """The file with the first object that opens; None where no cache has one."""
    for cache in places:
        source = f"{cache}{'' if out.legacy else '/files/md5'}/{oid[:2]}/{oid[2:]}"
        try:
            handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            head, info = os.read(handle, 16), os.fstat(handle)
        finally:
            os.close(handle)
        own = kind_of_header(head) in ("sqlite", "duckdb") or path.endswith(SUFFIXES)
        own = own or _matches(path, writable)
        return Item(path, oid, source, out, info.st_size, not info.st_mode & 0o222, own)
    return None


def _matches(path: str, globs: Sequence[str]) -> bool:
    """Whether a glob names the file or a folder that it lies in; ``**`` crosses folders."""
    if not globs:
        return False
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatchcase(name, glob.rstrip("/")) for glob in globs for name in above)


def _adds_up_not(out: Output, items: list[Item | None]) -> bool:
    """Whether a complete directory has another size than its pointer says."""
    if not out.is_dir or out.size is None or None in items:
        return False
    return sum(item.size for item in items if item) != out.size


def _sound(item: Item, oid: str, out: Output, *, hashed: bool) -> bool:
    if not out.is_dir and out.size is not None and item.size != out.size:
        return False
    return not hashed or matches(Path(item.source), oid, out.legacy)


class Linker:
    """Places files, falling back from one link type to the next; ``used`` counts what it did."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = list(kinds)
        self.used: Counter[str] = Counter()
        self.copied = 0  #: bytes
        self._mode = 0o666 & ~umask()

    def place(self, item: Item, target: str) -> None:
        """Put the file at ``target``, which does not exist; XexpError where no type is possible."""
        if item.own or item.size == 0:  # an empty object would run into the limit on hard links
            self.copy(item, target)
            return
        while True:
            try:
                self._as(self.kinds[0], item, target)
            except OSError as error:
                if error.errno == errno.EMLINK:
                    self.copy(item, target)
                    return
                self._next(error, item, target)
            else:
                return

    def _next(self, error: OSError, item: Item, target: str) -> None:
        if error.errno in _FULL or error.errno == errno.EEXIST:
            raise error
        if len(self.kinds) == 1:
            raise XexpError(
                f"{self.kinds[0]} is not possible from {Path(item.source).parents[1]} to"
                f" {Path(target).parent}: {error.strerror}",
                "--link auto takes the best that is possible",
            ) from error
        self.kinds.pop(0)

    def _as(self, kind: str, item: Item, target: str) -> None:
        if kind == "copy":
            self.copy(item, target)
            return
        if kind == "reflink":
            _reflink(item.source, target, self._mode)
        else:
            if not item.protected:
                _protect(Path(item.source))
            (os.link if kind == "hardlink" else os.symlink)(item.source, target)
        self.used[kind] += 1

    def copy(self, item: Item, target: str) -> None:
        """A real, writable file, sharing the cache's blocks where the file system can."""
        try:
            _reflink(item.source, target, self._mode)
        except OSError as error:
            if error.errno in _FULL:
                raise
            shutil.copyfile(item.source, target)
            Path(target).chmod(self._mode)
            self.copied += item.size
        self.used["copy"] += 1


def _reflink(source: str, target: str, mode: int) -> None:
    with Path(source).open("rb") as reader:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            fcntl.ioctl(handle, _FICLONE, reader.fileno())
        except OSError:
            Path(target).unlink()
            raise
        finally:
            os.close(handle)


def _protect(source: Path) -> None:
    """DVC trusts linked objects by their mode 0444; one it could not protect stays as it is."""
    with suppress(PermissionError):
        source.chmod(0o444)


def place(
    top: Path, items: Sequence[Item], linker: Linker, progress: Progress | None = None
) -> None:
    """Put every file into the work tree at ``top``; XexpError says beforehand if space is short."""
    _check_space(top, items, linker)
    made: set[str] = set()
    total = len(items)
    for number, item in enumerate(items):
        target = f"{top}/{item.path}"
        folder = target.rpartition("/")[0]
        if folder not in made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        linker.place(item, target)
        if item.output.executable:
            Path(target).chmod(Path(target).stat().st_mode | 0o111)
        if progress and number % 50 == 0:
            progress(number, total, "file")
    if progress:
        progress(total, total, "file")


def _check_space(top: Path, items: Sequence[Item], linker: Linker) -> None:
    everything = linker.kinds[0] == "copy"
    needed = sum(item.size for item in items if item.own or everything)
    free = shutil.disk_usage(top).free
    if needed > free:
        raise XexpError(
            f"no space: {needed / 1e6:,.1f} MB have to be copied and {top.parent} has"
            f" {free / 1e6:,.1f} MB free",
            "free some space, or choose another place: --path DIR",
        )


def adopt(items: Iterable[Item], cache: Callable[[Output], Path]) -> list[Item]:
    """Objects that lie only in another worktree's cache, brought into the shared one."""
    return [_adopted(item, cache(item.output)) for item in items]


def _adopted(item: Item, cache: Path) -> Item:
    if item.source.startswith(f"{cache}/"):
        return item
    out = item.output
    home = object_path(cache, item.oid, out.legacy)
    _take_in(Path(item.source), home)
    if out.is_dir and out.oid:
        elsewhere = Path(item.source).parents[1 if out.legacy else 3]
        _take_in(
            object_path(elsewhere, out.oid, out.legacy), object_path(cache, out.oid, out.legacy)
        )
    return replace(item, source=str(home))


def _take_in(source: Path, home: Path) -> None:
    if home.exists() or not source.is_file():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    temporary = home.with_name(f"{home.name}.{os.getpid()}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            temporary.chmod(0o444)
        temporary.replace(home)
    finally:
        temporary.unlink(missing_ok=True)
