"""Place outputs from the cache into a work tree: as links if possible, as copies if the user will
write to them.

Writable files are never links: writing through one changes the cache object, and DVC (which trusts
mode 0444) does not notice. Link types are DVC's own
(dvc.org/doc/user-guide/large-dataset-optimization); reflinks are made by ioctl FICLONE
(ioctl_ficlone(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import DATABASES, kind_of_header, umask
from gitxexp.common.notes import note
from gitxexp.storage import paths
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.objects import CorruptObject, Progress, manifest, object_path, take_in

_FICLONE = 0x40049409
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  #: an object is no link, no pipe
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}


@dataclass(frozen=True, slots=True)
class CachedFile:
    """One file of an output: ``path`` relative to the top of the work tree, ``source`` in a cache.

    Both are strings: there may be very many, and a Path costs more than the system call.
    """

    path: str
    oid: str
    source: str
    output: Output
    size: int = 0
    protected: bool = True  #: the object is read-only, as DVC creates it
    own: bool = False  #: a real, writable copy whatever the link type
    info: os.stat_result | None = None  #: of the object, when it was opened


class PlacedFile(NamedTuple):
    """A file as it was placed: ``info`` is that of the work tree's, which a link shares with its
    object."""

    file: CachedFile
    info: os.stat_result


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """What to place. ``lacking``: path → output, for objects that no cache has intact; ``damaged``:
    cached objects whose content does not match their name."""

    files: tuple[CachedFile, ...]
    lacking: dict[str, Output]
    damaged: tuple[Path, ...]


def find_cached(
    outputs: Iterable[Output],
    caches: Callable[[Output], Sequence[Path]],
    is_written: Callable[[str, Output], bool],
    hashes: Callable[[Sequence[tuple[Path, bool]]], Mapping[Path, str]],
) -> OutputFiles:
    """Return every file of these outputs, with its object opened; nothing is written.

    ``is_written`` says which files the user will write to, ``hashes`` returns the md5 of objects.
    An object is damaged if its size differs from the pointer's or its hash is wrong. Files are
    hashed if they will be written to, if DVC did not protect them (its own objects are read-only),
    or if they belong to a directory whose sizes do not add up to the pointer's.
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
        opened = [_opened(path, oid, places, out, is_written) for path, oid in entries]
        lacking |= dict.fromkeys(
            (path for (path, _), file in zip(entries, opened, strict=True) if file is None), out
        )
        present = [file for file in opened if file is not None]
        for file, valid in zip(present, _valid(out, opened, hashes), strict=True):
            if valid:
                files.append(file)
            else:
                lacking[file.path] = out
                damaged.append(Path(file.source))
    return OutputFiles(tuple(files), lacking, tuple(dict.fromkeys(damaged)))


def _entries(out: Output, places: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield ``(path, oid)`` of every file of an output."""
    if not out.is_dir:
        yield out.path, out.oid or ""
        return
    for entry in manifest(out, places) or ():
        yield f"{out.path}/{entry.path}", (entry.hash or "").partition(":")[2]


def _opened(
    path: str,
    oid: str,
    places: Sequence[Path],
    out: Output,
    is_written: Callable[[str, Output], bool],
) -> CachedFile | None:
    """Return the file with the first object that can be opened; None if no cache has one."""
    paths.object_id(oid, path)
    for cache in places:
        source = f"{cache}{'' if out.legacy else '/files/md5'}/{oid[:2]}/{oid[2:]}"
        try:
            handle = os.open(source, _READ)
        except OSError:
            continue
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                continue
            head = os.read(handle, 16)
        finally:
            os.close(handle)
        own = kind_of_header(head) in ("sqlite", "duckdb") or path.endswith(DATABASES)
        own = own or out.executable or is_written(path, out)
        fixed = not info.st_mode & 0o222
        return CachedFile(path, oid, source, out, info.st_size, fixed, own, info)
    return None


def matches_glob(path: str, globs: Sequence[str]) -> bool:
    """Return whether a glob matches the file or a folder that contains it; ``**`` crosses folders."""
    if not globs:
        return False
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatchcase(name, glob.rstrip("/")) for glob in globs for name in above)


def _has_other_size(out: Output, files: list[CachedFile | None]) -> bool:
    """Return whether the size of a complete directory differs from its pointer."""
    if not out.is_dir or out.size is None or None in files:
        return False
    return sum(file.size for file in files if file) != out.size


def _valid(
    out: Output,
    opened: list[CachedFile | None],
    hashes: Callable[[Sequence[tuple[Path, bool]]], Mapping[Path, str]],
) -> list[bool]:
    """Check the content of each existing object against its name, as far as it has to be checked."""
    suspicious = _has_other_size(out, opened)
    files = [file for file in opened if file is not None]
    wrong_size = {f.source for f in files if not out.is_dir and out.size not in (None, f.size)}
    asked = [
        (Path(file.source), out.legacy)
        for file in files
        if file.source not in wrong_size and (suspicious or file.own or not file.protected)
    ]
    actual = {str(path): oid for path, oid in hashes(asked).items()} if asked else {}
    return [
        file.source not in wrong_size
        and actual.get(file.source, file.oid) == file.oid.removesuffix(".dir")
        for file in files
    ]


#: Up to this many bytes in total are copied rather than linked if the file system has no reflinks:
#: copying is quick, and a script that writes in place does no harm.
COPIED_BYTES = 100_000_000


def with_small_copied(files: Sequence[CachedFile]) -> list[CachedFile]:
    """Return the files, marking those of the smallest outputs as copies, up to
    :data:`COPIED_BYTES` in total."""
    sizes: Counter[str] = Counter()
    for file in files:
        sizes[file.output.path] += 0 if file.own else file.size
    copied, left = set(), COPIED_BYTES
    for path, size in sorted(sizes.items(), key=lambda item: item[1]):
        left -= size
        if left < 0:
            break
        copied.add(path)
    return [replace(file, own=True) if file.output.path in copied else file for file in files]


class Linker:
    """Place files, falling back from one link type to the next; ``used`` counts the types used."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = list(kinds)
        self.used: Counter[str] = Counter()
        self.copied = 0  #: bytes
        self._mode = 0o666 & ~umask()
        self._clones = True  #: whether reflinks work, as far as is known

    def place(self, file: CachedFile, target: str) -> bool:
        """Place the file at ``target``, which must not exist; return whether the object is linked.
        Raises XexpError if no type works."""
        if file.own or file.size == 0:  # a shared empty object would hit the limit on hard links
            self.copy(file, target)
            return False
        while True:
            try:
                self._as(self.kinds[0], file, target)
            except OSError as error:
                if error.errno == errno.EMLINK:
                    self.copy(file, target)
                    return False
                self._next(error, file, target)
            else:
                return self.kinds[0] in ("hardlink", "symlink")

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
        """Create a real, writable file, sharing the cache's blocks if the file system can."""
        if not (self._clones and self._cloned(file, target)):
            _copy(file.source, target, self._mode)
            self.copied += file.size
        self.used["copy"] += 1

    def _cloned(self, file: CachedFile, target: str) -> bool:
        """Try a reflink; return whether it worked. It is not tried again on a file system without
        them."""
        try:
            reflink(file.source, target, self._mode)
        except OSError as error:
            if error.errno in _FULL or error.errno == errno.EEXIST:
                raise
            self._clones = error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV)
            return False
        return True


