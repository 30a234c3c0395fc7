"""How long an import takes: ``python tests/bench/bench_import.py [RUNS] [VALUES]``.

Makes a store as MLflow lays it out with RUNS (10,000) runs of VALUES (100) values each, imports it into
a new repository, and again. At most 30 s and 300 MB for the million values.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from gitxexp.repository.repository import Project
from gitxexp.workflows.imports.mlflow import MlflowStore
from gitxexp.workflows.imports.run import ImportRequest, import_runs

SCHEMA = """
CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT,
    end_time BIGINT, lifecycle_stage TEXT, experiment_id INTEGER, artifact_uri TEXT);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT, PRIMARY KEY (key, run_uuid));
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT, PRIMARY KEY (key, run_uuid));
CREATE TABLE metrics (key TEXT, value REAL, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN,
    PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
CREATE TABLE latest_metrics (key TEXT, value REAL, timestamp BIGINT, step BIGINT, is_nan BOOLEAN,
    run_uuid TEXT, PRIMARY KEY (key, run_uuid));
INSERT INTO experiments VALUES (1, 'bench');
"""


def make(path: Path, runs: int, values: int) -> None:
    """A store with ``runs`` runs of ten parameters and ``values`` values of four metrics."""
    numbers = random.Random(7)
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(SCHEMA)
        for number in range(runs):
            id = f"{numbers.getrandbits(128):032x}"
            start = 1_700_000_000_000 + 1000 * number
            db.execute(
                "INSERT INTO runs VALUES (?, ?, 'FINISHED', ?, ?, 'active', 1, '')",
                (id, f"run {number}", start, start + 500),
            )
            db.executemany(
                "INSERT INTO params VALUES (?, ?, ?)",
                [(f"p{n}", str(n * number), id) for n in range(10)],
            )
            for metric in range(4):
                rows = [
                    (f"m{metric}", numbers.random(), start + s, id, s) for s in range(values // 4)
                ]
                db.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, 0)", rows)
                name, value, when, _, step = rows[-1]
                db.execute(
                    "INSERT INTO latest_metrics VALUES (?, ?, ?, ?, 0, ?)",
                    (name, value, when, step, id),
                )


def main() -> None:
    """Make the store, import it twice, print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    values = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    folder = Path(tempfile.mkdtemp(prefix="xexp-bench-"))
    os.environ |= {"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(folder)}
    try:
        repository = folder / "repository"
        subprocess.run(["git", "init", "-q", "-b", "main", repository], check=True)
        (repository / ".xexp").mkdir()
        (repository / ".xexp/config.toml").write_text("")
        make(folder / "mlflow.db", runs, values)
        source = MlflowStore(folder / "mlflow.db", "mlflow:bench")
        for title in ("new", "unchanged"):
            start, began = time.perf_counter(), time.process_time()
            done = import_runs(Project.open(repository), ImportRequest(source))
            took, used = time.perf_counter() - start, time.process_time() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{title:10} {done.runs} runs, {done.new} new, {done.values} values")
            print(f"           {took:.1f} s (at most 30), {used:.1f} s of the processor")
            print(f"           {memory:.0f} MB (at most 300)")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
