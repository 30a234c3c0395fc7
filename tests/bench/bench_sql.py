"""How quick ``git xexp sql`` is: ``python tests/bench/bench_sql.py [ROWS] [ROUNDS] [PYTHON]``.

Makes a repository whose results are ROWS (10,000,000) rows of SQLite, DuckDB and parquet, and prints
medians of ROUNDS (3) runs, each beside what it is measured against, taken in turn so that a busy
machine weighs on both: a trivial query beside ``import duckdb``, a group-by beside DuckDB on the same
file. DuckDB's own scanner of SQLite is measured where that extension is installed: in PYTHON, another
interpreter with ``duckdb`` and ``duckdb-extension-sqlite-scanner`` of one version (default: this one).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

LIMITS = {"trivial": 1.6, "sqlite": 2.0, "duckdb": 1.2, "parquet": 1.2}
QUERY = "SELECT model, avg(f1), count(*) FROM {} GROUP BY model ORDER BY model"
COLUMNS = "CREATE TABLE {} (timestamp TEXT, track_id TEXT, model TEXT, f1 REAL, n INTEGER)"
VALUES = "'2026-01-01T00:00:00.' || i, 'run-' || (i / 1000), 'm' || (i % 7), {0}, i"
SCORE = "(i * 7919 % 100003) / 100003.0"


def git(*args: str) -> None:
    """Run git in the current folder."""
    subprocess.run(["git", *args], check=True, capture_output=True)


def make(rows: int) -> None:
    """A repository with the rows in three files, each with a table of its own."""
    git("init", "-q")
    Path(".xexp").mkdir()
    names = '["a.db", "b.duckdb", "c.parquet"]'
    Path(".xexp/config.toml").write_text(f"[results]\ndatabases = {names}\n")
    with sqlite3.connect("a.db") as con:
        con.execute(COLUMNS.format("a"))
        con.execute(
            "INSERT INTO a WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c "
            f"WHERE i < {rows - 1}) SELECT {VALUES.format(SCORE)} FROM c"
        )
    con.close()
    duck = duckdb.connect("b.duckdb")
    duck.execute(COLUMNS.format("b"))
    values = VALUES.format(SCORE).replace("i / 1000", "i // 1000")
    duck.execute(f"INSERT INTO b SELECT {values} FROM range({rows}) AS t(i)")
    duck.execute("COPY b TO 'c.parquet'")
    duck.close()
    git("add", ".xexp")
    git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "-m", "x")


def once(command: Sequence[str]) -> tuple[float, float]:
    """Seconds by the clock and of processor time of one command."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    return wall, after[2] + after[3] - before[2] - before[3]


def compare(name: str, ours: Sequence[str], theirs: Sequence[str], rounds: int) -> None:
    """Print both medians and their ratio."""
    pairs = [(once(ours), once(theirs)) for _ in range(rounds)]
    mine, other = (
        [statistics.median(pair[side][kind] for pair in pairs) for kind in (0, 1)]
        for side in (0, 1)
    )
    print(
        f"{name:8} {mine[0]:7.2f} s ({mine[1]:.2f} s processor) against {other[0]:.2f} s ({other[1]:.2f} s):"
        f" {mine[0] / other[0]:.2f} × ({mine[1] / other[1]:.2f} ×), limit {LIMITS[name]} ×"
    )


#: Loads the extension from the package of that name; attaches the SQLite file as ``s``.
SCANNER = """
import importlib.util, pathlib
found = importlib.util.find_spec("duckdb_extension_sqlite_scanner")
file = next(pathlib.Path(found.origin).parent.rglob(f"v{duckdb.__version__}/*.duckdb_extension"))
c.execute(f"LOAD '{file}'")
c.execute("ATTACH 'a.db' AS s (TYPE sqlite)")
"""


def main(rows: int, rounds: int, scanner: str = sys.executable) -> None:
    """Measure everything in a folder of its own."""
    folder = tempfile.mkdtemp()
    try:
        os.chdir(folder)
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"  # as an installed package has it
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        make(rows)
        sql, python = [sys.executable, "-m", "gitxexp", "sql"], [sys.executable, "-c"]
        compare("trivial", [*sql, "SELECT 1"], [*python, "import duckdb"], max(rounds, 7))
        run = "import duckdb; c = duckdb.connect({!r}); {}\nprint(c.execute({!r}).fetchall())"
        for name, file, own, table in (
            ("duckdb", "b", "b.duckdb", "b"), ("parquet", "c", ":memory:", "'c.parquet'"),
            ("sqlite", "a", ":memory:", "s.a"),
        ):  # fmt: skip
            before = SCANNER if name == "sqlite" else ""
            interpreter = scanner if name == "sqlite" else sys.executable
            theirs = [interpreter, "-c", run.format(own, before, QUERY.format(table))]
            if subprocess.run(theirs, capture_output=True, check=False).returncode:
                wall, busy = once([*sql, QUERY.format(file)])
                print(
                    f"{name:8} {wall:7.2f} s ({busy:.2f} s processor); no sqlite extension to compare"
                )
                continue
            compare(name, [*sql, QUERY.format(file)], theirs, rounds)
    finally:
        os.chdir("/")
        shutil.rmtree(folder)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*(given + [10_000_000, 3][len(given) :]), *sys.argv[3:4])
