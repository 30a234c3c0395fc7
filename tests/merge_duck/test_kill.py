"""Killed at a random moment, a merge leaves the old file or the new one, whole.

A longer run: XEXP_KILLS=200 pytest tests/merge_duck/test_kill.py
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.merge_duck.support import digest, read, write

KILLS = int(os.environ.get("XEXP_KILLS", "8"))

MERGE = """
import sys
from pathlib import Path
from gitxexp.merge.duck import merge_files
print("go", flush=True)
merge_files(Path(sys.argv[1]), [Path(sys.argv[2])])
"""


@pytest.mark.parametrize("kind", ["parquet", "duckdb", "db"])
def test_kill(kind: str, tmp_path: Path) -> None:
    rng = random.Random(kind)
    types = {"n": "int", "s": "str"}
    numbers = range(8000 if kind == "parquet" else 800)
    old = write(tmp_path / f"old.{kind}", types, [{"n": n, "s": "x" * 20} for n in numbers])
    more = write(tmp_path / f"more.{kind}", types, [{"n": -n - 1, "s": "y" * 20} for n in numbers])
    target = tmp_path / f"target.{kind}"
    before = digest(old)
    took = 0.3
    for turn in range(KILLS + 1):
        shutil.copyfile(old, target)
        process = subprocess.Popen(
            [sys.executable, "-c", MERGE, str(target), str(more)], stdout=subprocess.PIPE
        )
        assert process.stdout and process.stdout.readline() == b"go\n"
        start = time.monotonic()
        if turn:
            time.sleep(rng.uniform(0, took))
            process.kill()
        process.communicate()
        took = took if turn else time.monotonic() - start
        rows = len(numbers) if digest(target) == before else 2 * len(numbers)
        assert len(read(target)) == rows
        assert turn or rows == 2 * len(numbers)
        assert not [p for p in tmp_path.iterdir() if "wal" in p.name or "journal" in p.name]
