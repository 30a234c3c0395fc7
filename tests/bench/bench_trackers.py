"""Reading for ``tag``: the run that wrote last of a database of a million rows.

    python tests/bench/bench_trackers.py [ROWS]

The limit is twice ``SELECT count(*)`` of the same file plus 0.2 s, for xetrack's layout (a key on run
and time) and for a table without any index: of other runs at most the times are read. Processor
time is measured, so that a busy machine does not count.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import process_time

from gitxexp.trackers.runs import find_run, latest_run

COLUMNS = ("model", "lr", "batch_size", "epoch", "loss", "f1", "hostname", "raw_response")
PER_RUN = 500


def make(path: Path, rows: int, key: str) -> None:
    """``rows`` rows of runs of :data:`PER_RUN` rows each."""
    names = ", ".join(("track_id", "timestamp", *COLUMNS))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE events ({names}{key})")
        db.executemany(
            f"INSERT INTO events VALUES ({', '.join('?' * (len(COLUMNS) + 2))})",
            map(row, range(rows)),
        )


def row(number: int) -> tuple[object, ...]:
    run, step = divmod(number, PER_RUN)
    day, second = divmod(number, 86_400)
    time = f"2026-01-{day + 1:02} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{step:06}"
    return (f"run-{run:06}", time, "bert", 0.1 / (1 + run % 7), 32, step, 1 / (1 + step), step / PER_RUN,
            "gpu-01", "an answer of some length that nobody reads " * 2)  # fmt: skip


def best_of(action: Callable[[], object], times: int = 3) -> float:
    """Seconds of the quickest of a few tries."""
    found = []
    for _ in range(times):
        start = process_time()
        action()
        found.append(process_time() - start)
    return min(found)


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    slow = False
    with tempfile.TemporaryDirectory() as folder:
        for name, key in (("xetrack", ", PRIMARY KEY (track_id, timestamp)"), ("no index", "")):
            path = Path(folder) / f"{name}.db"
            make(path, rows, key)
            with closing(sqlite3.connect(path)) as db:
                count = best_of(lambda db=db: db.execute("SELECT count(*) FROM events").fetchone())
            limit = 2 * count + 0.2
            first = latest_run(path)
            assert first is not None and first.rows <= PER_RUN
            for what, action in (
                ("latest run", lambda path=path: latest_run(path)),
                ("one run", lambda path=path: find_run(path, "run-000000")),
            ):
                took = best_of(action)
                slow |= took > limit
                print(f"{name:9} {what:10} {took * 1000:7.0f} ms   count(*) {count * 1000:5.0f} ms"
                      f"   limit {limit * 1000:5.0f} ms{'   TOO SLOW' if took > limit else ''}")  # fmt: skip
    return slow


if __name__ == "__main__":
    sys.exit(main())
