"""Operations, their steps, and the log of both.

Every step is recorded *before* it is taken, with what is needed to undo it; so a process that dies
leaves its plan behind and the next one can clean up. A step is a frozen dataclass defined next to
the code that takes it. The log file is in the git common dir and never tracked.
"""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, cast

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, is_full
from gitxexp.storage.git import Git, Places

#: The module of each kind of step. Logs are kept for long: a kind is never renamed.
STEPS = {
    "irreversible": "gitxexp.repository.operation:Irreversible",
    "file": "gitxexp.repository.files:FileChanged",
    "created": "gitxexp.repository.files:Created",
    "sealed": "gitxexp.repository.files:FileSealed",
    "folder": "gitxexp.repository.files:FolderMade",
    "ref": "gitxexp.repository.commit:RefMoved",
    "index": "gitxexp.repository.commit:IndexChanged",
    "published": "gitxexp.workflows.experiments.tag:Published",
    "stamp": "gitxexp.workflows.experiments.stamp:RowsStamped",
    "database": "gitxexp.workflows.experiments.stamp:DatabaseWritten",
    "restamp": "gitxexp.workflows.experiments.stamp:RowsRestamped",
    "objects": "gitxexp.workflows.models.cache:ObjectsAdded",
    "objects taken": "gitxexp.workflows.models.cache:ObjectsTaken",
    "sections": "gitxexp.workflows.merge.driver.install:SectionsMade",
    "configured": "gitxexp.workflows.merge.driver.install:SettingsRemoved",
    "worktree": "gitxexp.workflows.worktrees.create:WorktreeMade",
    "removed": "gitxexp.workflows.worktrees.remove:WorktreeRemoved",
    "placed": "gitxexp.workflows.models.steps:ModelReplaced",
    "put": "gitxexp.workflows.models.steps:ModelAdded",
    "put back": "gitxexp.workflows.models.steps:ModelPutBack",
    "brought back": "gitxexp.workflows.models.steps:ModelBroughtBack",
    "aside": "gitxexp.workflows.models.steps:ModelRemoved",
}

#: The format of recorded steps. 1 had no version, and recorded less about what a step left.
VERSION = 2


@dataclass(frozen=True, slots=True)
class Undoing:
    """The reversal of ``operation``: it failed or died, or the user requested or forced it.

    ``redo``: reverse its undo.
    """

    operation: int
    why: Literal["rollback", "undo", "force", "redo"]


