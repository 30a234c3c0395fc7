"""A repository whose training takes a moment, and what may be left of a sweep."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gitxexp.repository.repository import Project
from gitxexp.workflows.runs import record
from gitxexp.workflows.runs.record import RunRecord
from tests.helpers import Repo, xexp_inside

#: Reads params.yaml, logs a row as xetrack would, and overwrites metrics and model. What goes wrong
#: is chosen by the parameter ``seed``.
TRAIN = """
import json, os, pathlib, shutil, signal, sqlite3, subprocess, sys, time
params = dict(line.split(": ") for line in open("params.yaml").read().splitlines() if ": " in line)
lr, seed, run = float(params["lr"]), int(params["seed"]), os.environ["XEXP_RUN"]
print("training", lr, flush=True)
if seed == 13:
    sys.exit("diverged")
if seed == 14:
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    time.sleep(600)
if seed == 15:
    shutil.rmtree(os.getcwd())
    sys.exit(0)
if seed == 16:
    open("results/experiments.db", "wb").write(b"SQLite format 3" + bytes(5000))
    sys.exit(0)
if seed == 17:
    sys.exit(0)
if seed == 18:
    time.sleep(0.3)
db = sqlite3.connect("results/experiments.db")
f1 = round(0.9 - abs(lr - 0.1), 4)
db.execute("INSERT INTO predictions (track_id, timestamp, model, lr, f1) VALUES (?, ?, ?, ?, ?)",
           (f"t-{run}", "2024-01-01 00:00:00", params["model"], lr, f1))
db.commit()
pathlib.Path("metrics.json").write_text(json.dumps({"f1": f1}))
size = 65_000_000 if seed == 19 else 0
pathlib.Path("models/production/model.bin").write_bytes(b"model of %r" % lr + bytes(size))
"""

#: The interpreter without site-packages starts in 10 ms.
TRAINING = (sys.executable, "-S", "train.py")


def trainable(repo: Repo) -> Repo:
    """The repository with the training above, committed."""
    repo.write("train.py", TRAIN)
    repo.commit("a quick training")
    return repo


def rows(repo: Repo) -> list[tuple[Any, ...]]:
    """The rows of sweeps in the user's results: lr and f1, sorted."""
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db:
        sql = "SELECT lr, f1 FROM predictions WHERE track_id LIKE 't-%' ORDER BY lr, f1"
        return db.execute(sql).fetchall()


def records(repo: Repo) -> list[RunRecord]:
    """The run records, oldest first."""
    return record.read(Project.open(repo.path))[::-1]


def assert_nothing_left(repo: Repo) -> None:
    """No worktree, branch, lock, flag, or process of a sweep."""
    assert len(repo.git("worktree", "list").splitlines()) == 1
    assert repo.git("branch", "--format=%(refname)").split() == ["refs/heads/main"]
    state = repo / ".git/xexp/sweeps"
    left = sorted(path.name for path in state.iterdir())
    assert [name for name in left if not name.startswith("queue.db") and ".study" not in name] == []
    assert not (repo / ".git/worktrees").exists()
    assert processes_of_sweeps(repo) == []


def processes_of_sweeps(repo: Repo) -> list[int]:
    """The processes whose log is in this repository."""
    wanted = f"XEXP_LOG={repo.path}/".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in Path(entry.path, "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def begin(
    repo: Repo, *words: str, before: Callable[[], None] | None = None, verb: str = "sweep"
) -> int:
    """``git xexp sweep WORDS`` in a copy of this process; its number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before is not None:
            before()
        code = xexp_inside(verb, *words, cwd=repo.path).code
    finally:
        os._exit(code)


def ended(child: int, seconds: float = 30) -> int:
    """Its exit code, as a shell says it."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("it did not end")


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for a condition."""
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, "it did not happen"
        time.sleep(0.03)  # conditions look at all processes
