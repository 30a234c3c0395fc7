"""Write files for the user: complete or absent, verified, writable, never a link into the cache."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import atomic_write, umask
from gitxexp.storage import paths
from gitxexp.storage.objects import CorruptObject

CHUNK = 1 << 20

#: ``report(bytes)`` after each chunk.
ByteReport = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a file: ``rel`` below ``top``, which no link may leave; ``path`` is its name
    for the user."""

    top: Path
    rel: str
    path: Path

    @classmethod
    def at(cls, work_tree: Path, base: Path, rel: str = "") -> Target:
        """The file ``base`` or, with ``rel``, one below that folder. A path that the user names
        outside the work tree is trusted; names below it come from the repository."""
        path = base / rel if rel else base
        absolute = Path(os.path.normpath(path.absolute()))
        if absolute.is_relative_to(work_tree):
            return cls(work_tree, absolute.relative_to(work_tree).as_posix(), path)
        top = Path(os.path.normpath(base.absolute())) if rel else absolute.parent
        return cls(top, absolute.relative_to(top).as_posix(), path)

    def existing(self) -> Path:
        """Return the checked file; raises Refused if a link leads out of ``top``."""
        folder = self.rel.rpartition("/")[0]
        paths.resolved(self.top, folder)
        return self.top / self.rel


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected content: its size in bytes and its md5 as hex, if known."""

    size: int | None = None
    md5: str | None = None
    legacy: bool = False  #: md5 may be that of the text with CRLF read as LF


def copy(
    source: Path, target: BinaryIO, expected: Expected, *, verify: bool, report: ByteReport
) -> None:
    """Copy a file's bytes into an open one; raises CorruptObject if they are not as expected."""
    handle = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise CorruptObject("it is not a regular file")
        size = os.fstat(handle).st_size
        if expected.size is not None and size != expected.size:
            raise CorruptObject(f"{size} bytes instead of {expected.size}")
        if not verify:
            _copy_fast(stream, target, size, report)
            return
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
            report(len(chunk))
    if (
        expected.md5 is not None
        and digest.hexdigest() != expected.md5
        and not _same_text(source, expected)
    ):
        raise CorruptObject(f"its md5 is {digest.hexdigest()}")


def _same_text(source: Path, expected: Expected) -> bool:
    if not expected.legacy:
        return False
    from gitxexp.storage.objects import dos2unix_md5

    return dos2unix_md5(source) == expected.md5


def _copy_fast(stream: BinaryIO, target: BinaryIO, size: int, report: ByteReport) -> None:
    """In the kernel where it can (a reflink where the file system has them)."""
    target.flush()
    done = 0
    while done < size:
        try:
            sent = os.copy_file_range(stream.fileno(), target.fileno(), 1 << 26, done)
        except (OSError, AttributeError):
            break
        if sent == 0:
            break
        done += sent
        report(sent)
    stream.seek(done)
    while chunk := stream.read(CHUNK):
        target.write(chunk)
        report(len(chunk))


@contextmanager
def new_file(target: Target, *, force: bool, executable: bool = False) -> Iterator[BinaryIO]:
    """Yield an open file that becomes ``target`` if the block succeeds, and leaves nothing
    otherwise.

    On Linux it has no name until then, so that even ``kill -9`` leaves nothing behind. Missing
    folders are created. Without ``force`` an existing file is never replaced (XexpError). Raises
    Refused if a link leads out of the target's top.
    """
    target.top.mkdir(parents=True, exist_ok=True)
    mode = 0o777 if executable else 0o666
    with paths.held(target.top, target.rel, create=True) as path:
        descriptor = _unnamed(path.parent, mode)
        if descriptor is None:
            with _named(target, path, mode, force=force) as stream:
                yield stream
            return
        with os.fdopen(descriptor, "w+b") as stream:
            yield stream
            stream.flush()
            _give_name(f"/proc/self/fd/{descriptor}", target, path, force=force)


def _unnamed(folder: Path, mode: int) -> int | None:
    """Open an unnamed file in the folder; None if the system does not support it."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, flag | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            return None
        raise


@contextmanager
def _named(target: Target, path: Path, mode: int, *, force: bool) -> Iterator[BinaryIO]:
    with atomic_write(path, mode=mode & ~umask()) as temporary:
        with temporary.open("x+b") as stream:
            yield stream
        if not force and path.exists():
            raise exists(target.path)


def _give_name(source: str, target: Target, path: Path, *, force: bool) -> None:
    """Link an unnamed file to ``path``; replacing a file needs a temporary name."""
    try:
        _link(source, path)
        return
    except FileExistsError:
        if not force:
            raise exists(target.path) from None
    with tempfile.TemporaryDirectory(prefix=".xexp.", dir=path.parent) as between:
        fresh = Path(between) / "file"
        _link(source, fresh)
        if path.is_dir() and not path.is_symlink():
            raise XexpError(
                f"{target.path} is a directory", "remove it first, or choose another name: -o"
            )
        fresh.replace(path)


def _link(source: str, path: Path) -> None:
    """linkat(2) with AT_SYMLINK_FOLLOW, which Python only uses with a folder descriptor."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(source, path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def exists(path: Path) -> XexpError:
    """The error for a file that is in the way."""
    return XexpError(
        f"{path} exists already and differs", "replace it: -f; or write elsewhere: -o PATH"
    )


def matches(path: Path, expected: Expected) -> bool:
    """Whether an existing file (never a link) already has the expected content."""
    with suppress(OSError):
        if path.is_symlink() or not path.is_file() or path.stat().st_nlink > 1:
            return False
        if expected.md5 is None or expected.size not in (None, path.stat().st_size):
            return False
        with path.open("rb") as stream:
            md5 = hashlib.file_digest(
                stream, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
        return md5 == expected.md5 or _same_text(path, expected)
    return False


def matches_object(path: Path, expected: Expected) -> bool:
    """Whether an object in a cache or remote is intact."""
    if expected.size is not None and path.stat().st_size != expected.size:
        return False
    with path.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return expected.md5 is None or md5 == expected.md5 or _same_text(path, expected)
