"""Lock live databases while DVC reads them.

A plain ``dvc add`` under concurrent writes stored torn content 14 times of 14. The order that
works: ``wal_checkpoint(TRUNCATE)``, ``BEGIN IMMEDIATE``, the ``-wal`` absent or empty, add,
``ROLLBACK``. Another process holds the locks, because POSIX drops all of a process's locks on a
file when that process closes any handle of it (sqlite.org/howtocorrupt.html, 2.2), and DVC opens
and closes the file in this process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import DATABASES, atomic_write, database_kind, umask

_HOLDER = r"""
import fcntl, os, sqlite3, sys, time
end = time.monotonic() + float(sys.argv[1])
def waits(path):
    return os.path.exists(path) and os.path.getsize(path) > 0
def again(step):
    while True:
        reason = step()
        if reason is None: return
        if time.monotonic() > end: sys.exit(reason)
        time.sleep(0.05)
held = []
def sqlite(path, inside):
    readonly = not os.access(path, os.W_OK)
    mode = "ro" if readonly else "rw"
    uri = "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    def step():
        try:
            db = sqlite3.connect(uri + "?mode=" + mode, uri=True, isolation_level=None, timeout=0.5)
            wal = db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            if readonly:
                held.append(db)
                return "rows wait in its -wal and it is read-only" if waits(path + "-wal") else None
            if wal:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if wal and inside:
                db.close()
                return "another process keeps rows in its -wal" if waits(path + "-wal") else None
            db.execute("BEGIN IMMEDIATE")
            if wal and waits(path + "-wal"):
                db.close()
                return "another process reads or writes it without a pause"
            held.append(db)
        except sqlite3.OperationalError as error:
            if "lock" in str(error) or "busy" in str(error):
                return "another process is writing to it"
            sys.exit(str(error))
        except sqlite3.DatabaseError as error:
            sys.exit(str(error))
    again(step)
def duckdb(path, inside):
    stream = open(path, "rb")
    held.append(stream)
    def step():
        try:
            fcntl.lockf(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return "another process has it open for writing"
        return "rows wait in its .wal: open it once and run CHECKPOINT" if waits(path + ".wal") else None
    again(step)
for item in sys.argv[2:]:
    kind, inside, path = item.split(":", 2)
    try:
        (sqlite if kind == "sqlite" else duckdb)(path, inside == "1")
    except SystemExit as reason:
        sys.stdout.write(path + "\n" + str(reason) + "\n")
        sys.stdout.flush()
        sys.exit(1)
sys.stdout.write("\n")
sys.stdout.flush()
sys.stdin.read()
for db in held:
    if isinstance(db, sqlite3.Connection) and db.in_transaction:
        db.execute("ROLLBACK")
    db.close()
"""


def databases_in(path: Path) -> Iterator[tuple[Path, str]]:
    """Return the databases that an output is or contains, with their kind."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                if name.endswith(DATABASES) or f"{name}-wal" in names:
                    file = Path(folder, name)
                    yield from _database(file)
    else:
        yield from _database(path)


def _database(path: Path) -> Iterator[tuple[Path, str]]:
    kind = database_kind(path)
    if kind in ("sqlite", "duckdb"):
        yield path, kind


@contextmanager
def held_still(outputs: Iterable[Path], timeout: float = 30.0) -> Iterator[list[Path]]:
    """Keep other processes from changing the databases of these outputs, as a context manager.

    Yields their paths. Waits up to ``timeout`` seconds for writers, then raises XexpError. In a
    directory output a WAL database is only checkpointed, because locking it would leave ``-wal``
    and ``-shm`` files for DVC to pick up.
    """
    found = [(file, kind, out) for out in outputs for file, kind in databases_in(out)]
    if not found:
        yield []
        return
    items = [f"{kind}:{int(file != out)}:{file}" for file, kind, out in found]
    command = [sys.executable, "-I", "-S", "-c", _HOLDER, str(timeout), *items]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as holder:
        assert holder.stdin and holder.stdout
        try:
            first = os.fsdecode(holder.stdout.readline()).rstrip("\n")
            if first or holder.poll():
                reason = os.fsdecode(holder.stdout.readline()).strip()
                raise _held_error(first, reason)
            yield [file for file, _, _ in found]
        finally:
            with suppress(BrokenPipeError):
                holder.stdin.close()


def _held_error(path: str, reason: str) -> XexpError:
    name = Path(path).name if path else "a database"
    return XexpError(
        f"cannot take a snapshot of {name}: {reason or 'it could not be opened'}",
        "let the process that writes it finish (or pause), then run the command again",
    )


def own_copy(path: Path) -> bool:
    """Replace a link (hard or symbolic) by a real, writable copy; return whether it was one.

    Atomic: the copy replaces the link once it is complete.
    """
    if not path.is_symlink() and path.stat().st_nlink == 1:
        return False
    with atomic_write(path, mode=0o666 & ~umask()) as copy:
        shutil.copyfile(path, copy)
    return True
