"""Parquet: 10M rows + 100k rows with a new column, against DuckDB's own COPY … UNION ALL BY NAME.

    python tests/bench/bench_merge_parquet.py [--rows N] [--extra N] [--overlap N] [--repeat N]
                                              [--memory BYTES] [--folder DIR]

Each run is a process of its own, both sides in turn; the medians' ratio is printed, with the peak
resident memory of each side. ``--overlap`` makes so many of the extra rows copies of base rows: the
merge must not append them, COPY does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

COLUMNS = """
    i AS id, uuid_of(i) AS track_id, TIMESTAMP '2024-01-01' + INTERVAL (i) SECOND AS timestamp,
    'e0.' || (i // 100000) || '.0' AS version, 'model-' || (i % 17) AS model,
    (hash(i) % 1000000) / 1e6 AS f1, (hash(i + 1) % 1000000) / 1e6 AS loss,
    10.0 ** -(i % 5) AS lr, (i % 64)::INTEGER AS epoch, (hash(i, 2) % 100)::SMALLINT AS split,
    'the note of row number ' || i AS note, (i % 2 = 0) AS done
"""

NATIVE = """
import duckdb, os, sys
base, extra, out = sys.argv[1:4]
con = duckdb.connect()
con.execute(f"COPY (SELECT * FROM read_parquet('{base}') UNION ALL BY NAME "
            f"SELECT * FROM read_parquet('{extra}')) TO '{out}' "
            "(FORMAT parquet, COMPRESSION snappy)")
os.fsync(os.open(out, os.O_RDONLY))
"""

OURS = """
import sys
from pathlib import Path
from gitxexp.tables.duckdb.merge import merge_files
from gitxexp.tables.plan import MergeOptions
base, extra, out = map(Path, sys.argv[1:4])
report = merge_files(base, [extra], out, MergeOptions(memory=int(sys.argv[4])))
print(report.tables[0])
"""


def make(folder: Path, rows: int, extra: int, overlap: int) -> tuple[Path, Path]:
    """The base and the extra file; the base is made once per folder and size."""
    con = duckdb.connect()
    con.execute("CREATE MACRO uuid_of(n) AS printf('%016x%016x', hash(n), hash(n + 7))")
    base, more = folder / f"base-{rows}.parquet", folder / "extra.parquet"
    if not base.exists():
        con.execute(f"COPY (SELECT {COLUMNS} FROM range({rows}) t(i)) TO '{base}'")
    first = rows - overlap
    con.execute(
        f"COPY (SELECT {COLUMNS}, CASE WHEN i >= {rows} THEN i % 10 END AS new_metric "
        f"FROM range({first}, {first + extra}) t(i)) TO '{more}'"
    )
    return base, more


@dataclass(frozen=True)
class Run:
    """One side, once: seconds by the clock and of processors, peak megabytes, what was printed."""

    clock: float
    processor: float
    peak: float
    text: str


def run(code: str, *args: object) -> Run:
    """``code`` in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"a run failed with {process.returncode}")
    spent = usage.ru_utime + usage.ru_stime
    return Run(time.perf_counter() - start, spent, usage.ru_maxrss / 1024, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--extra", type=int, default=100_000)
    parser.add_argument("--overlap", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    base, extra = make(folder, chosen.rows, chosen.extra, chosen.overlap)
    native, ours = [], []
    for _ in range(chosen.repeat):
        native.append(run(NATIVE, base, extra, folder / "native.parquet"))
        ours.append(run(OURS, base, extra, folder / "ours.parquet", chosen.memory))
    report(chosen, base, folder, native, ours)


def report(
    chosen: argparse.Namespace,
    base: Path,
    folder: Path,
    native: list[Run],
    ours: list[Run],
) -> None:
    size = base.stat().st_size / 1e6
    print(f"duckdb {duckdb.__version__}, {chosen.rows} + {chosen.extra} rows, base {size:.0f} MB")
    for name, runs in (("COPY", native), ("merge", ours)):
        clock, processor = middle(runs)
        times = " ".join(f"{run.clock:.2f}" for run in runs)
        peak = max(run.peak for run in runs)
        print(f"{name:6} {clock:6.2f} s  ({times})  {processor:6.2f} s processor  {peak:.0f} MB")
    clock, processor = (two / one for one, two in zip(middle(native), middle(ours), strict=True))
    print(f"ratio  {clock:.2f}  (must be at most 1.10)  of processor time {processor:.2f}")
    con = duckdb.connect()
    for name in ("native", "ours"):
        sql = f"SELECT count(*), count(new_metric) FROM read_parquet('{folder / name}.parquet')"
        print(name, "rows, with the new column:", con.execute(sql).fetchall()[0])
    print(ours[-1].text.strip())


def middle(runs: list[Run]) -> tuple[float, float]:
    """The medians of the clock's and of the processors' seconds."""
    clocks, spent = [run.clock for run in runs], [run.processor for run in runs]
    return statistics.median(clocks), statistics.median(spent)


if __name__ == "__main__":
    main()