class UndoContext(Protocol):
    """What a step needs from the repository to undo itself (a :class:`..repository.Project`)."""

    git: Git
    places: Places
    state: Path
    progress: Any

    def notify(self, text: str, /) -> None:
        """Show the user a message during the work."""

    def worktrees(self) -> list[dict[str, str]]:
        """The worktrees of the repository; see :func:`gitxexp.storage.git.list_worktrees`."""

    @property
    def log(self) -> OpLog:
        """The log of operations."""

    @property
    def main_top(self) -> Path:
        """The top of the main work tree."""

    @property
    def stat_cache(self) -> Path:
        """The cache of file hashes by stat."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Later work that undoing a step would lose: a description, and how to continue."""

    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The finished operation of a dead process: its log line, and its result."""

    summary: str
    result: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One reversible change. Undoing it twice, or when it was recorded but never taken, is safe."""

    kind: ClassVar[str]

    @property
    def subject(self) -> str | None:
        """Identifies what an operation may change more than once: only the last step left its
        current state."""
        return None

    def check(self, at: UndoContext) -> Changed | None:
        """Check whether the state is what the operation found or left: None, or what changed since."""
        raise NotImplementedError

    def is_possible(self, at: UndoContext) -> bool:
        """Whether what :meth:`undo` restores still exists."""
        return True

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        """Restore what the operation found; newer work is kept."""
        raise NotImplementedError

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        """Return steps whose :meth:`undo` redoes what this step's undo is about to revert, based on
        the current state; ``keep`` is the operation's folder. Empty for what undo leaves alone."""
        return (Irreversible(self.kind),)

    def finish(self, at: UndoContext) -> Finished | None:
        """Finish what a dead process had almost done, rather than undo it. None if that is not the
        case."""
        return None

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        """Parse the step from logged ``data`` of any version."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Irreversible(Step):
    """Marks an undone step of kind ``of`` that only its command can redo."""

    kind: ClassVar[str] = "irreversible"

    of: str

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        return


def load_step(kind: str, text: str) -> Step:
    """Parse the step in a log row; raises XexpError if a later version wrote it."""
    data = json.loads(text)
    if kind not in STEPS or data.pop("v", 1) > VERSION:
        raise XexpError(
            f"the operation log has a step '{kind}' that this git-xexp does not know",
            "upgrade: pip install --upgrade git-xexp",
        )
    module, _, name = STEPS[kind].partition(":")
    # late and by name: a step is defined next to what it undoes, in any package
    return cast(Step, getattr(importlib.import_module(module), name).load(data))


def dump_step(step: Step) -> str:
    """The step as JSON for the log."""
    return json.dumps({"v": VERSION, **asdict(step)})


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
    operation INTEGER NOT NULL,     -- its id; negative: the steps of its undo, for redo
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- names the class, see STEPS
    data TEXT NOT NULL,             -- JSON, with its version as "v"
    PRIMARY KEY (operation, seq)
) WITHOUT ROWID;
"""


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

    @property
    def line(self) -> str:
        """A description for the user: ``'tag' (e0.2.0 …)``."""
        return f"'{self.verb}'" + (f" ({self.summary})" if self.summary else "")


def printable(path: Path) -> str:
    """Return a path as text that SQLite and terminals accept, even if its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


class OpLog:
    """The log at ``path``; created on first write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, verb: str, worktree: Path) -> int:
        """Start a new operation; returns its id."""
        with self._open() as db:
            row = db.execute(
                "INSERT INTO operations (verb, summary, worktree, started, status, pid)"
                " VALUES (?, '', ?, ?, 'running', ?)",
                (verb, printable(worktree), time.time(), os.getpid()),
            )
            return int(row.lastrowid or 0)

    def record(self, operation: int, step: Step) -> int:
        """Record ``step`` durably before it is taken; returns its number."""
        with self._open() as db:
            (seq,) = db.execute(
                "SELECT coalesce(max(seq), 0) + 1 FROM steps WHERE operation = ?", (operation,)
            ).fetchone()
            db.execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?)",
                (operation, seq, step.kind, dump_step(step)),
            )
            return int(seq)

    def amend(self, operation: int, seq: int, step: Step) -> None:
        """Replace a recorded step (its outcome is known only after it was taken)."""
        with self._open() as db:
            db.execute(
                "UPDATE steps SET data = ? WHERE operation = ? AND seq = ?",
                (dump_step(step), operation, seq),
            )

    def forget_steps(self, operation: int) -> None:
        """Drop the steps of an operation."""
        with self._open() as db:
            db.execute("DELETE FROM steps WHERE operation = ?", (operation,))

    def finish(
        self, operation: int, status: str, summary: str = "", result: dict[str, Any] | None = None
    ) -> None:
        """Close an operation with its outcome; an empty summary keeps the existing one."""
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
        """The steps of an operation in order."""
        if not self.path.exists():
            return []
        with self._open() as db:
            rows = db.execute(
                "SELECT kind, data FROM steps WHERE operation = ? ORDER BY seq", (operation,)
            ).fetchall()
        return [load_step(kind, data) for kind, data in rows]

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
            if is_full(error):
                raise XexpError(
                    f"cannot write the operation log {self.path}: no space is left, or a limit is reached",
                    "make room, then try again",
                ) from error
            raise XexpError(
                f"the operation log {self.path} cannot be used: {error}",
                f"move it away to continue without the older undo steps: mv '{self.path}' /tmp/",
            ) from error
        finally:
            db.close()