def link_or_copy(source: Path, target: Path, kinds: Sequence[str] | None = None) -> str:
    """Create ``target`` with the bytes of ``source`` atomically; return how it was created.

    ``kinds`` are tried in order (reflink, hardlink, symlink), then a copy. By default: a reflink,
    which is always safe, and a hard link only to a read-only file, because writing to one name
    would change the other.
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
    """Clone a file onto the same blocks; raises OSError if the file system cannot."""
    with os.fdopen(os.open(source, _READ), "rb") as reader:
        handle = os.open(target, _NEW, mode)
        try:
            fcntl.ioctl(handle, _FICLONE, reader.fileno())
        except OSError:
            Path(target).unlink()
            raise
        finally:
            os.close(handle)


def _copy(source: str, target: str, mode: int) -> None:
    reader = os.fdopen(os.open(source, _READ), "rb")
    with reader, os.fdopen(os.open(target, _NEW, mode), "wb") as writer:
        try:
            shutil.copyfileobj(reader, writer, 1 << 20)
        except BaseException:
            Path(target).unlink()
            raise


def _protect(source: Path) -> None:
    """Make an object read-only: DVC trusts linked objects with mode 0444. If that fails, it stays
    as is."""
    with suppress(PermissionError):
        source.chmod(0o444)


def place(
    top: Path, files: Sequence[CachedFile], linker: Linker, progress: Progress | None = None
) -> list[PlacedFile]:
    """Place every file into the work tree at ``top``; return those that were. Raises XexpError first
    if disk space is short.

    Existing files stay, with a note. Raises Refused if a link leads out of the tree or, before
    anything is written, if two names are the same to the file system.
    """
    _check_space(top, files, linker)
    paths.refuse_alike(top, (file.path for file in files))
    total = len(files)
    placed = []
    with _Folders(top) as folders:
        for number, file in enumerate(files):
            target = folders.below(file.path)
            try:
                linked = linker.place(file, target)
                if file.output.executable:
                    Path(target).chmod(Path(target).stat().st_mode | 0o111)
            except FileExistsError:
                note(f"{file.path} already exists, as git has it, and was left as it is")
            else:
                shared = file.info if linked else None
                placed.append(PlacedFile(file, shared or os.stat(target)))  # noqa: PTH116 - very many
            if progress and number % 50 == 0:
                progress(number, total, "file")
    if progress:
        progress(total, total, "file")
    return placed


class _Folders:
    """The target folder, held open so that it cannot be redirected."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._stack = ExitStack()
        self._folder: str | None = None
        self._place = ""

    def __enter__(self) -> _Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def below(self, path: str) -> str:
        """Return where to write the file ``path``; creates its folder."""
        folder, _, name = path.rpartition("/")
        if folder != self._folder:
            self._stack.close()
            self._folder = None
            self._place = str(self._stack.enter_context(paths.held(self.top, path, create=True)))
            self._place = self._place.rpartition("/")[0]
            self._folder = folder
        return f"{self._place}/{name}"


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
    """Copy objects that exist only in another worktree's cache to the shared one."""
    return [_adopted(file, cache(file.output)) for file in files]


def _adopted(file: CachedFile, cache: Path) -> CachedFile:
    if file.source.startswith(f"{cache}/"):
        return file
    out = file.output
    home = take_in(cache, Path(file.source), file.oid, out.legacy, link=True)
    if out.is_dir and out.oid:
        elsewhere = Path(file.source).parents[1 if out.legacy else 3]
        with suppress(CorruptObject):
            take_in(
                cache, object_path(elsewhere, out.oid, out.legacy), out.oid, out.legacy, link=True
            )
    return replace(file, source=str(home), info=None)
