"""The same merge by pandas, polars and sqlite-utils, as far as they can do it, each in a process.

What they do not do: pandas and polars drop the key, indexes and everything else that is not a row,
hold all rows in memory, and make mixed columns of one type; sqlite-utils keeps the target's row
where a key is taken, without a word about it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

HEAD = """
import shutil, sqlite3, sys, time
out, *files = sys.argv[1:]
begin = time.perf_counter()
read = 'SELECT * FROM "default"'
"""

TAIL = """
with open(out, "rb") as file:
    import os
    os.fsync(file.fileno())
print(time.perf_counter() - begin)
"""

PROGRAMS = {
    "pandas": """
import pandas
frames = [pandas.read_sql_query(read, sqlite3.connect(f)) for f in files]
whole = pandas.concat(frames).drop_duplicates()
whole.to_sql("default", sqlite3.connect(out), index=False)
""",
    "polars": """
import polars
frames = [polars.read_database(read, sqlite3.connect(f), infer_schema_length=None) for f in files]
whole = polars.concat(frames, how="diagonal_relaxed").unique(maintain_order=True)
con = sqlite3.connect(out)
con.execute('CREATE TABLE "default" (' + ", ".join(f'"{c}"' for c in whole.columns) + ")")
holes = ", ".join("?" * len(whole.columns))
con.executemany(f'INSERT INTO "default" VALUES ({holes})', whole.iter_rows())
con.commit()
""",
    "sqlite_utils": """
import sqlite_utils
shutil.copyfile(files[0], out)
table = sqlite_utils.Database(out)["default"]
for f in files[1:]:
    table.insert_all(sqlite_utils.Database(f).query(read), ignore=True, alter=True)
""",
}


def print_others(target: Path, sources: list[Path], folder: Path) -> None:
    """One line for each of the three: its seconds, or why there are none."""
    for name, program in PROGRAMS.items():
        out = folder / f"by-{name}.db"
        out.unlink(missing_ok=True)
        print(f"    {name:14} {_seconds(name, program, out, target, sources)}", flush=True)
        out.unlink(missing_ok=True)


def _seconds(name: str, program: str, out: Path, target: Path, sources: list[Path]) -> str:
    if importlib.util.find_spec(name) is None:
        return "not installed"
    command = [sys.executable, "-c", HEAD + program + TAIL, str(out), str(target)]
    done = subprocess.run(
        [*command, *map(str, sources)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"killed by signal {-done.returncode}"]
        return f"cannot do it: {why[0]}"
    return f"{float(done.stdout):.2f} s"
