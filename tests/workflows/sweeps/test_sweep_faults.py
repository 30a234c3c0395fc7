"""Whatever happens to a sweep or to a run of it, the same command goes on, and nothing counts twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import pytest

from gitxexp.repository.repository import Project
from gitxexp.workflows.sweeps.queue import Queue, State, Task
from tests.helpers import Repo
from tests.workflows.sweeps.sweep_tools import (
    TRAINING,
    assert_nothing_left,
    begin,
    ended,
    processes_of_sweeps,
    records,
    rows,
    trainable,
    until,
)

#: Holds a database until a file is there (a pipe would be inherited), then commits a row.
WRITER = """
import os, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
db.execute("INSERT INTO predictions (track_id, timestamp, lr) VALUES ('theirs', 'now', 9)")
print("writing", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
db.execute("COMMIT")
"""


def killed_at(state: State, *, after: bool) -> Callable[[], None]:
    """Have this process killed with a run's first step to ``state``: just before it is written down,
    or just after."""

    def install() -> None:
        move, claim = Queue.move, Queue.claim

        def step(to: State, do: Callable[[], Any]) -> Any:
            if to is state and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            found = do()
            if to is state:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        def moved(queue: Queue, tasks: Iterable[Task], to: State, *rest: Any) -> None:
            if own := list(tasks):
                step(to, lambda: move(queue, own, to, *rest))

        def claimed(queue: Queue, task: Task, facts: Any) -> Any:
            return step(State.STARTED, lambda: claim(queue, task, facts))

        Queue.move, Queue.claim = moved, claimed  # type: ignore[method-assign]

    return install


def test_kill_9_at_every_state_of_a_run_and_the_same_command_goes_on(set_up: Repo) -> None:
    repo = trainable(set_up)
    expected = []
    for number, (state, after) in enumerate(
        [(State.STARTED, False), (State.STARTED, True), (State.ENDED, False), (State.ENDED, True),
         (State.MERGED, False), (State.MERGED, True), (State.RECORDED, False), (State.RECORDED, True)]
    ):  # fmt: skip
        lr = round(0.2 + number / 10, 1)
        words = ("-S", f"lr={lr}", "-S", "seed=7", "-j", "1", "--", *TRAINING)
        expected.append((lr, round(0.9 - abs(lr - 0.1), 4)))
        assert ended(begin(repo, *words, before=killed_at(state, after=after))) == 137
        if state is State.ENDED:  # the pool and the flag of a lock were left
            assert len(repo.git("worktree", "list").splitlines()) == 2
        repo.xexp("sweep", *words).good()
        assert rows(repo) == expected, (state, after)
        assert [each.params["lr"] for each in records(repo)] == [lr for lr, _ in expected]
        assert_nothing_left(repo)


def test_ctrl_c_once_and_twice_a_second_coordinator_and_stop(set_up: Repo) -> None:
    repo = trainable(set_up)
    slow = ("-S", "lr=0.1,0.2,0.3,0.4", "-S", "seed=14,18", "-j", "2", "--", *TRAINING)

    def run_is_under_way() -> bool:
        return len(processes_of_sweeps(repo)) >= 2

    for kills, by_stop in ((1, False), (2, False), (1, True)):
        child = begin(repo, *slow)
        until(run_is_under_way)
        twice = repo.xexp("sweep", *slow)  # the same sweep, twice at once
        assert twice.code == 1 and "running already" in twice.err
        assert repo.xexp("sweep", "--status", "--json").good().json()["state"] == "running"
        if by_stop:
            assert repo.xexp("sweep", "--stop").good().out.startswith("sweep ")
        for _ in range(0 if by_stop else kills):
            os.kill(child, signal.SIGINT)
            time.sleep(0.05)
        assert ended(child, 15) == 130
        assert_nothing_left(repo)
        assert repo.xexp("sweep", "--status", "--json").good().json()["state"] == "interrupted"
    assert all(each.status == "done" for each in records(repo))


def test_two_sweeps_at_once_while_somebody_else_writes_and_a_tag_is_made(set_up: Repo) -> None:
    repo = trainable(set_up)
    database = repo / "results/experiments.db"
    flag = repo.path.with_name("flag")
    command = [sys.executable, "-S", "-c", WRITER, str(database), str(flag)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline() == b"writing\n"
        first = begin(repo, "-S", "lr=0.1,0.2", "-S", "seed=18", "--", *TRAINING)
        second = begin(repo, "-S", "lr=0.3,0.4", "-S", "seed=18", "--", *TRAINING)

        def all_ended() -> bool:
            queue = Queue(Project.open(repo.path).state / "sweeps")
            done = [len(queue.tasks(each.id, State.ENDED)) for each in queue.sweeps()]
            queue.close()
            return done == [2, 2]

        until(all_ended)
        assert [os.waitpid(child, os.WNOHANG)[0] for child in (first, second)] == [0, 0]
        flag.touch()
    assert (ended(first), ended(second)) == (0, 0)
    assert [lr for lr, _ in rows(repo)] == [0.1, 0.2, 0.3, 0.4]
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT count(*) FROM predictions WHERE lr = 9").fetchone() == (1,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(records(repo)) == 4
    child = begin(repo, "-S", "lr=0.5,0.6,0.7", "-S", "seed=18", "-j", "1", "--", *TRAINING)
    until(lambda: processes_of_sweeps(repo))
    repo.xexp("tag", "-a", "-m", "meanwhile", "--allow-mismatch").good()
    assert ended(child) == 0
    assert len(rows(repo)) == 7 and len(records(repo)) == 7
    assert_nothing_left(repo)


def test_commands_that_hang_flee_destroy_and_leave_nothing(set_up: Repo) -> None:
    repo = trainable(set_up)
    words = ("-S", "seed=14,15,16,17,7", "-S", "lr=0.3", "-j", "2", "--timeout", "1s")
    done = repo.xexp("sweep", *words, "--", *TRAINING)
    assert done.code == 1 and "timed out" in done.err
    by_seed = {each.params["seed"]: each for each in records(repo)}
    assert {seed: each.status for seed, each in by_seed.items()} == {
        14: "timeout", 15: "done", 16: "done", 17: "done", 7: "done"
    }  # fmt: skip
    assert by_seed[16].metrics == {} and by_seed[17].metrics == {}
    assert rows(repo) == [(0.3, 0.7)]
    assert_nothing_left(repo)
    missing = repo.xexp("sweep", "-S", "lr=1,2", "--", "no-such-command")
    assert missing.code == 128 and "no-such-command" in missing.err
    quoted = repo.xexp("sweep", "-S", "lr=1,2", "--", "python train.py")
    assert quoted.code == 128 and "give its words one by one: python train.py" in quoted.err
    named = repo.xexp("sweep", "-S", "seed=7", "-S", "lr=0.3", "--metric", "rouge", "--", *TRAINING)
    assert "no run has a value for rouge; they have f1" in named.good().err
    unknown = repo.xexp("sweep", "-S", "rate=1,2", "--", *TRAINING)
    assert unknown.code == 129 and "rate" in unknown.err
    (repo / "train.py").write_text("changed")
    dirty = repo.xexp("sweep", "-S", "lr=1,2", "--", *TRAINING)
    assert dirty.code == 128 and "train.py" in dirty.err
    assert len(records(repo)) == 5
    assert_nothing_left(repo)


def test_a_full_disk_ends_the_sweep_and_not_its_queue(
    set_up: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = trainable(set_up)
    words = ("-S", "lr=0.3,0.4", "-S", "seed=7", "--", *TRAINING)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gitxexp.workflows.sweeps.results.merge", full)
        failed = repo.xexp("sweep", *words)
    assert failed.code == 128 and "No space left" in failed.err
    assert_nothing_left(repo)
    assert rows(repo) == []
    repo.xexp("sweep", *words).good()
    assert len(rows(repo)) == 2 and len(records(repo)) == 2
