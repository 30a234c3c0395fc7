"""The queue: every sweep of the repository and the state of each of its runs.

One SQLite file in the git common dir, never tracked. A run goes through the states of
:class:`State`, each recorded only after its data is on disk, so that a resumed sweep knows the
state of each run.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project

# 1: sweeps and their tasks
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sweeps (
    id TEXT PRIMARY KEY NOT NULL,   -- of the command, the configurations, the code and the data
    request TEXT NOT NULL,          -- JSON: what the user asked for, to go on without being told
    code TEXT NOT NULL,             -- hash of the code
    data TEXT NOT NULL,             -- hash of the data
    revision TEXT NOT NULL,         -- the commit that runs
    started REAL NOT NULL,          -- seconds since the epoch
    ended REAL,                     -- NULL: not yet, or it was interrupted
    pid INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS tasks (
    sweep TEXT NOT NULL,
    number INTEGER NOT NULL,
    params TEXT NOT NULL,           -- JSON: what the configuration sets
    key TEXT NOT NULL,              -- hash of all parameters, as they are before the run
    state TEXT NOT NULL,            -- queued | started | ended | merged | recorded
    result TEXT NOT NULL DEFAULT '',-- "", done, failed, timeout, stopped, skipped
    attempts INTEGER NOT NULL DEFAULT 0,
    run TEXT NOT NULL DEFAULT '',   -- the name of the run
    started REAL,
    ended REAL,
    outcome TEXT NOT NULL DEFAULT '{}',  -- JSON: what the run left
    PRIMARY KEY (sweep, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_by_key ON tasks (key, state);
"""


class State(StrEnum):
    """The state of a run. Ended: its outputs are kept in its folder; merged: its rows are in the
    results; recorded: the registry has it."""

    QUEUED = "queued"
    STARTED = "started"
    ENDED = "ended"
    MERGED = "merged"
    RECORDED = "recorded"


class Result(StrEnum):
    """How a run ended."""

    NONE = ""
    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"


#: The allowed transitions between states; any state may return to the queue to be run again.
NEXT = {
    State.QUEUED: (State.STARTED, State.RECORDED),  # recorded at once: skipped
    State.STARTED: (State.ENDED,),
    State.ENDED: (State.MERGED,),
    State.MERGED: (State.RECORDED,),
    State.RECORDED: (),
}


@dataclass(frozen=True)
class Task:
    """One run of a sweep."""

    sweep: str
    number: int
    params: dict[str, Any]
    key: str
    state: State = State.QUEUED
    result: Result = Result.NONE
    attempts: int = 0
    run: str = ""
    started: float | None = None
    ended: float | None = None
    outcome: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """One sweep. ``running``: whether a process works on it now."""

    id: str
    request: dict[str, Any]
    code: str
    data: str
    revision: str
    started: float
    ended: float | None
    pid: int
    running: bool = False


_TASK = "sweep, number, params, key, state, result, attempts, run, started, ended, outcome"
_SWEEP = "id, request, code, data, revision, started, ended, pid"


