"""A cache of file hashes by stat, so that unchanged files are not read.

A record is trusted only when path, mtime (ns), inode and size all agree and the file had been
quiet for two seconds when it was recorded: a file can change twice within one tick of a clock
(git calls this a racy entry; git's Documentation/technical/racy-git.txt).
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

RACY_NS = 2_000_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stat (
    path BLOB PRIMARY KEY,      -- absolute; a directory's row sums up the stats of its files
    mtime_ns INTEGER NOT NULL,  -- a directory: the newest file's
    inode INTEGER NOT NULL,     -- a directory: 0
    size INTEGER NOT NULL,      -- a directory: bytes of all files
    signature BLOB NOT NULL,    -- a directory: SHA-256 over every file's name and stat; else empty
    hash TEXT NOT NULL,         -- md5 hex, ".dir" for a directory
    recorded_ns INTEGER NOT NULL
) WITHOUT ROWID
"""

#: mtime_ns, inode, size, signature
Key = tuple[int, int, int, bytes]


def key_of(info: os.stat_result) -> Key:
    """What identifies one state of a file."""
    return info.st_mtime_ns, info.st_ino, info.st_size, b""


class StatCache:
    """The table in the SQLite file at ``path``; created if missing, recreated if broken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new: dict[str, tuple[Key, str, int]] = {}
        self._db = self._open()

    def _open(self) -> sqlite3.Connection | None:
        """None if the folder is not writable: then nothing is cached."""
        for _ in range(2):
            db = None
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
                db.execute("PRAGMA synchronous=OFF")  # it can always be computed again
                db.execute(_SCHEMA)
                db.execute("SELECT path, signature, recorded_ns FROM stat LIMIT 1").fetchone()
                return db
            except sqlite3.OperationalError as error:
                if db is not None:
                    db.close()
                if "no such column" not in str(error):
                    return None
                self.path.unlink(missing_ok=True)
            except sqlite3.DatabaseError:
                self.path.unlink(missing_ok=True)
            except OSError:
                return None
        return None

    def get(self, path: str, key: Key) -> str | None:
        """Return the hash recorded for exactly this state, if the record can be trusted."""
        if self._db is None:
            return None
        row = self._db.execute(
            "SELECT mtime_ns, inode, size, signature, hash, recorded_ns FROM stat WHERE path = ?",
            (os.fsencode(path),),
        ).fetchone()
        if row is None or row[:4] != key or row[0] > row[5] - RACY_NS:
            return None
        return str(row[4])

    def below(self, folder: str) -> dict[str, tuple[Key, str]]:
        """Return every trusted record of files below a directory: path → state and hash."""
        if self._db is None:
            return {}
        rows = self._db.execute(
            "SELECT path, mtime_ns, inode, size, signature, hash FROM stat "
            "WHERE path > ? AND path < ? AND mtime_ns <= recorded_ns - ?",
            (os.fsencode(folder + "/"), os.fsencode(folder + "0"), RACY_NS),
        )
        return {os.fsdecode(row[0]): (row[1:5], row[5]) for row in rows}

    def put(self, path: str, key: Key, digest: str, started_ns: int) -> None:
        """Record a hash whose computation began at ``started_ns``; written by :meth:`close`."""
        self._new[path] = (key, digest, started_ns)

    def close(self) -> None:
        """Write new records in one transaction. A failure only costs time later."""
        if self._db is None:
            return
        try:
            if self._new:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(
                    "INSERT OR REPLACE INTO stat VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        (os.fsencode(path), *key, digest, at)
                        for path, (key, digest, at) in self._new.items()
                    ),
                )
                self._db.execute("COMMIT")
        except sqlite3.Error:
            pass
        finally:
            self._db.close()


def now_ns() -> int:
    """The clock that file times come from, in nanoseconds."""
    return time.time_ns()
