"""Killed at a random moment, a merge leaves the old file or the new one, whole.

A longer run: XEXP_TEST_EXAMPLES=200 pytest tests/tables/duckdb/test_kill.py
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from gitxexp.common.files import Folder
from gitxexp.tables.duckdb.merge import merge_files
from tests.tables.support import KILLS, digest, in_a_copy, read, write


def end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


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
        start = time.monotonic()
        child = in_a_copy(lambda: merge_files(target, [more]))
        if turn:
            time.sleep(rng.uniform(0, took))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        took = took if turn else time.monotonic() - start
        rows = len(numbers) if digest(target) == before else 2 * len(numbers)
        assert len(read(target)) == rows
        assert turn or rows == 2 * len(numbers)
        assert not [p for p in tmp_path.iterdir() if "wal" in p.name or "journal" in p.name]
    merge_files(target, [more])
    assert sorted(tmp_path.iterdir()) == sorted([old, more, target])


def test_what_killed_merges_left_goes_with_the_next_and_a_live_ones_folder_stays(
    tmp_path: Path,
) -> None:
    target, more = (write(tmp_path / f"{n}.db", {"n": "int"}, [{"n": n}]) for n in (1, 2))
    reader, writer = os.pipe()

    def hold() -> None:
        folder = Folder(tmp_path).path
        (folder / "half").write_text("half a merge")
        os.write(writer, f"{folder}\n".encode())
        time.sleep(60)

    running = []
    with os.fdopen(reader) as stream:
        for _ in range(2):
            running.append((in_a_copy(hold), Path(stream.readline().strip())))
    (killed, dead), (other, live) = running
    end(killed)
    assert dead.is_dir() and (dead / "half").is_file()
    merge_files(target, [more])
    assert sorted(tmp_path.iterdir()) == sorted([target, more, live])
    end(other)
    merge_files(target, [more], tmp_path / "new.db", write=False)
    assert live.is_dir()  # a plan writes nothing in the target's folder, not even this
    merge_files(target, [more], tmp_path / "new.db")
    assert not live.exists()
