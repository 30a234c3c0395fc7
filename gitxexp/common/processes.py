"""Other processes of this machine.

Handling Ctrl-C while a database runs one long statement:

Python's signal handlers run between bytecodes, and a statement is a single one: KeyboardInterrupt
would wait until it ends. Instead, a thread that the signal wakes at once (``signal.set_wakeup_fd``)
interrupts the statement (sqlite.org/c3ref/interrupt.html). Both SQLite and DuckDB forget an interrupt
that comes before a statement really begins, so the thread goes on until the statement has ended.

Calling a function in a thread: periodically, or once, beside other work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def alive(pid: int) -> bool:
    """Return whether a process with this id exists, including other users' (kill(2), signal 0)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def open_elsewhere(path: Path) -> bool:
    """Return whether another process may have the file open: if the file were replaced, a writer
    would keep writing to the unlinked one. True where that cannot be determined (no proc(5))."""
    try:
        wanted = path.stat()
        processes = [entry for entry in os.scandir("/proc") if entry.name.isdigit()]
    except OSError:
        return True
    for process in processes:
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # already gone, or another user's
            for handle in os.scandir(f"{process.path}/fd"):
                with suppress(OSError):
                    info = handle.stat()
                    if (info.st_dev, info.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return True
    return False


_open: weakref.WeakSet[Any] = weakref.WeakSet()
#: Seconds after which an interrupt is repeated, and for how long.
_AGAIN, _PATIENCE = 0.02, 10.0
_wake: list[int] = []  #: the write end of the pipe that signals write to, once it exists


def interruptible(connection: Any) -> None:
    """Call ``connection.interrupt()`` when a signal arrives, while any holder is active: a long
    SQLite or DuckDB statement ends, and then the signal handler runs."""
    _watch()
    _open.add(connection)


def signals_first() -> None:
    """Raise whatever a pending signal raises: Python checks for signals when a call begins."""


def _watch() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    if not _wake:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        threading.Thread(target=_interrupt, args=(reader,), daemon=True).start()
        _wake.append(writer)
    # each time: an asyncio event loop, such as a prompt's, resets it when it ends
    other = signal.set_wakeup_fd(_wake[0], warn_on_full_buffer=False)
    if other not in (-1, _wake[0]):  # of an enclosing event loop, as in a notebook
        signal.set_wakeup_fd(other)


def _interrupt(reader: int) -> None:
    while os.read(reader, 64):
        statement, until = _instruction(), time.monotonic() + _PATIENCE
        _interrupt_all()
        while _open and time.monotonic() < until:
            time.sleep(_AGAIN)
            if _instruction() != statement:
                break
            _interrupt_all()


def _instruction() -> tuple[int, int]:
    """Where the main thread is: as long as a statement lasts, at the same place."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return (id(frame), frame.f_lasti) if frame else (0, 0)


def _interrupt_all() -> None:
    """A separate function, so that a waiting thread holds no reference to a connection."""
    for connection in list(_open):
        with suppress(Exception):  # already closed
            connection.interrupt()


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call ``action`` every so many seconds in a daemon thread, during a ``with`` block."""
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


def begun(work: Callable[[], T]) -> Callable[[], T]:
    """Call ``work`` in a thread now; calling the result waits for it, and returns or raises what it
    did. The process does not end before it."""
    ended: list[Callable[[], T]] = []

    def run() -> None:
        try:
            result = work()
        except BaseException as raised:
            error = raised
            ended.append(lambda: _raise(error))
        else:
            ended.append(lambda: result)

    thread = threading.Thread(target=run)
    thread.start()

    def wait() -> T:
        thread.join()
        return ended[0]()

    return wait


def _raise(error: BaseException) -> NoReturn:
    raise error
