"""What remotes were last verified to have, and when, for commands that do not ask them.

One row per object and place, written by every command that asks. It is local to this clone: only
asking again shows what has vanished since. What a remote was found to lack after it had it stays known.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.storage.dvc.places import remote_name, remote_url
from gitxexp.storage.dvc.pointer_file import Output

_SCHEMA = """
CREATE TABLE IF NOT EXISTS proved (
    place TEXT NOT NULL,  -- Place.key
    oid TEXT NOT NULL,
    path TEXT NOT NULL,  -- of the file, from the top of the work tree
    output TEXT NOT NULL,  -- the object of the output that it belongs to
    at REAL NOT NULL,  -- seconds since 1970; negative: when it was found to have vanished
    PRIMARY KEY (oid, place)
) WITHOUT ROWID
"""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """One layout of objects on one remote of a DVC project."""

    root: str  #: the project's folder, relative to the top
    remote: str  #: the remote's name
    url: str
    legacy: bool = False

    @property
    def key(self) -> str:
        """Its key: the address is hashed, because it may contain a password."""
        import hashlib  # late: OpenSSL takes 3 ms, and a list of models asks no remote

        address = hashlib.sha256(self.url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return f"{address}{'/2' if self.legacy else ''}"


#: Stands for the artifacts of an experiment, identified by its tag object.
TAGS = RemotePlace("", "", "tags")


def place_of(top: Path, output: Output) -> RemotePlace | None:
    """Return the remote that an output belongs on, as named in proofs; None if there is none."""
    name = remote_name(top / output.root, pointer=output.remote)
    url = remote_url(top / output.root, name) if name else None
    if name is None or url is None:
        return None
    return RemotePlace(output.root, name, url, output.legacy)


@dataclass(frozen=True, slots=True)
class Proof:
    """An object that was present."""

    oid: str
    path: str
    output: str


def keep(file: Path, place: RemotePlace, proved: Iterable[Proof], lacking: Iterable[str]) -> None:
    """Record what a remote was just verified to have, and of what it had before that it lacks it.

    Best effort: the answer is valid even if recording fails.
    """
    now, proved = time.time(), list(proved)
    rows = [(place.key, one.oid, one.path, one.output, now) for one in proved]
    gone = [(-now, place.key, oid) for oid in lacking]
    if not rows and not (gone and file.exists()):
        return
    with suppress(OSError, sqlite3.Error):
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=10)) as db, db:
            db.execute(_SCHEMA)
            found = [(one.oid,) for one in proved]  # a remote that moved has it at another address
            db.executemany("DELETE FROM proved WHERE oid = ? AND at < 0", found)
            db.executemany("INSERT OR REPLACE INTO proved VALUES (?, ?, ?, ?, ?)", rows)
            db.executemany("UPDATE proved SET at = ? WHERE place = ? AND oid = ? AND at > 0", gone)


def times(file: Path, place: RemotePlace, oids: Iterable[str]) -> dict[str, float]:
    """Return when each of these objects was last verified; those that never were, or have vanished since,
    are left out."""
    found: dict[str, float] = {}
    wanted = list(oids)
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        sql = f"SELECT oid, at FROM proved WHERE place = ? AND at > 0 AND oid IN ({marks})"
        found |= dict(_rows(file, sql, place.key, *some))
    return found


def vanished(file: Path) -> set[str]:
    """Return the objects of outputs that a remote lacked when it was last asked, and had before."""
    return {oid for (oid,) in _rows(file, "SELECT DISTINCT output FROM proved WHERE at < 0")}


def everything(file: Path, place: RemotePlace) -> list[Proof]:
    """Return all objects that the remote was verified to have, also those that have vanished."""
    sql = "SELECT oid, path, output FROM proved WHERE place = ?"
    return [Proof(*row) for row in _rows(file, sql, place.key)]


def _rows(file: Path, sql: str, *values: str) -> Iterator[Any]:
    if not file.exists():
        return
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db,
    ):
        yield from db.execute(sql, values)
