"""Files: what kind one is, written in one step, and temporary folders.

The kind is told by the first bytes and, for a new file, by its name. Sources:
sqlite.org/fileformat2.html section 1.3 (16-byte header string), the Parquet format specification
("PAR1", "PARE" for an encrypted footer), and DuckDB's main header ("DUCK" after an 8-byte checksum).

Temporary folders that belong to a process, so that what a killed one left can be told.

The owner holds a lock (``flock``) on its folder, which the kernel drops with the process however
it ends. Whoever makes a new one removes those beside it that nobody holds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from gitxexp.common.errors import XexpError, suggestion

Kind = Literal["sqlite", "duckdb", "parquet"]

#: What a file of this suffix holds.
SUFFIXES: dict[str, Kind] = {
    ".db": "sqlite",
    ".db3": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".duckdb": "duckdb",
    ".ddb": "duckdb",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
}


def kind_of_header(head: bytes) -> Kind | None:
    """The kind of a file that begins with these (at least 16) bytes."""
    if head.startswith(b"SQLite format 3\x00"):
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    return "parquet" if head.startswith(b"PAR1") else None


def database_kind(path: Path) -> Kind | None:
    """The kind of a file by its first bytes; None for any other, and for what cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not wait
    except OSError:
        return None
    try:
        return kind_of_header(os.read(handle, 16))
    except OSError:
        return None
    finally:
        os.close(handle)


def kind_of(path: Path) -> Kind:
    """The kind of an existing file, by its first bytes; its name does not matter.

    Raises :class:`XexpError` for a missing, empty, unreadable or unknown file.
    """
    head = _head(path)
    kind = kind_of_header(head)
    if kind is not None:
        return kind
    if head.startswith(b"PARE"):
        raise XexpError(f"{path} is an encrypted parquet file", hint="decrypt it first")
    if not head:
        raise XexpError(
            f"{path} is empty (0 bytes)", hint="restore it, for example with dvc checkout"
        )
    raise XexpError(
        f"{path} is not a SQLite, DuckDB or parquet file",
        hint="an encrypted or damaged file looks like this too; check it with its own program",
    )


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; raises OSError as open does, also for a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return stream.read()


def kind_by_name(path: Path) -> Kind:
    """The kind that a file of this name would have; raises :class:`XexpError` for others."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(SUFFIXES)
        raise XexpError(
            f"cannot tell from its name what kind of file {path} should be",
            hint=f"use one of {known}",
        )
    return kind


def _head(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise IsADirectoryError
            return stream.read(16)
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*")]
        hint = suggestion(path.name, names, f"there is no such file in {path.parent.absolute()}")
        raise XexpError(f"{path} does not exist", hint) from None
    except IsADirectoryError:
        raise XexpError(f"{path} is not a file") from None
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from None


# -- written in one step ---------------------------------------------------------------------------


def umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def new_mode(path: Path, executable: bool = False) -> int:
    """The permissions for a file that takes the place of ``path``: those of the file there, else
    those of a new file. A link's place is taken, and what it leads to is not asked."""
    with contextlib.suppress(OSError):
        info = path.lstat()
        if stat.S_ISREG(info.st_mode):
            return stat.S_IMODE(info.st_mode) | stat.S_IWUSR  # DVC protects what it links
    return (0o777 if executable else 0o666) & ~umask()


@contextlib.contextmanager
def atomic_write(path: Path, *, mode: int | None = None, durable: bool = True) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes its place when the block ends well.

    Whoever reads ``path`` sees the old file or the whole new one, also after a power cut unless
    ``durable`` is false (file and folder are synced). The permissions are those of the file that is
    replaced or the usual ones, unless ``mode`` says otherwise. The temporary file is removed where
    the block fails; what a killed process left is removed by the next write to the same file.
    """
    temporary = path.with_name(f".{path.name[:100]}.xexp-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    remove_left(path)
    try:
        yield temporary
        if not temporary.is_symlink():
            temporary.chmod(new_mode(path) if mode is None else mode)
            if durable:
                sync(temporary)
        put(temporary, path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """:func:`atomic_write` of a file that the user named.

    Raises XexpError, which names that file and not the temporary one, where it cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise XexpError(f"cannot write {path}: {error.strerror}") from error


#: ``watcher(path, temporary)`` is called before ``temporary`` takes the place of ``path``.
Watcher = Callable[[Path, Path], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def put(temporary: Path, path: Path) -> None:
    """Have ``temporary``, complete and synced, take the place of ``path``; who watches knows first."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(path, temporary)
    temporary.replace(path)


@contextlib.contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Call ``watcher`` before each replacement of a file that this thread makes in the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk (fsync(2))."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_left(path: Path) -> None:
    """Remove what killed writers of this file left: their processes are gone."""
    from gitxexp.common.processes import alive

    prefix = f".{path.name[:100]}.xexp-"
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix)]
        for name in names:
            pid = name.removeprefix(prefix).partition("-")[0]
            if ".tmp" in name and pid.isdigit() and not alive(int(pid)):
                path.with_name(name).unlink(missing_ok=True)


# -- temporary folders -----------------------------------------------------------------------------

PREFIX = ".xexp-merge-"


class Folder:
    """A fresh folder in ``parent`` (default: the system's temporary one); close it to remove it.

    Raises :class:`XexpError` where no folder can be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        place = parent or Path(tempfile.gettempdir())
        sweep(place)
        try:
            self.path, self._lock = _claimed(place)
        except OSError as error:
            raise XexpError(
                f"cannot write in {place}: {error.strerror}", hint="give another output with -o"
            ) from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(place: Path) -> None:
    """Remove the folders in ``place`` whose process is gone; what resists stays."""
    with contextlib.suppress(OSError):
        for found in _left(place):
            with contextlib.suppress(OSError):
                _remove(found)


def _left(place: Path) -> Iterator[Path]:
    """Folders of this user; another's name proves nothing."""
    for item in os.scandir(place):
        ours = item.name.startswith(PREFIX) and item.is_dir(follow_symlinks=False)
        if ours and item.stat(follow_symlinks=False).st_uid == os.getuid():
            yield Path(item.path)


def _remove(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if _locked(lock, wait=False):
            shutil.rmtree(folder)
    finally:
        os.close(lock)


def _claimed(place: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that holds its lock.

    A sweep may take the folder in the moment before it is locked: then the next one is made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place)).resolve()
        lock = -1
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            _locked(lock, wait=True)
            if stat.S_ISDIR(folder.stat().st_mode):
                return folder, lock
        if lock >= 0:
            os.close(lock)


def _locked(descriptor: int, wait: bool) -> bool:
    """Whether the lock was got; never where the system has none (nothing is swept there)."""
    try:
        import fcntl  # absent on Windows

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True
