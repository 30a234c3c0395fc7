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
class CachedFile:
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
class OutputFiles:
    """What there is to place. ``lacking``: path → output, for objects that no cache has whole;
    ``damaged``: cached objects that are not what their name says."""

    files: tuple[CachedFile, ...]
    lacking: dict[str, Output]
    damaged: tuple[Path, ...]


def find_cached(
    outputs: Iterable[Output],
    caches: Callable[[Output], Sequence[Path]],
    writable: Sequence[str] = (),
) -> OutputFiles:
    """Every file of these outputs, its object opened; nothing is written.

    An object is damaged when its size is not the pointer's, when the sizes of a directory's files
    do not add up to the pointer's and its hash is wrong, or when it is a database whose hash is.
    """
    files: list[CachedFile] = []
    lacking: dict[str, Output] = {}
    damaged: list[Path] = []
    for out in outputs:
        places = caches(out)
        entries = list(_entries(out, places))
        if not entries and out.is_dir and manifest(out, places) is None:
            lacking[out.path] = out
            kept = [object_path(cache, out.oid or "", out.legacy) for cache in places]
            damaged += [path for path in kept if path.is_file()]
        opened = [_opened(path, oid, places, out, writable) for path, oid in entries]
        suspicious = _has_other_size(out, opened)
        for (path, oid), file in zip(entries, opened, strict=True):
            if file is None:
                lacking[path] = out
            elif not _is_valid(file, oid, out, hashed=suspicious or file.own):
                lacking[path] = out
                damaged.append(Path(file.source))
            else:
                files.append(file)
    return OutputFiles(tuple(files), lacking, tuple(dict.fromkeys(damaged)))


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
) -> CachedFile | None:
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
        return CachedFile(path, oid, source, out, info.st_size, not info.st_mode & 0o222, own)
    return None


def _matches(path: str, globs: Sequence[str]) -> bool:
    """Whether a glob names the file or a folder that it lies in; ``**`` crosses folders."""
    if not globs:
        return False
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatchcase(name, glob.rstrip("/")) for glob in globs for name in above)


def _has_other_size(out: Output, files: list[CachedFile | None]) -> bool:
    """Whether a complete directory has another size than its pointer says."""
    if not out.is_dir or out.size is None or None in files:
        return False
    return sum(file.size for file in files if file) != out.size


def _is_valid(file: CachedFile, oid: str, out: Output, *, hashed: bool) -> bool:
    if not out.is_dir and out.size is not None and file.size != out.size:
        return False
    return not hashed or matches(Path(file.source), oid, out.legacy)


class Linker:
    """Places files, falling back from one link type to the next; ``used`` counts what it did."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = list(kinds)
        self.used: Counter[str] = Counter()
        self.copied = 0  #: bytes
        self._mode = 0o666 & ~umask()

    def place(self, file: CachedFile, target: str) -> None:
        """Put the file at ``target``, which does not exist; XexpError where no type is possible."""
        if file.own or file.size == 0:  # an empty object would run into the limit on hard links
            self.copy(file, target)
            return
        while True:
            try:
                self._as(self.kinds[0], file, target)
            except OSError as error:
                if error.errno == errno.EMLINK:
                    self.copy(file, target)
                    return
                self._next(error, file, target)
            else:
                return

    def _next(self, error: OSError, file: CachedFile, target: str) -> None:
        if error.errno in _FULL or error.errno == errno.EEXIST:
            raise error
        if len(self.kinds) == 1:
            raise XexpError(
                f"{self.kinds[0]} is not possible from {Path(file.source).parents[1]} to"
                f" {Path(target).parent}: {error.strerror}",
                "--link auto takes the best that is possible",
            ) from error
        self.kinds.pop(0)

    def _as(self, kind: str, file: CachedFile, target: str) -> None:
        if kind == "copy":
            self.copy(file, target)
            return
        if kind == "reflink":
            reflink(file.source, target, self._mode)
        else:
            if not file.protected:
                _protect(Path(file.source))
            (os.link if kind == "hardlink" else os.symlink)(file.source, target)
        self.used[kind] += 1

    def copy(self, file: CachedFile, target: str) -> None:
        """A real, writable file, sharing the cache's blocks where the file system can."""
        try:
            reflink(file.source, target, self._mode)
        except OSError as error:
            if error.errno in _FULL:
                raise
            shutil.copyfile(file.source, target)
            Path(target).chmod(self._mode)
            self.copied += file.size
        self.used["copy"] += 1