class Queue:
    """The queue in ``folder``; created on first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "queue.db"
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    # -- sweeps ------------------------------------------------------------------------------------

    def begin(self, sweep: Sweep, tasks: Sequence[Task]) -> bool:
        """Add a sweep with its runs; return False, and reopen it, if it exists already."""
        with self._write() as db:
            row = (sweep.id, json.dumps(sweep.request), sweep.code, sweep.data, sweep.revision,
                   sweep.started, None, os.getpid())  # fmt: skip
            done = db.execute(
                f"INSERT OR IGNORE INTO sweeps ({_SWEEP}) VALUES (?,?,?,?,?,?,?,?)", row
            )
            if not done.rowcount:
                sql = "UPDATE sweeps SET ended = NULL, pid = ?, request = ? WHERE id = ?"
                db.execute(sql, (os.getpid(), json.dumps(sweep.request), sweep.id))
                return False
            self._add(db, tasks)
            return True

    def add(self, tasks: Sequence[Task]) -> None:
        """Add more runs."""
        with self._write() as db:
            self._add(db, tasks)

    def _add(self, db: sqlite3.Connection, tasks: Sequence[Task]) -> None:
        rows = ((t.sweep, t.number, json.dumps(t.params), t.key) for t in tasks)
        db.executemany(
            "INSERT INTO tasks (sweep, number, params, key, state) VALUES (?, ?, ?, ?, 'queued')",
            rows,
        )

    def finish(self, sweep: str) -> None:
        """Mark the sweep as complete."""
        with self._write() as db:
            db.execute("UPDATE sweeps SET ended = ? WHERE id = ?", (time.time(), sweep))

    def sweeps(self) -> list[Sweep]:
        """Every sweep, newest first."""
        if not self.path.exists():
            return []
        rows = self._read(f"SELECT {_SWEEP} FROM sweeps ORDER BY started DESC, id")
        return [
            Sweep(
                id, json.loads(request), code, data, revision, began, ended, pid, self.is_held(id)
            )
            for id, request, code, data, revision, began, ended, pid in rows
        ]

    def sweep(self, name: str | None = None) -> Sweep:
        """The sweep whose id begins with ``name`` (None: the newest). Raises XexpError."""
        known = self.sweeps()
        if not known:
            raise XexpError("there is no sweep in this repository", "git xexp sweep -h")
        found = [each for each in known if name is None or each.id.startswith(name)]
        if not found:
            raise XexpError(f"there is no sweep {name}", "git xexp sweep --list")
        if name is not None and len(found) > 1:
            raise XexpError(f"'{name}' is ambiguous", "git xexp sweep --list")
        return found[0]

    @contextmanager
    def held(self, sweep: str) -> Iterator[None]:
        """Lock a sweep for this process. The kernel releases the lock when the process ends.

        Raises NoAnswer if another process holds it.
        """
        path = self._lock(sweep)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(path)
        if handle is None:
            raise NoAnswer(
                f"sweep {sweep} is running already",
                "watch it: git xexp sweep --status; end it: git xexp sweep --stop",
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(handle)

    def is_held(self, sweep: str) -> bool:
        """Whether a process works on the sweep."""
        with suppress(FileNotFoundError), self._lock(sweep).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def stop_file(self, sweep: str) -> Path:
        """The file whose presence ends the sweep."""
        return self.folder / f"{sweep}.stop"

    def _lock(self, sweep: str) -> Path:
        return self.folder / f"{sweep}.lock"

    # -- runs --------------------------------------------------------------------------------------

    def tasks(self, sweep: str, *states: State) -> list[Task]:
        """The runs of a sweep, in ``states`` or all, by number."""
        marks = ", ".join("?" * len(states))
        only = f" AND state IN ({marks})" if states else ""
        sql = f"SELECT {_TASK} FROM tasks WHERE sweep = ?{only} ORDER BY number"
        return [_task(row) for row in self._read(sql, sweep, *states)]

    def counts(self, sweep: str) -> dict[tuple[State, Result], int]:
        """How many runs are in each state, by how they ended."""
        sql = "SELECT state, result, count(*) FROM tasks WHERE sweep = ? GROUP BY 1, 2"
        return {(State(s), Result(r)): count for s, r, count in self._read(sql, sweep)}

    def done(
        self, keys: Iterable[str], command: Sequence[str], code: str, data: str
    ) -> dict[str, str]:
        """Return those ``keys`` that succeeded with this command, code and data; key → run."""
        found: dict[str, str] = {}
        wanted = set(keys)
        sql = (
            "SELECT tasks.key, tasks.run, sweeps.request FROM tasks JOIN sweeps ON sweeps.id = sweep"
            " WHERE result = 'done' AND state IN ('ended', 'merged', 'recorded')"
            " AND code = ? AND data = ?"
        )
        for key, run, request in self._read(sql, code, data) if self.path.exists() else ():
            if key in wanted and json.loads(request).get("command") == list(command):
                found.setdefault(key, run)
        return found

    def claim(self, task: Task, facts: Mapping[str, Any]) -> Task | None:
        """Move a run to started, with ``facts`` as its columns, unless another sweep of this command,
        code and data runs its configuration now or has run it well; returns that one's run then."""
        with self._write() as db:
            other = self._elsewhere(db, task)
            if other is None:
                named = ", ".join(f"{name} = ?" for name in facts)
                db.execute(
                    f"UPDATE tasks SET state = 'started', {named}"
                    " WHERE sweep = ? AND number = ? AND state = 'queued'",
                    (*facts.values(), task.sweep, task.number),
                )
            return other

    def _elsewhere(self, db: sqlite3.Connection, task: Task) -> Task | None:
        columns = ", ".join(f"tasks.{name}" for name in _TASK.split(", "))
        sql = (
            f"SELECT {columns}, theirs.request, mine.request FROM tasks"
            " JOIN sweeps AS theirs ON theirs.id = tasks.sweep JOIN sweeps AS mine ON mine.id = ?"
            " WHERE tasks.key = ? AND tasks.sweep <> mine.id"
            " AND theirs.code = mine.code AND theirs.data = mine.data"
            " AND (tasks.state = 'started' OR tasks.result = 'done')"
            " ORDER BY tasks.result DESC"
        )
        for *row, theirs, mine in db.execute(sql, (task.sweep, task.key)).fetchall():
            other = _task(row)
            same = json.loads(theirs).get("command") == json.loads(mine).get("command")
            if same and (other.result is Result.DONE or self.is_held(other.sweep)):
                return other
        return None

    def measured(self, runs: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The metrics of runs of any sweep, by run."""
        found: dict[str, dict[str, Any]] = {}
        for run in runs:
            for (outcome,) in self._read("SELECT outcome FROM tasks WHERE run = ?", run):
                found[run] = json.loads(outcome).get("metrics", {})
        return found

    def move(
        self,
        tasks: Iterable[Task],
        state: State,
        facts: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        """Move runs to ``state``; ``facts`` are columns to set, by number.

        A run whose current state does not allow it is left alone: another process has moved it.
        """
        before = [other for other, after in NEXT.items() if state in after]
        if state is State.QUEUED:
            before = list(State)
        with self._write() as db:
            for task in tasks:
                columns = {"state": state, **(facts or {}).get(task.number, {})}
                if "outcome" in columns:
                    columns["outcome"] = json.dumps(columns["outcome"])
                named = ", ".join(f"{name} = ?" for name in columns)
                marks = ", ".join("?" * len(before))
                db.execute(
                    f"UPDATE tasks SET {named} WHERE sweep = ? AND number = ? AND state IN ({marks})",
                    (*columns.values(), task.sweep, task.number, *before),
                )

    # -- the file ----------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            db = sqlite.connect(self.path, timeout=30)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")
            self._db = db
        return self._db

    def _read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._open().execute(sql, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise XexpError(
                f"the queue {self.path} cannot be used: {error}",
                "check the free space; run the same command to continue the sweep",
            ) from error


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock ``path``; None if another process holds it. Who held it
    before may have removed the file meanwhile."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)


def queue_of(project: Project) -> Queue:
    """The queue of the repository."""
    return Queue(project.state / "sweeps")


def _task(row: Sequence[Any]) -> Task:
    sweep, number, params, key, state, result, attempts, run, started, ended, outcome = row
    return Task(sweep, number, json.loads(params), key, State(state), Result(result), attempts, run,
                started, ended, json.loads(outcome))  # fmt: skip
