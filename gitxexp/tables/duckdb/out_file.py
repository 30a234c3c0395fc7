"""The output as a temporary file beside its place, which it takes only when it is whole."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import Folder, kind_of
from gitxexp.tables.duckdb.session import translated

_LOGS = (".wal", "-wal", "-shm", "-journal")


@contextlib.contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A fresh path in the folder of ``out``; whatever is there at the end is removed."""
    folder = Folder(out.parent)
    try:
        yield folder.path / "merged"
    finally:
        folder.close()


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """The system's refusals (a full disk, above all) as an :class:`XexpError` about ``out``."""
    try:
        yield
    except OSError as error:
        raise XexpError(
            f"cannot write {out}: {error.strerror or error}",
            hint="free space there or write elsewhere with -o; nothing was changed",
        ) from None


def publish(temp: Path, out: Path) -> None:
    """Put ``temp`` in the place of ``out`` in one step that survives a crash.

    A log of the old file must not outlive it (it would be replayed onto the new one), so it is
    folded into the old file first, by the database's own crash-safe means. A link is replaced,
    never followed: what it leads to may be an object of a cache.
    """
    try:
        temp.chmod(_mode(out))
        settle(out)
        _sync(temp)
        temp.replace(out)
        _sync(out.parent)
    except OSError as error:
        raise XexpError(f"cannot write {out}: {error.strerror}") from None


def _mode(out: Path) -> int:
    """The permissions of the file that is replaced; for a link or a new file, the usual ones."""
    with contextlib.suppress(OSError):
        if not out.is_symlink():
            return stat.S_IMODE(out.stat().st_mode) | stat.S_IWUSR
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def settle(path: Path) -> None:
    """Fold a database's log into its file; raises :class:`XexpError` if someone is using it."""
    logs = [path.with_name(path.name + suffix) for suffix in _LOGS]
    if path.is_symlink() or not any(log.exists() and log.stat().st_size for log in logs):
        return
    kind = kind_of(path)
    if kind == "duckdb":
        import duckdb  # late, as everywhere

        with translated(str(path)), duckdb.connect(str(path)) as con:
            con.execute("CHECKPOINT")
    elif kind == "sqlite":
        _settle_sqlite(path)
    if any(log.exists() and log.stat().st_size for log in logs if not log.name.endswith("-shm")):
        raise XexpError(f"{path} is in use by another program", hint="close it there and try again")


def _settle_sqlite(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as con:
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise XexpError(f"cannot take the place of {path}: {error}") from None