def link_or_copy(source: Path, target: Path, kinds: Sequence[str] | None = None) -> str:
    """A file ``target`` with the bytes of ``source``, made at once; which way it was made.

    ``kinds`` are tried in order (reflink, hardlink, symlink), then it is copied. Without them a
    reflink, which is always safe, and a hard link only of a file that nobody may write to: writing
    to one name would change the other.
    """
    source = source.resolve()
    if kinds is None:
        fixed = not source.stat().st_mode & 0o222
        kinds = ("reflink", "hardlink") if fixed else ("reflink",)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        kind = next((kind for kind in kinds if _linked(kind, source, temporary)), "copy")
        if kind == "copy":
            shutil.copyfile(source, temporary)
        if kind in ("copy", "reflink"):
            shutil.copystat(source, temporary)
            temporary.chmod(temporary.stat().st_mode | 0o200)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return kind


def _linked(kind: str, source: Path, target: Path) -> bool:
    ways: dict[str, Callable[[str, str], None]] = {
        "reflink": lambda old, new: reflink(old, new, 0o666),
        "hardlink": os.link,
        "symlink": os.symlink,
    }
    try:
        ways[kind](str(source), str(target))
    except (KeyError, OSError):
        return False
    return True


def reflink(source: str, target: str, mode: int) -> None:
    """A new file on the same blocks, where the file system can; OSError where it cannot."""
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
    top: Path, files: Sequence[CachedFile], linker: Linker, progress: Progress | None = None
) -> None:
    """Put every file into the work tree at ``top``; XexpError says beforehand if space is short."""
    _check_space(top, files, linker)
    made: set[str] = set()
    total = len(files)
    for number, file in enumerate(files):
        target = f"{top}/{file.path}"
        folder = target.rpartition("/")[0]
        if folder not in made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        linker.place(file, target)
        if file.output.executable:
            Path(target).chmod(Path(target).stat().st_mode | 0o111)
        if progress and number % 50 == 0:
            progress(number, total, "file")
    if progress:
        progress(total, total, "file")


def _check_space(top: Path, files: Sequence[CachedFile], linker: Linker) -> None:
    everything = linker.kinds[0] == "copy"
    needed = sum(file.size for file in files if file.own or everything)
    free = shutil.disk_usage(top).free
    if needed > free:
        raise XexpError(
            f"no space: {needed / 1e6:,.1f} MB have to be copied and {top.parent} has"
            f" {free / 1e6:,.1f} MB free",
            "free some space, or choose another place: --path DIR",
        )


def adopt(files: Iterable[CachedFile], cache: Callable[[Output], Path]) -> list[CachedFile]:
    """Objects that lie only in another worktree's cache, brought into the shared one."""
    return [_adopted(file, cache(file.output)) for file in files]


def _adopted(file: CachedFile, cache: Path) -> CachedFile:
    if file.source.startswith(f"{cache}/"):
        return file
    out = file.output
    home = object_path(cache, file.oid, out.legacy)
    _take_in(Path(file.source), home)
    if out.is_dir and out.oid:
        elsewhere = Path(file.source).parents[1 if out.legacy else 3]
        _take_in(
            object_path(elsewhere, out.oid, out.legacy), object_path(cache, out.oid, out.legacy)
        )
    return replace(file, source=str(home))


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
