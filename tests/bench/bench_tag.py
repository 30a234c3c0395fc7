"""How quick a snapshot is: ``python tests/bench/bench_tag.py [MEGABYTES] [ROUNDS]``.

Makes a repository in which DVC tracks a model of MEGABYTES (50) and a database, then takes ``git
xexp tag`` with nothing changed in DVC and ``dvc status`` in turn, ROUNDS (7) times, and prints the
medians and their ratio.
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

LIMIT = 1.0
SCRIPTS = Path(sys.executable).parent


def run(folder: Path, *command: str) -> float:
    """Seconds that a command takes; it must work."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def make(folder: Path, megabytes: int) -> None:
    """A repository with a model, data and a results database tracked by DVC, set up."""
    for command in (("git", "init", "-q"), ("git", "config", "user.name", "Ada"),
                    ("git", "config", "user.email", "ada@example.org")):  # fmt: skip
        run(folder, *command)
    (folder / "data.csv").write_text("x,y\n1,2\n")
    (folder / "model.bin").write_bytes(os.urandom(megabytes * 1_000_000))
    (folder / "params.yaml").write_text("model: net\nlr: 0.1\n")
    with closing(sqlite3.connect(folder / "results.db")) as db, db:
        db.execute("CREATE TABLE events (track_id TEXT, timestamp TEXT, f1 REAL, version TEXT)")
        db.execute("INSERT INTO events VALUES ('run-1', '2026-01-01 00:00:00', 0.5, 'e0.1.0')")
    for command in (
        (sys.executable, "-m", "dvc", "init", "-q"),
        (sys.executable, "-m", "dvc", "add", "-q", "data.csv", "model.bin", "results.db"),
        (sys.executable, "-m", "gitxexp", "init"),
        ("git", "add", "-A"),
        ("git", "commit", "-q", "-m", "all"),
        (sys.executable, "-m", "gitxexp", "tag"),
    ):
        run(folder, *command)


def main(megabytes: int, rounds: int) -> bool:
    """Measure and print; whether the ratio holds."""
    folder = Path(tempfile.mkdtemp())
    os.environ.update(DVC_NO_ANALYTICS="1", PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    try:
        make(folder, megabytes)
        time.sleep(2.5)  # a stat cache trusts no file that is younger than this
        tag, status = [], []
        for _ in range(rounds + 1):
            tag.append(run(folder, sys.executable, "-m", "gitxexp", "tag"))
            status.append(run(folder, sys.executable, "-m", "dvc", "status"))
    finally:
        shutil.rmtree(folder)
    ours, theirs = statistics.median(tag[1:]), statistics.median(status[1:])
    ratio = statistics.median(a / b for a, b in zip(tag[1:], status[1:], strict=True))
    good = ratio <= LIMIT
    print(f"tag, nothing changed, {megabytes} MB  {ours * 1000:7.0f} ms")
    print(f"dvc status                      {theirs * 1000:7.0f} ms")
    print(f"ratio {ratio:.2f} (must be ≤ {LIMIT:.1f}) {'ok' if good else 'TOO SLOW'}")
    return good


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(not main(*(numbers + [50, 7][len(numbers) :])))
