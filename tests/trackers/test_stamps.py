"""Stamping: exactly the empty cells of one run are filled, and exactly those are emptied again."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.trackers.runs import find_run
from gitxexp.trackers.stamps import StampRecord, Unstamped, ranges, stamp, unstamp
from tests.helpers import Repo

STAMP = {"version": "e0.1.0", "git_commit": "c0ffee", "dvc_hash": "3a2f1b"}
KINDS = pytest.mark.parametrize("kind", ["sqlite", "duckdb"])


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Any]:
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as c:
        yield c
        c.commit()


def content(path: Path, kind: str, table: str = "default") -> list[tuple[Any, ...]]:
    with opened(path, kind) as c:
        return list(c.execute(f'SELECT * FROM "{table}" ORDER BY 1, 2').fetchall())


def database(folder: Path, kind: str, extra: str = "", rows: int = 3) -> Path:
    """Runs ``a`` and ``b``, written in turns."""
    path = folder / "results.db"
    with opened(path, kind) as c:
        c.execute(
            'CREATE TABLE "default" (track_id VARCHAR, timestamp VARCHAR, loss DOUBLE'
            f"{extra}, PRIMARY KEY (track_id, timestamp))"
        )
        for i in range(rows):
            for run in "ab":
                c.execute(
                    'INSERT INTO "default" (track_id, timestamp, loss) VALUES (?, ?, ?)',
                    [run, f"2026-01-01 00:00:{i:02}", 1 / (i + 1)],
                )
    return path


@KINDS
def test_stamp_and_back(tmp_path: Path, kind: str) -> None:
    path = database(tmp_path, kind)
    before = content(path, kind)
    record = stamp(path, "default", "a", STAMP)
    assert record.changed and record.rows == 3
    assert record.added == ["version", "git_commit", "dvc_hash"]
    first = 1 if kind == "sqlite" else 0
    assert record.filled["dvc_hash"] == [[i, i] for i in range(first, first + 6, 2)]
    stamped = content(path, kind)
    assert [row[3:] for row in stamped] == [tuple(STAMP.values())] * 3 + [(None,) * 3] * 3
    assert [row[:3] for row in stamped] == before
    run = find_run(path, "a")
    assert (run.versions, run.commits, run.rows) == (("e0.1.0",), ("c0ffee",), 3)
    undone = unstamp(json.loads(json.dumps(record.as_dict())))
    assert (undone.cells, undone.dropped, undone.kept) == (9, tuple(STAMP), ())
    assert content(path, kind) == before


@KINDS
def test_rows_with_a_version_are_left_alone(tmp_path: Path, kind: str) -> None:
    path = database(tmp_path, kind, ", experiment_version VARCHAR, git_commit VARCHAR")
    with opened(path, kind) as c:
        c.execute("UPDATE \"default\" SET experiment_version = 'e9' WHERE timestamp LIKE '%:01'")
        c.execute("UPDATE \"default\" SET git_commit = 'own' WHERE timestamp LIKE '%:02'")
    before = content(path, kind)
    record = stamp(path, "default", "a", STAMP)
    assert record.added == ["dvc_hash"]
    assert [row[3:] for row in content(path, kind)[:3]] == [
        ("e0.1.0", "c0ffee", "3a2f1b"),
        ("e9", None, None),
        ("e0.1.0", "own", "3a2f1b"),
    ]
    unstamp(record)
    assert content(path, kind) == before


@KINDS
def test_nothing_to_fill_writes_nothing(tmp_path: Path, kind: str) -> None:
    path = database(tmp_path, kind)
    stamp(path, "default", "a", STAMP)
    before = path.read_bytes()
    again = stamp(path, "default", "a", STAMP | {"version": "e0.2.0"})
    unknown = stamp(path, "default", "nobody", STAMP)
    assert not again.changed and not unknown.changed
    assert path.read_bytes() == before
    assert unstamp(again) == Unstamped(0, (), ())


@KINDS
def test_unstamp_keeps_what_others_wrote_since(tmp_path: Path, kind: str) -> None:
    path = database(tmp_path, kind)
    record = stamp(path, "default", "a", STAMP)
    with opened(path, kind) as c:
        c.execute("UPDATE \"default\" SET version = 'mine' WHERE timestamp LIKE '%:00'")
        c.execute('UPDATE "default" SET git_commit = NULL')
    undone = unstamp(record)
    assert undone.cells == 2 + 0 + 3
    assert (undone.dropped, undone.kept) == (("git_commit", "dvc_hash"), ("version",))
    assert [row[3] for row in content(path, kind)] == ["mine", None, None] * 2


def test_unstamp_after_the_database_lost_a_column(tmp_path: Path) -> None:
    path = database(tmp_path, "sqlite")
    before = content(path, "sqlite")
    record = stamp(path, "default", "a", STAMP)
    with opened(path, "sqlite") as c:
        c.execute('ALTER TABLE "default" DROP COLUMN dvc_hash')
    assert unstamp(record).cells == 6
    assert content(path, "sqlite") == before


@KINDS
def test_odd_names(tmp_path: Path, kind: str) -> None:
    path = tmp_path / 'it\'s "odd".db'
    with opened(path, kind) as c:
        c.execute('CREATE TABLE "my ""t"" (1)" (run VARCHAR, ts VARCHAR, "Version" VARCHAR)')
        c.execute("""INSERT INTO "my ""t"" (1)" VALUES ('it''s "x"', '2026-01-01', NULL)""")
    record = stamp(path, 'my "t" (1)', 'it\'s "x"', STAMP)
    assert (record.added, record.values["Version"]) == (["git_commit", "dvc_hash"], "e0.1.0")
    assert find_run(path, 'it\'s "x"').versions == ("e0.1.0",)
    assert unstamp(record).cells == 3


def test_a_table_without_rowid_is_addressed_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with opened(path, "sqlite") as c:
        c.execute("CREATE TABLE t (run, ts INT, x, PRIMARY KEY (run, ts)) WITHOUT ROWID")
        c.executemany("INSERT INTO t VALUES (?, ?, 1)", [("a", 1), ("b", 2), ("a", 3)])
    before = content(path, "sqlite", "t")
    record = stamp(path, "t", "a", STAMP)
    assert (record.by, record.filled["version"]) == (["run", "ts"], [["a", 1], ["a", 3]])
    assert (record.rows, find_run(path, "a").versions) == (2, ("e0.1.0",))
    unstamp(record)
    assert content(path, "sqlite", "t") == before


def test_a_row_that_is_its_own_run(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with opened(path, "sqlite") as c:
        c.execute("CREATE TABLE t (timestamp, version, f1)")
        c.executemany("INSERT INTO t VALUES (?, NULL, 1)", [("2026-01-01",), ("2026-01-02",)])
    before = content(path, "sqlite", "t")
    record = stamp(path, "t", "row-2", STAMP)
    assert find_run(path, "e0.1.0").rows == 1
    unstamp(record)
    assert content(path, "sqlite", "t") == before


def test_unknown_table(tmp_path: Path) -> None:
    path = database(tmp_path, "sqlite")
    with pytest.raises(XexpError) as error:
        stamp(path, "predictions", "a", STAMP)
    assert error.value.hint == "tables there: default"


LOCK = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
input()
"""


