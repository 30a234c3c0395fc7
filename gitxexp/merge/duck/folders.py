"""Temporary folders that belong to a process, so that what a killed one left can be told.

The owner holds a lock (``flock``) on its folder, which the kernel drops with the process however
it ends. Whoever makes a new one removes those beside it that nobody holds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gitxexp.errors import XexpError

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
