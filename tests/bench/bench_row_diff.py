"""Row diff of a large SQLite database and changed copies of it; the same for parquet.

    python tests/bench/bench_row_diff.py [--rows N] [--changes N] [--repeat N] [--folder DIR]

Printed against ``cmp`` of two equal files of that size, the least that any comparison must do, in
turn and as medians. The last SQLite case was written anew in pages of another size, so that no
page is the same. Each comparison is a process of its own, whose peak memory is without mapped file
pages.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from gitxexp.tables.row_diff import diff_files


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


def edit(path: Path, *statements: tuple[str, list[tuple[int, ...]]]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as con:
        for sql, numbers in statements:
            con.executemany(sql, numbers)
        con.commit()


def updated(path: Path, rows: int, changes: int) -> None:
    ids = [(i,) for i in random.Random(2).sample(range(rows), changes)]
    edit(path, ("UPDATE events SET f1 = f1 + 1 WHERE id = ?", ids))


def mixed(path: Path, rows: int, changes: int) -> None:
    ids = [(i,) for i in random.Random(1).sample(range(rows), changes)]
    third = changes // 3
    edit(
        path,
        ("UPDATE events SET f1 = f1 + 1 WHERE id = ?", ids[:third]),
        ("DELETE FROM events WHERE id = ?", ids[third : 2 * third]),
        ("INSERT INTO events (id) VALUES (? + 1000000000)", ids[2 * third :]),
    )


def appended(path: Path, rows: int, changes: int) -> None:
    values = [(rows + i, i) for i in range(changes)]
    edit(path, ("INSERT INTO events (id, epoch) VALUES (?, ?)", values))


def rewritten(path: Path, rows: int, changes: int) -> None:
    updated(path, rows, changes)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA page_size = 8192")
        con.execute("VACUUM")


CASES = {"updated in place": updated, "updated, deleted, inserted": mixed, "appended": appended}

CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import gitxexp.tables.sqlite.row_diff
from gitxexp.tables.row_diff import diff_files
start = time.perf_counter()
(table,) = diff_files(Path(sys.argv[2]), Path(sys.argv[3]))
print(time.perf_counter() - start, table.added, table.removed, table.changed)
"""


def ours(a: Path, b: Path) -> tuple[float, str, float]:
    """Seconds, counts, and the peak of anonymous memory in MB."""
    package = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", CHILD, package, str(a), str(b)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, status = 0, Path(f"/proc/{child.pid}/status")
    while child.poll() is None:
        with contextlib.suppress(OSError):
            fields = dict(x.split(":", 1) for x in status.read_text().splitlines() if ":" in x)
            peak = max(peak, int(fields.get("RssAnon", "0 kB").split()[0]))
        time.sleep(0.01)
    assert child.stdout is not None
    seconds, *counts = child.stdout.read().split()
    return float(seconds), "added {}, removed {}, changed {}".format(*counts), peak / 1024


def compare(label: str, must: float, a: Path, twin: Path, b: Path, repeat: int) -> float:
    """Print one line; the median seconds of ``cmp``."""
    pairs, counts, peak = [], "", 0.0
    for path in (a, twin, b):
        subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True)  # into the page cache
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run(["cmp", a, twin], check=True)
        cmp = time.perf_counter() - start
        seconds, counts, most = ours(a, b)
        pairs.append((seconds, cmp))
        peak = max(peak, most)
    mine, reference = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratio = statistics.median(p[0] / p[1] for p in pairs)
    verdict = "ok" if ratio <= must and peak <= 300 else "MISSED"
    print(
        f"{label:28} {mine:6.2f} s / {reference:5.2f} s = {ratio:5.2f} x cmp (must {must}) "
        f"{peak:4.0f} MB  {verdict}   [{counts}]",
        flush=True,
    )
    return reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    a, b, twin = folder / f"a-{chosen.rows}.db", folder / "b.db", folder / "twin.db"
    if not a.exists():
        make(a, chosen.rows)
    shutil.copyfile(a, twin)
    print(f"{chosen.rows} rows, {a.stat().st_size / 1e6:.0f} MB, {chosen.changes} changes")
    for label, change in CASES.items():
        shutil.copyfile(a, b)
        change(b, chosen.rows, chosen.changes)
        compare(label, 4.0, a, twin, b, chosen.repeat)
    shutil.copyfile(a, b)
    rewritten(b, chosen.rows, chosen.changes)
    cmp = compare("written anew, other pages", 10.0, a, twin, b, 1)
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
    start = time.perf_counter()
    (table,) = diff_files(a, b, key=("id",))
    seconds = time.perf_counter() - start
    counts = f"added {table.added}, removed {table.removed}, changed {table.changed}"
    verdict = "ok" if seconds <= 10 * cmp else "MISSED"
    print(
        f"{'parquet by id':28} {seconds:6.2f} s / {cmp:5.2f} s = {seconds / cmp:5.2f} x cmp"
        f" (must 10.0)  {verdict}   [{counts}]"
    )


if __name__ == "__main__":
    main()
