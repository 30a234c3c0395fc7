"""How quick a snapshot is: ``python tests/bench/bench_tag.py [MEGABYTES] [ROUNDS] [EXPERIMENTS]``.

Makes a repository in which DVC tracks a model of MEGABYTES (50) and a database, then takes ``git
xexp tag`` with nothing changed in DVC and ``dvc status`` in turn, ROUNDS (7) times, and prints the
medians and their ratio.

Then a registry of 100,000 rows in all its tables, EXPERIMENTS (6,700) with their parameters, metrics
and artifacts: ``git xexp tag`` has to stay within ``dvc status`` and 0.3 s, and to write the registry
no more than once, beside the compressed object of git (0.3): the former file is kept for undo as it is.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench_explore import message

from gitxexp.repository import tag_message
from gitxexp.repository.registry import Registry, put

LIMIT = 1.0


def run(folder: Path, *command: str) -> float:
    """Seconds that a command takes; it must work."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def used(folder: Path, *command: str) -> tuple[float, float, int]:
    """Seconds that a command takes, those of processor time, and bytes that it writes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = run(folder, *command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, seconds, 512 * (after.ru_oublock - before.ru_oublock)


def with_registry(folder: Path, rounds: int, experiments: int) -> bool:
    """Fill the registry, measure and print; whether the limits hold."""
    file = folder / ".xexp/registry.db"
    with Registry(file).rewrite() as db:
        for number in range(experiments):
            payload = tag_message.decode(message(number))
            assert payload is not None
            put(db, payload.version, payload)
    with closing(sqlite3.connect(file)) as db:
        tables = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        rows = sum(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables)
    run(folder, "git", "commit", "-q", "-a", "-m", "registry")
    pairs = []
    for number in range(rounds):
        (folder / "params.yaml").write_text(f"model: net\nlr: 0.1{number}\n")
        tag = used(folder, sys.executable, "-m", "gitxexp", "tag", "--all", "-m", "x")
        pairs.append((tag, used(folder, sys.executable, "-m", "dvc", "status")))
    clock, processor = (statistics.median(a[i] - b[i] for a, b in pairs) for i in (0, 1))
    copies = statistics.median(ours[2] for ours, _ in pairs) / file.stat().st_size
    good = clock <= 0.3 and copies <= 1.75
    print(f"tag, {rows:,} rows in the registry ({file.stat().st_size / 1e6:.1f} MB)")
    print(f"beyond dvc status {clock:6.2f} s (must be ≤ 0.30), {processor:.2f} s of the processor")
    print(
        f"written           {copies:6.2f} × the registry (must be ≤ 1.75) {'ok' if good else 'TOO MUCH'}"
    )
    return good


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


def main(megabytes: int, rounds: int, experiments: int) -> bool:
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
        large = with_registry(folder, rounds, experiments)
    finally:
        shutil.rmtree(folder)
    ours, theirs = statistics.median(tag[1:]), statistics.median(status[1:])
    ratio = statistics.median(a / b for a, b in zip(tag[1:], status[1:], strict=True))
    good = ratio <= LIMIT
    print(f"tag, nothing changed, {megabytes} MB  {ours * 1000:7.0f} ms")
    print(f"dvc status                      {theirs * 1000:7.0f} ms")
    print(f"ratio {ratio:.2f} (must be ≤ {LIMIT:.1f}) {'ok' if good else 'TOO SLOW'}")
    return good and large


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(not main(*(numbers + [50, 7, 6700][len(numbers) :])))
