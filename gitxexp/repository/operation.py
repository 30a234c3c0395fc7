"""The log of operations and the way back from each.

Every step is written down *before* it is taken, with what is needed to take it back; so a process
that dies leaves its plan behind and the next one can clean up. The file lives in the git common
dir and is never tracked.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitxexp.common.errors import XexpError

# 1: operations and their steps
SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    verb TEXT NOT NULL,             -- "tag", "worktree new", …
    summary TEXT NOT NULL,          -- one line for people
    worktree TEXT NOT NULL,         -- absolute path of the work tree it ran in
    started REAL NOT NULL,          -- seconds since the epoch
    finished REAL,
    status TEXT NOT NULL,           -- running | done | unchanged | failed | recovered | undone
    pid INTEGER NOT NULL,
    result TEXT NOT NULL DEFAULT '{}'  -- JSON, what undo has to know of the outcome
);
CREATE TABLE IF NOT EXISTS steps (
    operation INTEGER NOT NULL REFERENCES operations(id),
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- names the handler that takes it back
    data TEXT NOT NULL,             -- JSON
    PRIMARY KEY (operation, seq)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One reversible change: ``kind`` names who can take it back, ``data`` (JSON) is what it needs."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the log. Times are seconds since the epoch."""

    id: int
    verb: str
    summary: str
    worktree: str
    started: float
    finished: float | None
    status: str
    pid: int
    result: dict[str, Any]


def printable(path: Path) -> str:
    """A path as text that SQLite and terminals accept, also when its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


class OpLog:
    """The log at ``path``; made when first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, verb: str, worktree: Path) -> int:
        """A new running operation; returns its id."""
        with self._open() as db:
            row = db.execute(
                "INSERT INTO operations (verb, summary, worktree, started, status, pid)"
                " VALUES (?, '', ?, ?, 'running', ?)",
                (verb, printable(worktree), time.time(), os.getpid()),
            )
            return int(row.lastrowid or 0)

    def record(self, operation: int, step: Step) -> int:
        """Write ``step`` down, durably, before it is taken; returns its number."""
        with self._open() as db:
            (seq,) = db.execute(
                "SELECT coalesce(max(seq), 0) + 1 FROM steps WHERE operation = ?", (operation,)
            ).fetchone()
            db.execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?)",
                (operation, seq, step.kind, json.dumps(step.data)),
            )
            return int(seq)

    def amend(self, operation: int, seq: int, step: Step) -> None:
        """Replace the data of a recorded step (what it became is known only once it was taken)."""
        with self._open() as db:
            db.execute(
                "UPDATE steps SET data = ? WHERE operation = ? AND seq = ?",
                (json.dumps(step.data), operation, seq),
            )

    def finish(
        self, operation: int, status: str, summary: str = "", result: dict[str, Any] | None = None
    ) -> None:
        """Close an operation with its outcome; an empty summary keeps the one it has."""
        with self._open() as db:
            db.execute(
                "UPDATE operations SET status = ?, finished = ?,"
                " summary = CASE ? WHEN '' THEN summary ELSE ? END,"
                " result = coalesce(?, result) WHERE id = ?",
                (
                    status,
                    time.time(),
                    summary,
                    summary,
                    None if result is None else json.dumps(result),
                    operation,
                ),
            )

    def steps(self, operation: int) -> list[Step]:
        """The steps of an operation in the order in which they were taken."""
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                "SELECT kind, data FROM steps WHERE operation = ? ORDER BY seq", (operation,)
            ).fetchall()
        return [Step(kind, json.loads(data)) for kind, data in rows]

    def operations(self, status: str | None = None, limit: int = -1) -> list[Operation]:
        """The newest ``limit`` operations (all if negative), newest first."""
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                "SELECT id, verb, summary, worktree, started, finished, status, pid, result"
                " FROM operations WHERE ?1 IS NULL OR status = ?1 ORDER BY id DESC LIMIT ?2",
                (status, limit),
            ).fetchall()
        return [Operation(*[*row[:-1], json.loads(row[-1])]) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=30, isolation_level="IMMEDIATE")
        except (OSError, sqlite3.Error) as error:
            raise XexpError(f"cannot open the operation log {self.path}: {error}") from error
        try:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                db.executescript(SCHEMA + "PRAGMA user_version = 1;")
            with db:
                yield db
        except sqlite3.Error as error:
            raise XexpError(
                f"the operation log {self.path} cannot be used: {error}",
                f"move it away to go on without the older undo steps: mv '{self.path}' /tmp/",
            ) from error
        finally:
            db.close()
