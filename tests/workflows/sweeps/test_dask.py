"""Sweeps on a real Dask cluster of this machine: a lost worker, a lost scheduler, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass
class Cluster:
    """A scheduler with workers of one thread each, in a folder of theirs."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    folder: Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """``dask scheduler`` and two ``dask worker``, on loopback."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    os.environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "3"
    scheduler = start(
        "scheduler", folder, "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0",
        "--scheduler-file", "address.json",
    )  # fmt: skip
    workers: list[subprocess.Popen[bytes]] = []
    words = ("--scheduler-file", "address.json", "--nthreads", "1", "--dashboard-address",
             "127.0.0.1:0", "--no-nanny", "--local-directory", str(folder))  # fmt: skip
    try:
        until(lambda: (folder / "address.json").exists())
        workers += [start("worker", folder, *words, "--name", f"w{number}") for number in range(2)]
        address = json.loads((folder / "address.json").read_text())["address"]
        yield Cluster(address, scheduler, workers, folder)
    finally:
        for process in (scheduler, *workers):
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_a_worker_is_killed_and_then_the_scheduler(set_up: Repo, cluster: Cluster) -> None:
    repo = trainable(set_up)
    # 18 takes 0.3 s; a worker dies while it runs one
    words = ("-S", "lr=0.1,0.2,0.3,0.4", "-S", "seed=18", "--engine", cluster.address)
    child = begin(repo, *words, "--", *TRAINING)
    until(lambda: processes_of_sweeps(repo), 40)
    cluster.workers[0].kill()
    assert ended(child, 60) == 0
    assert rows(repo) == [(0.1, 0.9), (0.2, 0.8), (0.3, 0.7), (0.4, 0.6)]
    assert [each.status for each in records(repo)] == ["done"] * 4
    assert_nothing_left(repo)
    # the scheduler dies: what it ran is left, and goes on without it
    child = begin(repo, "-S", "lr=0.5,0.6,0.7", "-S", "seed=18", *words[4:], "--", *TRAINING)
    until(lambda: processes_of_sweeps(repo), 40)
    cluster.scheduler.kill()
    assert ended(child, 60) == 130
    assert_nothing_left(repo)
    repo.xexp("sweep", "-S", "lr=0.5,0.6,0.7", "-S", "seed=18", "--", *TRAINING).good()
    assert len(rows(repo)) == len(records(repo)) == 7
    assert_nothing_left(repo)


def test_workers_clone_pull_the_data_and_send_back_what_runs_left(
    set_up: Repo, cluster: Cluster
) -> None:
    repo = trainable(set_up)
    clones = ("--engine", cluster.address, "--workers", "clone", "--", *TRAINING)
    refused = repo.xexp("sweep", "-S", "lr=0.1", *clones)
    assert refused.code == 128 and "no git remote" in refused.err
    repo.git("init", "-q", "--bare", "../origin")
    repo.git("remote", "add", "origin", "../origin")
    repo.git("fetch", "-q")
    refused = repo.xexp("sweep", "-S", "lr=0.1", *clones)
    assert refused.code == 128 and "push it first: git push origin main" in refused.err
    assert_nothing_left(repo)
    repo.git("push", "-q", "origin", "main")
    # 19 leaves a model of 65 MB, which comes by the DVC remote; a worker is lost meanwhile
    child = begin(repo, "-S", "lr=0.2,0.3", "-S", "seed=18,19", *clones)
    until(lambda: running(cluster), 40)
    cluster.workers[0].kill()
    assert ended(child, 90) == 0
    assert rows(repo) == [(0.2, 0.8), (0.2, 0.8), (0.3, 0.7), (0.3, 0.7)]
    done = records(repo)
    assert [each.status for each in done] == ["done"] * 4 and not any(each.note for each in done)
    log = repo.xexp("explore", "log", done[0].id).good()
    assert log.out == f"training {done[0].params['lr']}\n" and "changed" not in log.err
    models = repo.xexp("candidates", "list", "--json").good().json()
    sizes = sorted(model["size"] for model in models if not model["production"])
    assert sizes == [12, 12, 65_000_012, 65_000_012]
    assert_nothing_left(repo)
    left = [*cluster.folder.glob("dask-scratch-space/*/git-xexp")]
    assert len(left) <= 1  # that of the worker that was killed
    # Ctrl-C: the runs on the workers end, and nothing of them stays there
    child = begin(repo, "-S", "lr=0.4,0.5", "-S", "seed=14", *clones)
    until(lambda: running(cluster), 40)
    os.kill(child, signal.SIGINT)
    assert ended(child, 40) == 130
    until(lambda: not running(cluster), 20)
    assert_nothing_left(repo)


def running(cluster: Cluster) -> list[int]:
    """The processes that runs in the workers' clones have."""
    wanted = f"XEXP_LOG={cluster.folder}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in Path(entry.path, "environ").read_bytes():
                    found.append(int(entry.name))
    return found
