"""Other processes of this machine.

Ctrl-C while a database works on one long statement.

Python's signal handlers run between bytecodes, and a statement is one: KeyboardInterrupt would wait
for its end. A thread that the signal wakes at once (``signal.set_wakeup_fd``) interrupts the
statement instead (sqlite.org/c3ref/interrupt.html).

Something done over and over beside other work.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def alive(pid: int) -> bool:
    """Whether a process has this number; one of another user counts (kill(2), signal 0)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def open_elsewhere(path: Path) -> bool:
    """Whether another process may have the file open: who writes to it would go on writing to a
    file without a name if another took its place. True where nobody can tell (no proc(5))."""
    try:
        wanted = path.stat()
        processes = [entry for entry in os.scandir("/proc") if entry.name.isdigit()]
    except OSError:
        return True
    for process in processes:
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # gone by now, or another user's
            for handle in os.scandir(f"{process.path}/fd"):
                with suppress(OSError):
                    info = handle.stat()
                    if (info.st_dev, info.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return True
    return False


_open: weakref.WeakSet[Any] = weakref.WeakSet()
_wake: list[int] = []  #: the end of the pipe that signals write to, once there is one


def interruptible(connection: Any) -> None:
    """Have ``connection.interrupt()`` called when a signal arrives, for as long as somebody holds
    it: a long statement of SQLite or DuckDB ends, and then the signal's handler runs."""
    _watch()
    _open.add(connection)


def signals_first() -> None:
    """Whatever a signal raises is raised by this call: Python looks for signals when it begins."""


def _watch() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    if not _wake:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        threading.Thread(target=_interrupt, args=(reader,), daemon=True).start()
        _wake.append(writer)
    # each time: an event loop of asyncio, such as that of a prompt, takes it away when it ends
    other = signal.set_wakeup_fd(_wake[0], warn_on_full_buffer=False)
    if other not in (-1, _wake[0]):  # of a loop that runs around us, as in a notebook
        signal.set_wakeup_fd(other)


def _interrupt(reader: int) -> None:
    while os.read(reader, 64):
        _interrupt_all()


def _interrupt_all() -> None:
    """A function of its own, so that a waiting thread holds no connection."""
    for connection in list(_open):
        with suppress(Exception):  # it is closed by now
            connection.interrupt()


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call ``action`` every so many seconds, in a thread, for the time of a ``with``."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
