"""What the merge driver costs beyond the merge itself, in units of ``python -c pass``.

    python tests/bench/bench_driver.py [RUNS]

``merge alone`` is a Python that imports the engine and merges the same three small files.
"""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

ALONE = (
    "from pathlib import Path; from gitxexp.tables.engine import merge3;"
    "merge3(Path('base'), Path('ours'), Path('theirs'), Path('ours'))"
)


def make(path: Path, *rows: str) -> None:
    """A database of these rows."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, f1 REAL)")
        db.executemany("INSERT INTO runs VALUES (?, 0.5)", [(row,) for row in rows])


def median(command: list[str], folder: Path, runs: int, before: Callable[[], None]) -> float:
    """The median of ``runs`` runs, in seconds."""
    times = []
    for _ in range(runs):
        before()
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "init", "-q", name], check=True)
        make(folder / "base", "a")
        make(folder / "theirs", "a", "c")

        def ready() -> None:
            make(folder / "ours", "a", "b")

        python = sys.executable
        nothing = median([python, "-c", "pass"], folder, runs, ready)
        alone = median([python, "-c", ALONE], folder, runs, ready)
        command = [python, "-m", "gitxexp", "merge-driver", "base", "ours", "theirs", "7", "r.db"]
        driver = median(command, folder, runs, ready)
    print(f"python -c pass {nothing * 1e3:.1f} ms")
    print(f"merge alone    {alone * 1e3:.1f} ms")
    print(f"driver         {driver * 1e3:.1f} ms")
    print(f"beyond the merge: {(driver - alone) / nothing:.2f} x python -c pass")
    print(f"with the start of Python: {(driver - alone + nothing) / nothing:.2f} x python -c pass")


if __name__ == "__main__":
    main()
