"""``check`` on a large table of predictions, and where nothing has changed.

    python tests/bench/bench_check.py [ROWS]

For SQLite as xetrack writes it, DuckDB, parquet, and SQLite without an index where every input leaks: all
rules may take three times as long as one ``SELECT track_id, count(DISTINCT input_id), count(*) ... GROUP BY
track_id`` of the same engine on the same file (processor time, so that a busy machine does not count), in at
most 500 MB. In a repository where nothing has changed since the last check without errors, the answer may
take as long as importing click three times.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from time import process_time

RUNS = 10
MEMORY = 500  #: MB
BASELINE = "SELECT track_id, count(DISTINCT input_id), count(*) FROM predictions GROUP BY track_id"
TABLE = """CREATE TABLE predictions (track_id TEXT, timestamp TEXT, input_id TEXT, params_model TEXT,
    params_lr REAL, params_batch INTEGER, prediction TEXT, ground_truth TEXT, score REAL, latency REAL,
    error TEXT, cache TEXT, PRIMARY KEY (track_id, timestamp))"""
ROW = """SELECT 'brave-otter-' || {run}, strftime('%Y-%m-%d %H:%M:%S', 1700000000 + {run} * 86400 + i / 100,
    'unixepoch') || printf('.%06d', (i % 100) * 10000), 'in-' || i, 'bert-' || ({run} % 3), 0.001 * ({run} + 1), 32,
    'c' || ((i * 7 + (i % 50 < {run})) % 10), 'c' || (i * 7 % 10), (i % 1000) / 1000.0, 0.01 + (i % 50) / 1000.0,
    '', '' FROM c"""  # noqa: E501 - one row
#: Four runs of each configuration; a tenth of the inputs twice in a run, and in train and test.
LEAKS = """CREATE TABLE predictions AS SELECT track_id, timestamp,
    CASE WHEN rowid % 10 THEN input_id ELSE 'in-' || (rowid / 20) END AS input_id,
    CASE WHEN rowid % 3 THEN 'train' ELSE 'test' END AS split, params_model, params_lr * 0 + 0.1 AS params_lr,
    params_batch, prediction, ground_truth, score, latency, error, cache FROM p.predictions"""
#: Run in a process of its own: seconds, peak memory in MB, and the rules that spoke.
CHECK = """
import sys
from pathlib import Path
from time import process_time
from gitxexp.workflows.checks.check import check
from gitxexp.workflows.checks.report import CheckRequest
before = process_time()
report = check(None, CheckRequest(paths=(Path(sys.argv[1]),)))
took = process_time() - before
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
memory = int(status["VmHWM"].split()[0]) // 1024  # ru_maxrss has that of the process that forked
print(took, memory, sorted({one.rule for one in report.findings}))
"""


def make(folder: Path, rows: int) -> dict[str, Path]:
    """The same rows in three files."""
    paths = {
        "sqlite": folder / "p.db",
        "duckdb": folder / "p.duckdb",
        "parquet": folder / "p.parquet",
        "leaks": folder / "leaks.db",
    }
    with closing(sqlite3.connect(paths["sqlite"])) as db:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(TABLE)
        for run in range(RUNS):
            numbers = (
                "WITH RECURSIVE c(i) AS"
                f" (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {rows // RUNS})"
            )
            db.execute(f"{numbers} INSERT INTO predictions {ROW.format(run=run)}")
            db.commit()
    with closing(sqlite3.connect(paths["leaks"])) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute(f"ATTACH '{paths['sqlite']}' AS p")
        db.execute(LEAKS)
        db.commit()
    import duckdb

    columns = """'brave-otter-' || r AS track_id,
        TIMESTAMP '2023-11-14' + INTERVAL (r) DAY + INTERVAL (i * 10) MILLISECOND AS timestamp,
        'in-' || i AS input_id, 'bert-' || (r % 3) AS params_model, 0.001 * (r + 1) AS params_lr,
        32 AS params_batch, 'c' || ((i * 7 + (i % 50 < r)::INT) % 10) AS prediction,
        'c' || (i * 7 % 10) AS ground_truth, (i % 1000) / 1000.0 AS score,
        0.01 + (i % 50) / 1000.0 AS latency, '' AS error, '' AS cache"""
    source = f"(SELECT {columns} FROM range({RUNS}) AS a(r), range({rows // RUNS}) AS b(i))"
    with closing(duckdb.connect(str(paths["duckdb"]), config={"memory_limit": "1GB"})) as db:
        db.execute(f"CREATE TABLE predictions AS SELECT * FROM {source}")
        db.execute(f"COPY predictions TO '{paths['parquet']}' (FORMAT parquet)")
    return paths


def baseline(path: Path) -> float:
    """Seconds of the one statement, in the engine of the file."""
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as db:
            before = process_time()
            db.execute(BASELINE).fetchall()
            return process_time() - before
    import duckdb

    with closing(duckdb.connect()) as db:
        source = f"read_parquet('{path}')"
        if path.suffix == ".duckdb":
            db.execute(f"ATTACH '{path}' AS f (READ_ONLY)")
            source = "f.predictions"
        before = process_time()
        db.execute(BASELINE.replace("predictions", source)).fetchall()
        return process_time() - before


def tables(rows: int) -> bool:
    """Whether the rules are too slow on any of the files, or need too much memory."""
    wrong = False
    with tempfile.TemporaryDirectory() as name:
        for kind, path in make(Path(name), rows).items():
            base = baseline(path)
            done = subprocess.run(
                [sys.executable, "-c", CHECK, str(path)], capture_output=True, text=True, check=True
            )
            took, memory, said = done.stdout.split(maxsplit=2)
            slow = float(took) > 3 * base + 0.3 or int(memory) > MEMORY
            wrong |= slow
            print(f"{kind:8} {rows:>10,} rows  {float(took):6.1f} s  baseline {base:5.1f} s"
                  f"  ratio {float(took) / base:4.1f} (limit 3)  {memory} MB (limit {MEMORY})"
                  f"{'  TOO MUCH' if slow else ''}  {said.strip()}", flush=True)  # fmt: skip
    return wrong


def seconds(command: list[str], folder: Path, times: int = 15) -> float:
    """Processor time of the quickest of several runs."""
    found = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def unchanged() -> bool:
    """Whether the answer takes too long where nothing has changed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
                       "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}  # fmt: skip
        program = [sys.executable, "-m", "gitxexp"]
        subprocess.run([*program, "demo", "demo"], cwd=folder, capture_output=True, check=True)
        project = folder / "demo" / "project"
        subprocess.run([*program, "check"], cwd=project, capture_output=True, check=True)
        took = seconds([*program, "check"], project)
        base = seconds([sys.executable, "-c", "import click"], project)
        slow = took > 3 * base
        print(f"unchanged            {took * 1000:6.0f} ms  import click {base * 1000:5.0f} ms"
              f"  ratio {took / base:4.1f} (limit 3){'  TOO SLOW' if slow else ''}")  # fmt: skip
    return slow


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    return unchanged() | tables(rows)


if __name__ == "__main__":
    sys.exit(main())
