"""Files that are opened by a path which was checked before: what is open is still that file.

The path of a file in a work tree is checked part by part (:mod:`gitxexp.storage.paths`). SQLite and
DuckDB open a file by its path themselves, and another program may put a symbolic link in its place
between check and use. So the opened file is compared with the one that the checked path leads to,
before anything of it is read.

A descriptor of the compared file is never opened and closed here: closing one drops the locks that
SQLite has on the file (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from gitxexp.common.errors import XexpError

T = TypeVar("T")

#: Device and inode of a file.
Identity = tuple[int, int]

#: Times that a file is opened again if another one was opened: it may have been replaced.
TRIES = 5

_checked: dict[str, Callable[[], Identity]] = {}


def remember(path: Path, identity: Callable[[], Identity]) -> None:
    """Remember that ``path`` was checked; ``identity`` checks it again, and returns which file it
    is or raises."""
    _checked[_key(path)] = identity


def _key(path: Path) -> str:
    """The path from the root; links in it stay as they are."""
    return os.path.abspath(path)  # noqa: PTH100


def confirmed(path: Path, opening: Callable[[], T], close: Callable[[T], object]) -> T:
    """Return the result of ``opening``, which opens ``path`` and keeps it open.

    Raises XexpError if ``path`` was checked and another file was opened instead.
    """
    identity = _checked.get(_key(path))
    if identity is None:
        return opening()
    for _ in range(TRIES):
        before = _open_files()
        opened = opening()
        try:
            if _is_open(identity(), before):
                return opened
        except FileNotFoundError:  # moved away at this moment
            pass
        except BaseException:
            close(opened)
            raise
        close(opened)
    raise _replaced(path)


def open_file(path: Path) -> int:
    """Open ``path`` for reading, without waiting for a pipe; returns the descriptor.

    Raises OSError as open does, XexpError as :func:`confirmed`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    identity = _checked.get(_key(path))
    if identity is None:
        return os.open(path, flags)
    for _ in range(TRIES):
        handle = os.open(path, flags)
        try:
            with suppress(FileNotFoundError):
                if identity() == _identity(os.fstat(handle)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise _replaced(path)


def identity_of(path: Path) -> Identity | None:
    """Return which file ``path`` is, checked again; None if it never was. Raises as the check does."""
    identity = _checked.get(_key(path))
    return identity() if identity else None


def _open_files() -> dict[int, Identity]:
    """Return the files that this process has open, by descriptor; empty if the system does not say."""
    found: dict[int, Identity] = {}
    with suppress(OSError):
        for name in os.listdir("/dev/fd"):  # noqa: PTH208
            with suppress(OSError, ValueError):  # the descriptor of the listing itself
                found[int(name)] = _identity(os.fstat(int(name)))
    return found


def _is_open(identity: Identity, before: dict[int, Identity]) -> bool:
    """Whether the file was opened since ``before``. SQLite may also use a descriptor that it kept."""
    now = _open_files()
    if not now:
        return True
    fresh = [file for handle, file in now.items() if before.get(handle) != file]
    return identity in fresh or (not fresh and identity in now.values())


def _identity(info: os.stat_result) -> Identity:
    return info.st_dev, info.st_ino


def _replaced(path: Path) -> XexpError:
    return XexpError(
        f"{path} was replaced while it was opened", "let the other program end, then try again"
    )
