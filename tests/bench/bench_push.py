"""Pushing 5,000 files: the safety check against ``dvc status -c``, and a sweep of kills.

    python tests/bench/bench_push.py [ROUNDS [KILLS]]

The sweep ends a push (SIGKILL, then SIGINT as Ctrl-C sends it) when some share of the objects has
arrived, pushes again, and lists the remote. It does the same with plain ``dvc push``. Every trial
starts with an empty remote and an empty site cache.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_get import DVC, XEXP, call, make, seal, show

sys.path.insert(0, str(Path(__file__).parent))

CHECK = (
    "from gitxexp.workflows.artifacts.push import unpushed;"
    "from gitxexp.repository.repository import Project;"
    "project = Project.open(); lost = unpushed(project, [project.git.resolve('HEAD')]);"
    "raise SystemExit(1 if lost else 0)"
)


def objects(folder: Path) -> set[str]:
    """Hashes of the complete objects below a cache or a remote."""
    found = set()
    for prefix in os.scandir(folder / "files/md5") if (folder / "files/md5").is_dir() else ():
        found |= {prefix.name + entry.name for entry in os.scandir(prefix.path)}
    return {name for name in found if not name.endswith(".tmp")}


def check(repo: Path, rounds: int) -> None:
    """The unpushed check, everything pushed."""
    call(*DVC, "push", "-q", cwd=repo)
    times: dict[str, list[float]] = {"xexp": [], "dvc": []}
    for _ in range(rounds):
        for name, command in (
            ("xexp", [sys.executable, "-c", CHECK]),
            ("dvc", [*DVC, "status", "-c", "-q"]),
        ):
            start = time.perf_counter()
            call(*command, cwd=repo)
            times[name].append(time.perf_counter() - start)
    ours, theirs = (statistics.median(times[name]) for name in ("xexp", "dvc"))
    show("unpushed check, 5,000 files", ours, theirs, 1.0)


def kill_at(command: list[str], repo: Path, remote: Path, share: float, how: int) -> bool:
    """Run the command until that share of the objects is there, then end it; whether it hit."""
    total = len(objects(repo / ".dvc/cache"))
    with subprocess.Popen(command, cwd=repo, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        while process.poll() is None and len(objects(remote)) < share * total:
            time.sleep(0.002)
        running = process.poll() is None
        process.send_signal(how)
    return running and process.returncode != 0


def sweep(repo: Path, remote: Path, site: Path, kills: int, how: signal.Signals) -> None:
    """End, push again, list: how often the remote is incomplete, and how often nobody says so."""
    wanted = objects(repo / ".dvc/cache")
    pushes = {"git xexp push": [*XEXP, "push"], "dvc push": [*DVC, "push", "-q"]}
    for name, command in pushes.items():
        hit = incomplete = unnoticed = 0
        for number in range(kills):
            shutil.rmtree(remote / "files", ignore_errors=True)
            shutil.rmtree(site, ignore_errors=True)
            hit += kill_at(command, repo, remote, (number + 0.5) / kills, how)
            again = subprocess.run(command, cwd=repo, capture_output=True, check=False)
            if not wanted <= objects(remote):
                incomplete += 1
                unnoticed += again.returncode == 0
        print(f"{name:<14} {how.name}: ended {hit} of {kills}; incomplete after the next push:"
              f" {incomplete}, of these with exit code 0: {unnoticed}", flush=True)  # fmt: skip


def main(rounds: int, kills: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seal(folder)
        repo = make(folder, megabytes=1)
        check(repo, rounds)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored in the background
        for how in (signal.SIGINT, signal.SIGKILL):
            sweep(repo, folder / "remote", folder / "site", kills, how)


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:3]]
    main(*(numbers + [7, 12][len(numbers) :]))
