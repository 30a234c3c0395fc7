"""What a merge in place costs beside SQLite's own append: ``bench_merge_in_place.py [ROWS] [NEW]``.

Makes a database of ROWS (10,000,000) rows with a key in the order of insertion, and one of NEW
(1,000,000) others. Appends them by ``INSERT … SELECT`` to one copy, merges them in place into
another; prints seconds of both, by the clock and of the processor, the ratio and the peak of memory.
The files are read once before each (``cold``: their pages are dropped instead).
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gitxexp.tables.engine import merge
from gitxexp.tables.plan import MergeOptions

LIMIT = 1.5
TABLE = "CREATE TABLE events (id INTEGER PRIMARY KEY, run TEXT, step INTEGER, loss REAL)"


def make(path: Path, start: int, rows: int) -> None:
    """``rows`` rows whose ids begin at ``start``."""
    with closing(sqlite3.connect(path)) as con:
        con.execute("PRAGMA journal_mode = OFF")
        con.execute("PRAGMA synchronous = OFF")
        con.execute(TABLE)
        con.execute(
            "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO events SELECT i, 'run-' || (i / 1000), i % 1000, i * 0.001 FROM n",
            (start, start + rows - 1),
        )
        con.commit()


def append(target: Path, source: Path) -> None:
    """What SQLite does by itself."""
    with closing(sqlite3.connect(target, isolation_level=None)) as con:
        con.execute("ATTACH ? AS s", (str(source),))
        con.execute("BEGIN IMMEDIATE")
        con.execute("INSERT INTO events SELECT * FROM s.events")
        con.execute("COMMIT")


def drop(path: Path) -> None:
    """Take a file's pages out of memory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def timed(name: str, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor, in a process of its own; prints them."""
    read, write = os.pipe()
    start = time.perf_counter()
    child = os.fork()
    if not child:
        work()
        used = resource.getrusage(resource.RUSAGE_SELF)
        os.write(write, f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    clock = time.perf_counter() - start
    used, peak = map(float, os.read(read, 100).split())
    print(f"{name:12} {clock:7.2f} s, processor {used:6.2f} s, peak {peak / 1024:.0f} MB")
    return clock, used


def main() -> None:
    """Make the files, measure, print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    new = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        big, more = folder / "big.db", folder / "more.db"
        make(big, 1, rows)
        make(more, rows + 1, new)
        copy = folder / "copy.db"
        shutil.copyfile(big, copy)
        print(f"{rows} rows, {big.stat().st_size / 1e9:.2f} GB, and {new}")
        for path in (big, copy, more):
            drop(path)
        other, other_used = timed("append", lambda: append(copy, more))
        copy.unlink()
        drop(more)
        drop(big)
        options = MergeOptions(in_place=True)
        one, one_used = timed("in place", lambda: merge(big, [more], options=options))
        ratio, processor = one / other, one_used / other_used
        print(f"ratio {ratio:.2f}, processor {processor:.2f}  (at most {LIMIT})")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
