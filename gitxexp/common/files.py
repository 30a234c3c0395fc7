"""File kinds, atomic writes, and temporary folders.

The kind follows from the first bytes or, for a new file, from its name. Sources:
sqlite.org/fileformat2.html section 1.3 (16-byte header string), the Parquet format specification
("PAR1", "PARE" for an encrypted footer), and DuckDB's main header ("DUCK" after an 8-byte
checksum).

Temporary folders belong to a process, so that those of a killed process can be recognised.

The owner holds a lock (``flock``) on its folder; the kernel releases it when the process ends,
however it ends. Creating a folder removes sibling folders that nobody holds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from gitxexp.common import checked
from gitxexp.common.errors import XexpError, is_full, suggestion

Kind = Literal["sqlite", "duckdb", "parquet"]

#: The kind of file by suffix.
SUFFIXES: dict[str, Kind] = {
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".db3": "sqlite",
    ".duckdb": "duckdb",
    ".ddb": "duckdb",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
}
#: The names of databases end so.
DATABASES = tuple(ending for ending, kind in SUFFIXES.items() if kind != "parquet")


def kind_of_header(head: bytes) -> Kind | None:
    """Return the kind of a file that begins with these bytes (at least 16)."""
    if head.startswith(b"SQLite format 3\x00"):
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    return "parquet" if head.startswith(b"PAR1") else None


def database_kind(path: Path) -> Kind | None:
    """Return the kind of a file by its first bytes; None for any other or unreadable file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # do not block on a FIFO
    except OSError:
        return None
    try:
        return kind_of_header(os.read(handle, 16))
    except OSError:
        return None
    finally:
        os.close(handle)


def kind_of(path: Path) -> Kind:
    """Return the kind of an existing file by its first bytes, whatever its name.

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
    """Read a regular file; raises OSError as open does, and for a pipe or a device.

    Raises XexpError if its path was checked, and another file is there now."""
    handle = checked.open_file(path)
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return stream.read()


def kind_by_name(path: Path) -> Kind:
    """Return the kind that a file of this name would have; raises :class:`XexpError` for other
    names."""
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
        raise XexpError(f"{path} is not a file", "name a file") from None
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from None


# -- atomic writes
# -----------------------------------------------------------------------------------


def umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def new_mode(path: Path) -> int:
    """Return the permissions for a file that replaces ``path``: those of the existing file, else
    those of a new file. A link is replaced itself; its target does not matter."""
    with contextlib.suppress(OSError):
        info = path.lstat()
        if stat.S_ISREG(info.st_mode):
            return stat.S_IMODE(info.st_mode) | stat.S_IWUSR  # DVC makes linked files read-only
    return 0o666 & ~umask()


def temporary_beside(path: Path) -> Path:
    """Return a new name next to ``path`` for what will replace it; :func:`remove_left` knows it."""
    return path.with_name(f".{path.name[:100]}.xexp-{os.getpid()}-{os.urandom(4).hex()}.tmp")


@contextlib.contextmanager
def atomic_write(path: Path, *, mode: int | None = None, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, which replaces it when the block succeeds.

    Readers of ``path`` see the old file or the complete new one, even after a power failure unless
    ``durable`` is false (file and folder are synced). The permissions are those of the replaced
    file or the defaults, unless ``mode`` is given. The temporary file is removed if the block
    fails; the next write to the same file removes what a killed process left.
    """
    temporary = temporary_beside(path)
    remove_left(path)
    try:
        with naming(path):
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
def naming(path: Path) -> Iterator[None]:
    """Let the error of a full disk name ``path``, which the block writes: that of write(2) names no file,
    and that of a copy names its source."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            error.filename, error.filename2 = str(path), None
        raise


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Like :func:`atomic_write`, for a file that the user named.

    Raises XexpError naming that file, not the temporary one, if it cannot be written.
    """
    if path.is_dir() or not path.name:
        raise XexpError(f"{path} is a folder", "name a file in it")
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise XexpError(f"cannot write {path}: {error.strerror}") from error


#: ``watcher(path, temporary)`` is called before ``temporary`` replaces ``path``.
Watcher = Callable[[Path, Path], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def put(temporary: Path, path: Path) -> None:
    """Replace ``path`` with ``temporary``, complete and synced; watchers are told first."""
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
    """Sync a file's bytes, or a folder's entries, to disk (fsync(2))."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_left(path: Path) -> None:
    """Remove temporary files of this file whose writers were killed."""
    from gitxexp.common.processes import alive

    prefix = f".{path.name[:100]}.xexp-"
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        names = [e.name for e in entries if e.name.startswith(prefix)]
        for name in names:
            pid = name.removeprefix(prefix).partition("-")[0]
            if ".tmp" in name and pid.isdigit() and not alive(int(pid)):
                path.with_name(name).unlink(missing_ok=True)


# -- SQLite's log ----------------------------------------------------------------------------------


def wal_of(path: Path) -> Path:
    """Return where SQLite keeps rows that are not in the database file yet."""
    return path.with_name(path.name + "-wal")


def rows_wait(path: Path) -> bool:
    """Whether a database has rows that are not yet in its file."""
    with contextlib.suppress(OSError):
        return wal_of(path).stat().st_size > 0
    return False


# -- temporary folders -----------------------------------------------------------------------------

PREFIX = ".xexp-merge-"


class Folder:
    """A new folder in ``parent`` (default: the system's temporary folder); closing removes it.

    Raises :class:`XexpError` if no folder can be created.
    """

    def __init__(self, parent: Path | None = None) -> None:
        import tempfile  # late, with shutil: 4 ms, and reads make no folders

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
        """Remove the folder and its content."""
        import shutil

        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep(place: Path) -> None:
    """Remove the folders in ``place`` whose process is gone; folders that cannot be removed stay."""
    with contextlib.suppress(OSError):
        for found in _left(place):
            with contextlib.suppress(OSError):
                _remove(found)


def _left(place: Path) -> Iterator[Path]:
    """List folders owned by this user; another user's name proves nothing."""
    for item in os.scandir(place):
        ours = item.name.startswith(PREFIX) and item.is_dir(follow_symlinks=False)
        if ours and item.stat(follow_symlinks=False).st_uid == os.getuid():
            yield Path(item.path)


def _remove(folder: Path) -> None:
    import shutil

    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if _locked(lock, wait=False):
            shutil.rmtree(folder)
    finally:
        os.close(lock)


def _claimed(place: Path) -> tuple[Path, int]:
    """Create a folder; return it and the descriptor that holds its lock.

    Another process may remove the folder before it is locked: then try again.
    """
    import tempfile

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
    """Return whether the lock was acquired; never on a system without flock (nothing is removed
    there)."""
    try:
        import fcntl  # absent on Windows

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True
