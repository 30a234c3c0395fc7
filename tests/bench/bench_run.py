"""What ``git xexp run`` costs beyond the command: ``python tests/bench/bench_run.py [MEGABYTES] [ROUNDS]``.

Makes a repository in which DVC tracks data of MEGABYTES (50) and a results database, and a trainer
that logs a row and writes a metrics file (once with a model of 1 MB, too). Takes the bare trainer,
``run`` with a tag, ``run --no-tag`` and ``dvc status`` in turn, ROUNDS (5) times, and prints medians,
the overhead and its ratio to ``dvc status``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

LIMIT = 2.5  #: times dvc status, tagging included
SECONDS = 0.4  #: without a tag

TRAINER = """
import json, os, sqlite3, sys, uuid
from datetime import datetime
db = sqlite3.connect("results.db")
db.execute("INSERT INTO events (track_id, timestamp, f1) VALUES (?, ?, ?)",
           (uuid.uuid4().hex[:8], datetime.now().isoformat(" "), 0.5))
db.commit()
json.dump({"f1": 0.5, "at": str(datetime.now())}, open("metrics.json", "w"))
if "model" in sys.argv:
    os.makedirs("models/production", exist_ok=True)
    open("models/production/model.bin", "wb").write(os.urandom(1_000_000))
"""


def run(folder: Path, *command: str) -> float:
    """Seconds that a command takes; it must work."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return time.perf_counter() - start


def xexp(folder: Path, *words: str) -> float:
    """Seconds that one of our commands takes."""
    return run(folder, sys.executable, "-m", "gitxexp", *words)


def make(folder: Path, megabytes: int) -> None:
    """The repository, set up and committed, with one experiment."""
    for command in (("git", "init", "-q"), ("git", "config", "user.name", "Ada"),
                    ("git", "config", "user.email", "ada@example.org")):  # fmt: skip
        run(folder, *command)
    (folder / "data").mkdir()
    (folder / "data/train.bin").write_bytes(os.urandom(megabytes * 1_000_000))
    (folder / "params.yaml").write_text("model: net\nlr: 0.1\n")
    (folder / "train.py").write_text(TRAINER)
    with closing(sqlite3.connect(folder / "results.db")) as db, db:
        db.execute("CREATE TABLE events (track_id TEXT, timestamp TEXT, f1 REAL, version TEXT)")
        db.execute("INSERT INTO events VALUES ('run-1', '2026-01-01 00:00:00', 0.5, 'e0.1.0')")
    for command in (
        (sys.executable, "-m", "dvc", "init", "-q"),
        (sys.executable, "-m", "dvc", "add", "-q", "data/train.bin", "results.db"),
        (sys.executable, "-m", "gitxexp", "init"),
        ("git", "add", "-A"),
        ("git", "commit", "-q", "-m", "all"),
        (sys.executable, "-m", "gitxexp", "run", "--", sys.executable, "train.py"),
    ):
        run(folder, *command)


def main(megabytes: int, rounds: int) -> bool:
    """Measure and print; whether both bounds hold."""
    folder = Path(tempfile.mkdtemp())
    os.environ.update(DVC_NO_ANALYTICS="1", PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    train = ("--", sys.executable, "train.py")
    times: dict[str, list[float]] = {}
    try:
        make(folder, megabytes)
        time.sleep(2.5)  # a stat cache trusts no file that is younger than this
        for _ in range(rounds + 1):
            for name, take in {
                "the command alone": lambda: run(folder, sys.executable, "train.py"),
                "run, tagged": lambda: xexp(folder, "run", *train),
                "run --no-tag": lambda: xexp(folder, "run", "--no-tag", *train),
                "run, tagged, 1 MB model": lambda: xexp(folder, "run", *train, "model"),
                "dvc status": lambda: run(folder, sys.executable, "-m", "dvc", "status"),
            }.items():
                times.setdefault(name, []).append(take())
    finally:
        shutil.rmtree(folder)
    for name, taken in times.items():
        print(f"{name:<26}{statistics.median(taken[1:]) * 1000:7.0f} ms")
    alone, status = times["the command alone"][1:], times["dvc status"][1:]
    ratio = statistics.median(
        (ours - bare) / theirs
        for ours, bare, theirs in zip(times["run, tagged"][1:], alone, status, strict=True)
    )
    spare = statistics.median(
        ours - bare for ours, bare in zip(times["run --no-tag"][1:], alone, strict=True)
    )
    good = ratio <= LIMIT and spare <= SECONDS
    print(f"overhead of run, tagged: {ratio:.2f} x dvc status (must be ≤ {LIMIT})")
    print(f"overhead of run --no-tag: {spare * 1000:.0f} ms (must be ≤ {SECONDS * 1000:.0f})")
    print("ok" if good else "TOO SLOW")
    return good


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(not main(*(numbers + [50, 5][len(numbers) :])))
