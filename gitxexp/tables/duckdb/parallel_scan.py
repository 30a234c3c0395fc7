"""Write a large SQLite table as several parquet files in parallel.

SQLite returns rows to Python one by one, so a single process uses only one processor. Therefore
each processor gets a process and a range of rowids. The kind of each column is compared afterwards;
if the processes disagree, one process writes everything.

The driver of :mod:`gitxexp.tables.duckdb.adbc` is quicker, also with one processor, but needs such a
process of its own.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gitxexp.common import checked
from gitxexp.common.sql import quote
from gitxexp.tables.duckdb import adbc, scan, source
from gitxexp.tables.duckdb.scan import TablePart
from gitxexp.tables.duckdb.session import stamp

#: Minimum rows per process.
_ROWS = 500_000
#: Maximum number of processes.
_MOST = 8

#: Ends at once: to take the interpreter down would be a fiftieth of the time.
_START = """
import os, sys
sys.path.insert(0, sys.argv[1])
sys.path += sys.argv[2:]
from gitxexp.tables.duckdb.parallel_scan import work
work()
sys.stdout.flush()
os._exit(0)
"""


def write(path: Path, part: TablePart, out: Path) -> tuple[list[Path], list[str]]:
    """Write ``part`` of the SQLite file ``path`` as ``out``, or as several files next to it, in row
    order; returns notes as :func:`gitxexp.tables.duckdb.scan.write`.

    Raises XexpError for a file that cannot be read.
    """
    before = stamp(path)
    con, _ = source.connect(path)
    with closing(con):  # its lock prevents changes while the processes read
        shares = _shares(path, part, con)
        files, notes = _side_by_side(path, part, out, shares) if shares else ([], [])
    if files and stamp(path) == before:  # in WAL mode the lock does not stop a writer
        return files, notes
    return [out], scan.write(path, part, out).notes


def _shares(path: Path, part: TablePart, con: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return ranges of rowids, one per processor; none if one process is enough."""
    if part.ranges is not None or part.limit is not None:
        return []
    if not scan.rowid_named(path, part.table):
        return []
    # Asked for in one SELECT they would take a scan (sqlite.org/optoverview.html, 18).
    low, high = (
        con.execute(f"SELECT {end}(rowid) FROM {quote(part.table)}").fetchone()[0]
        for end in ("min", "max")
    )
    count = 0 if low is None else min(_MOST, _processors(), (high - low + 1) // _ROWS)
    if count < (1 if adbc.folders() else 2):
        return []
    ends = [low + (high - low + 1) * at // count for at in range(count + 1)]
    return [(ends[at], ends[at + 1] - 1) for at in range(count)]


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _side_by_side(
    path: Path, part: TablePart, out: Path, shares: Sequence[tuple[int, int]]
) -> tuple[list[Path], list[str]]:
    """Return the files, one per share, and notes; none if they differ or a process failed."""
    files = [out.with_name(f"{out.stem}-{at}.parquet") for at in range(len(shares))]
    folders = adbc.folders()
    processes = []
    try:
        for file, share in zip(files, shares, strict=True):
            asked = {
                "path": str(path),
                "out": str(file),
                "table": part.table,
                "columns": None if part.columns is None else sorted(part.columns),
                "range": share,
                "identity": checked.identity_of(path),
            }
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(Path(__file__).parents[3]), *folders],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            processes.append(process)
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked))
            process.stdin.close()
        found: dict[str, set[str]] = {}
        notes: list[str] = []
        for process in processes:
            assert process.stdout is not None
            said = process.stdout.read()
            if process.wait():
                return [], []
            answer = json.loads(said)
            notes = answer["notes"]
            if notes and len(files) > 1:  # other shares need not have that form
                return [], []
            for name, kind in answer["kinds"].items():
                found.setdefault(name, set()).add(kind)
        alike = all(len(kinds) == 1 for kinds in found.values())
        return (files, notes) if alike else ([], [])
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def work() -> None:
    """Write the share requested on standard input."""
    task = json.load(sys.stdin)
    path, out = Path(task["path"]), Path(task["out"])
    if task["identity"] is not None:
        device, inode = task["identity"]
        checked.remember(path, lambda: (device, inode))
    columns = None if task["columns"] is None else frozenset(task["columns"])
    share = TablePart(task["table"], columns, ranges=[task["range"]])
    done = adbc.write(path, share, out) or scan.write(path, share, out)
    json.dump({"kinds": dict(done.kinds), "notes": done.notes}, sys.stdout)
