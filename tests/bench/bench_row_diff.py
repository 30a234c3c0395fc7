"""Row diff of a large SQLite database and its copy with 1,000 changes; the same for parquet.

    python tests/bench/bench_row_diff.py [--rows N] [--changes N] [--folder DIR]

Printed against ``cmp`` of the two files, the least that any comparison must do, and for SQLite also
with the page comparison switched off (plain SQL).
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from gitxexp.merge import rowdiff_pages
from gitxexp.merge.rowdiff import diff_files


def make(path: Path, rows: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA synchronous = OFF")
        con.execute(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, track_id TEXT, t TEXT, version TEXT, "
            "model TEXT, f1 REAL, loss REAL, lr REAL, epoch INTEGER, split INTEGER, "
            "note TEXT, x REAL)"
        )
        con.execute("BEGIN")
        con.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT ?) "
            "INSERT INTO events SELECT i, printf('%016x%016x', i * 2654435761, i * 40503), "
            "'2024-01-01T00:00:' || (i % 60), 'e0.' || (i / 100000) || '.0', 'model-' || (i % 17), "
            "i * 0.37, i * 0.11, 0.001, i % 64, i % 10, 'the note of row number ' || i, i * 1.5 "
            "FROM n",
            [rows],
        )
        con.execute("COMMIT")


def edit(path: Path, rows: int, changes: int) -> None:
    rng = random.Random(1)
    with contextlib.closing(sqlite3.connect(path)) as con:
        ids = [(i,) for i in rng.sample(range(rows), changes)]
        third = changes // 3
        con.executemany("UPDATE events SET f1 = f1 + 1 WHERE id = ?", ids[:third])
        con.executemany("DELETE FROM events WHERE id = ?", ids[third : 2 * third])
        con.executemany("INSERT INTO events (id) VALUES (? + 1000000000)", ids[2 * third :])
        con.commit()


def timed(label: str, work: Callable[[], Any], base: float | None = None) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    ratio = f"  {seconds / base:5.1f} x cmp" if base else ""
    print(f"{label:28} {seconds:7.2f} s{ratio}")
    return seconds, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    a, b = folder / f"a-{chosen.rows}.db", folder / "b.db"
    if not a.exists():
        make(a, chosen.rows)
    shutil.copyfile(a, b)
    edit(b, chosen.rows, chosen.changes)
    print(f"{chosen.rows} rows, {a.stat().st_size / 1e6:.0f} MB, {chosen.changes} changes")
    twin = folder / "twin.db"
    shutil.copyfile(a, twin)
    cmp, _ = timed("cmp", lambda: subprocess.run(["cmp", a, twin], check=True))
    _, (table,) = timed("diff_files, pages", lambda: diff_files(a, b), cmp)
    print(f"  added {table.added}, removed {table.removed}, changed {table.changed}")
    print(
        f"  peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, files mapped"
    )
    rowdiff_pages.open_pages = lambda path: None
    _, (slow,) = timed("diff_files, plain SQL", lambda: diff_files(a, b), cmp)
    assert (slow.added, slow.removed, slow.changed) == (table.added, table.removed, table.changed)
    parquet(folder, chosen.rows, chosen.changes, cmp)


def parquet(folder: Path, rows: int, changes: int, cmp: float) -> None:
    a, b = folder / "a.parquet", folder / "b.parquet"
    cells = (
        "i AS id, printf('%016x', hash(i)) AS track_id, 'model-' || (i % 17) AS model, "
        "(i * 0.37)::DOUBLE AS f1"
    )
    con = duckdb.connect()
    con.execute(f"COPY (SELECT {cells} FROM range({rows}) t(i)) TO '{a}'")
    con.execute(
        f"COPY (SELECT id, track_id, model, CASE WHEN id % ({rows // changes}) = 0 THEN -1 "
        f"ELSE f1 END AS f1 FROM read_parquet('{a}')) TO '{b}'"
    )
    con.close()
    _, (table,) = timed("diff_files, parquet by id", lambda: diff_files(a, b, key=("id",)), cmp)
    print(f"  added {table.added}, removed {table.removed}, changed {table.changed}")


if __name__ == "__main__":
    main()
