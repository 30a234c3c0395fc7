"""The output of a merge: a new file that replaces the old one atomically, or the file itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.files import put, remove_left, sync, temporary_beside, umask
from gitxexp.common.sqlite import address
from gitxexp.tables.sqlite.files import SMALL, Header, clear_errors, read_headers
from gitxexp.tables.sqlite.pages import Copies
from gitxexp.tables.sqlite.source import ENCODINGS, Source, connect, copy_file

CACHE_KIB = 64 * 1024  #: page cache; far below the promised 300 MB
MMAP_BYTES = 1 << 40  #: SQLite lowers this to its own limit


class Work(ABC):
    """A connection for changes that are kept or dropped at the end."""

    con: sqlite3.Connection
    header: Header | None = None

    @abstractmethod
    def restart(self) -> None:
        """Discard all changes and begin again."""

    @abstractmethod
    def keep(self) -> None:
        """Commit the changes to the target."""

    @abstractmethod
    def drop(self) -> None:
        """Discard the changes. Safe to call at any time, even after ``keep``."""


class NewFile(Work):
    """A copy next to ``out`` that replaces it at the end.

    ``base`` is copied first (None: the file begins empty). While the copy is worked on, the base is
    locked, so that no writer's rows fall between the copy and the rename.
    """

    def __init__(
        self,
        base: Source | None,
        out: Path,
        encoding: int,
        planning: bool,
        copies: Copies | None = None,
    ) -> None:
        self.base, self.out, self.encoding, self.copies = base, out, encoding, copies
        self.header = base.header if base else None
        self.replacing = bool(base and out.exists() and base.path.samefile(out)) and not planning
        self.folder = out.absolute().parent
        self.scratch: Path | None = None
        if planning:
            self.scratch = _roomy_folder(base.size if base else 0, self.folder)
        elif not self.folder.is_dir() or not os.access(self.folder, os.W_OK | os.X_OK):
            raise XexpError(f"cannot write in {self.folder}", "is the folder there and writable?")
        remove_left(self.folder / out.name)
        self.temp = temporary_beside((self.scratch or self.folder) / out.name)
        self.hold: sqlite3.Connection | None = None
        self._start()

    def _start(self) -> None:
        try:
            with clear_errors(self.base.path if self.base else self.out, reading=True):
                self._copy()
                self.con = _open_copy(self.temp)
                if self.base is None:
                    self.con.execute(f"PRAGMA encoding='{ENCODINGS[self.encoding]}'")
        except BaseException:
            self.drop()
            raise

    def _copy(self) -> None:
        if self.base is None:
            with self.temp.open("xb"):
                pass
            return
        if self.hold is None:
            self.hold = _lock(self.base, self.replacing)
        if self.base.size <= SMALL:
            self.temp.write_bytes(self.hold.serialize())
        elif self.replacing or (self.base.raw is not None and not _wal_pending(self.base)):
            if self.copies is not None and self.base.raw == self.base.path:
                self.copies.copy(self.temp)
            else:
                raw = self.base.path if self.replacing else self.base.raw
                copy_file(raw or self.base.path, self.temp)
        else:
            with closing(connect(address(self.temp, "rwc"))) as copied:
                self.hold.backup(copied)

    def restart(self) -> None:
        self.con.close()
        _unlink(self.temp)
        self._start()

    def keep(self) -> None:
        with clear_errors(self.out):
            if self.header and self.header.wal:
                self.con.execute("PRAGMA journal_mode=WAL").fetchone()
            self.con.close()
            self._same_owner()
            sync(self.temp)
            if self.replacing and self.hold and self.header and self.header.wal:
                self.hold.rollback()
                self.hold.execute("PRAGMA journal_mode=DELETE").fetchone()
            put(self.temp, self.out)
            sync(self.folder)

    def _same_owner(self) -> None:
        like = self.out if self.out.exists() else None
        mode = like.stat().st_mode & 0o7777 if like else 0o666 & ~umask()
        self.temp.chmod(mode)
        if like:
            with suppress(OSError):
                os.chown(self.temp, like.stat().st_uid, like.stat().st_gid)

    def drop(self) -> None:
        for con in (getattr(self, "con", None), self.hold):
            if con is not None:
                con.close()
        self.hold = None
        if self.copies is not None:
            self.copies.close()
        _unlink(self.temp)
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


class InPlace(Work):
    """The target itself, changed in one transaction."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.header = read_headers([target])[0]
        with clear_errors(target):
            self.con = connect(address(target, "rw"))
            _settings(self.con)

    def restart(self) -> None:
        if self.con.in_transaction:
            self.con.execute("ROLLBACK")

    def keep(self) -> None:
        """Do nothing: the engine has committed."""

    def drop(self) -> None:
        with suppress(sqlite3.Error):
            self.restart()
        self.con.close()


def refuse_links(target: Path) -> None:
    """Raise XexpError for a symlink or a file with several names: it may be a cache's object."""
    if target.is_symlink():
        raise XexpError(
            f"{target} is a symbolic link to {target.readlink()}",
            "run `dvc unprotect` on it, name the real file, or write elsewhere with -o",
        )
    if target.exists() and target.stat().st_nlink > 1:
        raise XexpError(
            f"{target} is a hard link: writing would change another file too",
            "run `dvc unprotect` on it, or write elsewhere with -o",
        )


def _open_copy(temp: Path) -> sqlite3.Connection:
    """Open the private copy without journal and syncs: a crash would only leave an unused file."""
    con = connect(address(temp, "rw"))
    con.execute("PRAGMA main.locking_mode=EXCLUSIVE").fetchone()
    con.execute("PRAGMA main.journal_mode=OFF").fetchone()
    con.execute("PRAGMA main.synchronous=OFF")
    con.execute(f"PRAGMA main.mmap_size={MMAP_BYTES}").fetchone()
    _settings(con)
    return con


def _settings(con: sqlite3.Connection) -> None:
    con.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    con.execute("PRAGMA foreign_keys=OFF")
    con.execute("PRAGMA recursive_triggers=OFF")
    con.execute("PRAGMA temp.cache_size=-32768")


def _lock(base: Source, writing: bool) -> sqlite3.Connection:
    """Return a connection that locks the base, against other writers too if it is to be replaced."""
    con = connect(address(base.path, "rw") if writing else base.uri)
    try:
        if writing and base.header.wal:
            con.execute("PRAGMA locking_mode=EXCLUSIVE").fetchone()
            if con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError("database is locked")
        con.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        con.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        con.close()
        raise
    return con


def _wal_pending(base: Source) -> bool:
    wal = Path(f"{base.path.resolve()}-wal")
    return base.header.wal and base.raw == base.path and wal.exists() and wal.stat().st_size > 0


def _roomy_folder(size: int, folder: Path) -> Path:
    """A private folder with room for a plan's copy."""
    place = Path(tempfile.gettempdir())
    if shutil.disk_usage(place).free < 2 * size:
        place = folder
    return Path(tempfile.mkdtemp(prefix="xexp-plan-", dir=place))


def _unlink(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(OSError):
            Path(f"{path}{suffix}").unlink()
