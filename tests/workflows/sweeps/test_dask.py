"""Sweeps on a real Dask cluster of this machine: a lost worker, a lost scheduler, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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

pytest.importorskip("distributed")


def start(what: str, folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """``dask scheduler`` or ``dask worker``."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *words]
    with (folder / f"{what}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def test_a_worker_is_killed_and_then_the_scheduler(set_up: Repo, tmp_path: Path) -> None:
    repo = trainable(set_up)
    os.environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "3"
    scheduler = start(
        "scheduler", tmp_path, "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0",
        "--scheduler-file", "address.json",
    )  # fmt: skip
    mine = [scheduler]
    try:
        until(lambda: (tmp_path / "address.json").exists())
        for number in range(2):
            words = (
                "--scheduler-file",
                "address.json",
                "--nthreads",
                "1",
                "--dashboard-address",
                "127.0.0.1:0",
                "--no-nanny",
            )
            mine.append(start("worker", tmp_path, *words, "--name", f"w{number}"))
        address = json.loads((tmp_path / "address.json").read_text())["address"]
        # 18 takes 0.3 s; a worker dies while it runs one
        words = ("-S", "lr=0.1,0.2,0.3,0.4", "-S", "seed=18", "-j", "2", "--engine", address)
        child = begin(repo, *words, "--", *TRAINING)
        until(lambda: processes_of_sweeps(repo), 40)
        mine[1].kill()
        assert ended(child, 60) == 0
        assert rows(repo) == [(0.1, 0.9), (0.2, 0.8), (0.3, 0.7), (0.4, 0.6)]
        assert [each.status for each in records(repo)] == ["done"] * 4
        assert_nothing_left(repo)
        # the scheduler dies: what it ran is left, and goes on without it
        child = begin(repo, "-S", "lr=0.5,0.6,0.7", "-S", "seed=18", *words[4:], "--", *TRAINING)
        until(lambda: processes_of_sweeps(repo), 40)
        scheduler.kill()
        assert ended(child, 60) == 130
        assert_nothing_left(repo)
        repo.xexp("sweep", "-S", "lr=0.5,0.6,0.7", "-S", "seed=18", "--", *TRAINING).good()
        assert len(rows(repo)) == len(records(repo)) == 7
        assert_nothing_left(repo)
    finally:
        for process in mine:
            process.send_signal(signal.SIGKILL)
            process.wait()
