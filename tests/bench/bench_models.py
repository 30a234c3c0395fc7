"""How quick promote and ``candidates list`` are: ``python tests/bench/bench_models.py [MB] [ROUNDS]``.

Prints the median of ROUNDS (3) of ``promote`` of a candidate of MB (500) megabytes beside ``dvc add``
of such a file, in turn; whether a second copy was made; and ``candidates list`` with 200 candidates and
2,000 tags, warm, beside ``python -c 'import click'``. The limits are 1.3 and 3.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from operator import truediv
from pathlib import Path

from bench_explore import message, version

CANDIDATES, TAGS = 200, 2000
LIMITS = {"promote": 1.3, "list": 3.0}
PYTHON = sys.executable
RANDOM = random.Random(7)


def run(*args: str, cwd: Path, stdin: bytes | None = None) -> float:
    """Seconds that a command took; it must succeed."""
    started = time.perf_counter()
    subprocess.run(args, cwd=cwd, input=stdin, check=True, capture_output=True)
    return time.perf_counter() - started


def xexp(*args: str, cwd: Path) -> float:
    return run(PYTHON, "-m", "gitxexp", *args, cwd=cwd)


def repository(folder: Path) -> None:
    """git, DVC and a results database with runs run-0, run-1, …"""
    folder.mkdir()
    run("git", "init", "-q", "-b", "main", cwd=folder)
    run(PYTHON, "-m", "dvc", "init", "-q", cwd=folder)
    (folder / "results").mkdir()
    db = sqlite3.connect(folder / "results/experiments.db")
    db.execute("CREATE TABLE events (track_id TEXT, timestamp TEXT, lr REAL, f1 REAL)")
    rows = [
        (f"run-{n}", f"2026-01-01 00:{n // 60:02}:{n % 60:02}", n / 10, n / 1000)
        for n in range(300)
    ]
    db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
    db.commit()
    db.close()
    (folder / ".gitignore").write_text("results/\n")
    xexp("init", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-qm", "set up", cwd=folder)


def large(path: Path, megabytes: int) -> None:
    """A file that no other one equals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    block = RANDOM.randbytes(1 << 20)
    with path.open("wb") as file:
        for number in range(megabytes):
            file.write(number.to_bytes(8, "big") + block[8:])
        file.flush()
        os.fsync(file.fileno())


def used(folder: Path) -> int:
    """Bytes on disk below a folder, links counted once."""
    seen = {}
    for path in folder.rglob("*"):
        info = path.lstat()
        seen[info.st_ino] = info.st_blocks * 512
    return sum(seen.values())


def promote(folder: Path, megabytes: int, rounds: int) -> None:
    repository(folder)
    plain = folder.with_name("plain")
    repository(plain)
    adds, moves, grown = [], [], []
    large(folder / "models/production/model.bin", megabytes)
    run(PYTHON, "-m", "dvc", "add", "-q", "models/production/model.bin", cwd=folder)
    for number in range(rounds):
        large(folder / "new.bin", megabytes)
        xexp("candidates", "add", "new.bin", "--run", f"run-{number}", cwd=folder)
        (folder / "new.bin").unlink()
        run("git", "add", "-A", cwd=folder)
        run("git", "commit", "-qm", "candidate", cwd=folder)
        large(plain / f"{number}.bin", megabytes)
        os.sync()
        adds.append(run(PYTHON, "-m", "dvc", "add", "-q", f"{number}.bin", cwd=plain))
        os.sync()
        before = used(folder)
        moves.append(xexp("promote", "--run", f"run-{number}", "--yes", cwd=folder))
        grown.append(used(folder) - before)
        shutil.rmtree(plain / ".dvc/cache", ignore_errors=True)
        (plain / f"{number}.bin").unlink()
    report("promote", moves, adds, "dvc add")
    print(f"  {megabytes} MB; the disk grew by {max(grown) / 1e6:.1f} MB")


def listing(folder: Path, rounds: int) -> None:
    repository(folder)
    for number in range(CANDIDATES):
        path = folder / f"models/candidates/run-{number}_model.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(RANDOM.randbytes(2000))
    run(PYTHON, "-m", "dvc", "add", "-q", "models/candidates", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    run("git", "commit", "-qm", "candidates", cwd=folder)
    stream = []
    for number in range(TAGS):
        text = message(number).encode()
        stream.append(
            b"tag %s\nfrom refs/heads/main\ntagger Ada <ada@example.org> %d +0000\ndata %d\n%s\n"
            % (version(number).encode(), 1_700_000_000 + number, len(text), text)
        )
    run("git", "fast-import", "--quiet", "--force", cwd=folder, stdin=b"".join(stream))
    time.sleep(2.5)  # until file times are old enough for their hashes to be remembered
    for _ in range(2):
        xexp("candidates", cwd=folder)
    mine, click = [], []
    for _ in range(rounds):
        click.append(run(PYTHON, "-c", "import click", cwd=folder))
        mine.append(xexp("candidates", cwd=folder))
    report("list", mine, click, "import click")


def report(name: str, mine: list[float], other: list[float], against: str) -> None:
    """Print the medians, and that of the ratios of neighbouring runs."""
    ratio, limit = statistics.median(map(truediv, mine, other)), LIMITS[name]
    verdict = "" if ratio <= limit else "  OVER"
    ours, theirs = statistics.median(mine), statistics.median(other)
    print(
        f"{name:8} {ours:6.3f} s  {against} {theirs:6.3f} s  ratio {ratio:.2f} (≤ {limit}){verdict}"
    )


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        os.environ |= {f"{name}_NAME": "Ada", f"{name}_EMAIL": "ada@example.org"}
    os.environ["DVC_NO_ANALYTICS"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/pycache"  # compiled, as when installed
        listing(Path(folder, "list"), max(rounds, 11))
        if megabytes:
            promote(Path(folder, "promote"), megabytes, rounds)


if __name__ == "__main__":
    main()