def test_a_locked_database_is_a_clear_error_and_unchanged(tmp_path: Path) -> None:
    path = database(tmp_path, "sqlite")
    before = path.read_bytes()
    command = [sys.executable, "-c", LOCK, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(XexpError, match="in use by another process"):
            stamp(path, "default", "a", STAMP, timeout=0.05)
        writer.communicate("\n")
    assert path.read_bytes() == before
    assert stamp(path, "default", "a", STAMP).rows == 3


def test_a_failure_inside_rolls_everything_back(tmp_path: Path) -> None:
    """Columns are added before the check refuses, and triggers put aside."""
    path = database(tmp_path, "sqlite", ", dvc_hash VARCHAR CHECK (dvc_hash = 'none')")
    with opened(path, "sqlite") as c:
        c.execute('CREATE TRIGGER no BEFORE UPDATE ON "default" BEGIN SELECT 1; END')
    before = content(path, "sqlite")
    with pytest.raises(XexpError, match="cannot be used"):
        stamp(path, "default", "a", STAMP)
    assert content(path, "sqlite") == before
    with opened(path, "sqlite") as c:
        assert c.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()


def test_a_wal_database_stays_one_file(tmp_path: Path) -> None:
    path = database(tmp_path, "sqlite")
    with opened(path, "sqlite") as c:
        c.execute("PRAGMA journal_mode = WAL")
    unstamp(stamp(path, "default", "a", STAMP))
    assert [p.name for p in tmp_path.iterdir()] == ["results.db"]


def test_a_real_xetrack_run_goes_on_logging_after_a_stamp(trained: Repo) -> None:
    path = trained / "results/experiments.db"
    path.chmod(0o644)
    stamp(path, "predictions", "run-lr-1.0", STAMP)
    code = (
        "from xetrack import Tracker; t = Tracker('results/experiments.db', table='predictions',"
        "track_id='run-lr-1.0', warnings=False); t.log({'f1': 0.5})"
    )
    trained.python("-c", code).good()
    run = find_run(path, "run-lr-1.0")
    assert (run.rows, run.metrics["f1"], run.versions) == (5, 0.5, ("e0.1.0",))
    assert stamp(path, "predictions", "run-lr-1.0", STAMP).rows == 1


@given(st.sets(st.integers(0, 60)))
def test_ranges_hold_exactly_the_numbers(numbers: set[int]) -> None:
    found = list(ranges(sorted(numbers)))
    assert [n for first, last in found for n in range(first, last + 1)] == sorted(numbers)
    assert all(one[1] + 1 < two[0] for one, two in pairwise(found))


CELL = st.one_of(st.none(), st.sampled_from(["e0.1.0", "other", ""]))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), CELL, CELL, CELL), max_size=12))
def test_stamp_then_unstamp_is_the_identity(
    rows: list[tuple[str | None, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("stamp") / "t.db"
    with opened(path, "sqlite") as c:
        c.execute("CREATE TABLE t (run, timestamp, version, experiment_version, git_commit)")
        for i, (run, *cells) in enumerate(rows):
            c.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", (run, i, *cells))
    before = content(path, "sqlite", "t")
    record = stamp(path, "t", "a", STAMP)
    after = content(path, "sqlite", "t")
    for old, new in zip(before, after, strict=True):
        ours = old[0] == "a" and old[2] is None and old[3] is None
        named = old[0] == "a" and {old[2], old[3]} <= {None, "e0.1.0"}
        commit = "c0ffee" if named and old[4] is None else old[4]
        assert new[:5] == (*old[:2], "e0.1.0" if ours else old[2], old[3], commit)
    unstamp(StampRecord.from_dict(json.loads(json.dumps(record.as_dict()))))
    assert content(path, "sqlite", "t") == before
