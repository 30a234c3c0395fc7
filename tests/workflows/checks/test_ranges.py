"""Contiguous runs of a SQLite table read by ranges: the same values as by ``GROUP BY``."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitxexp.trackers.databases import reading
from gitxexp.trackers.roles import NO_RULES
from gitxexp.trackers.tables import tables_of
from gitxexp.workflows.checks import profile
from gitxexp.workflows.checks.profile import RunGroup, TableProfile
from tests.workflows.checks.support import change, report_of

RUNS, ROWS = 4, 300
#: A column: its declaration, and its value in a row of a run.
COLUMNS: dict[str, tuple[str, Callable[[int, int], Any]]] = {
    "timestamp": ("TEXT", lambda run, n: f"2026-01-0{run + 1} 10:{n // 60:02}:{n % 60:02}"),
    "constant": ("REAL", lambda run, n: 0.1 + run),
    "few": ("TEXT", lambda run, n: ("b", "a", "c")[n % 3]),
    "falling": ("INTEGER", lambda run, n: -n),
    "sparse": ("REAL", lambda run, n: n / 7 if n == 101 + run else None),
    "none": ("REAL", lambda run, n: None),
    "loss": ("REAL", lambda run, n: random.Random(n).random()),
    "one_odd": ("REAL", lambda run, n: "odd" if (run, n) == (2, 113) else 0.5),
    "one_null": ("TEXT", lambda run, n: None if (run, n) == (3, 7) else f"in-{n}"),
    "peak": ("INTEGER", lambda run, n: 1000 if (run, n) == (1, 55) else n),
    "untyped": ("", lambda run, n: (1, 2.5, "x", b"y")[n % 4]),
    "same": ("", lambda run, n: (1, 1.0)[n % 2]),
    "text": ("TEXT COLLATE NOCASE", lambda run, n: ("Ab", "aB")[n % 2]),
    "blob": ("BLOB", lambda run, n: b"\xff"),
    "error": ("TEXT", lambda run, n: "failed" if n == 9 else ""),
    "prediction": ("TEXT", lambda run, n: str(n % 2)),
    "truth": ("TEXT", lambda run, n: "1"),
}  # fmt: skip


def write(path: Path, columns: list[str]) -> Path:
    declared = ", ".join(f"{name} {COLUMNS[name][0]}" for name in columns)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE t (run_id TEXT, {declared})")
        db.executemany(
            f"INSERT INTO t VALUES (?{', ?' * len(columns)})",
            (
                (f"run-{run}", *(COLUMNS[name][1](run, n) for name in columns))
                for run in range(RUNS)
                for n in range(ROWS)
            ),
        )
    return path


def groups(path: Path) -> list[str]:
    """All that is known of each run. Sums are rounded: added one by one, or multiplied."""

    def read(database: Any) -> list[str]:
        (table,) = tables_of(database)
        return list(map(shown, TableProfile(database, table, "t", NO_RULES, None).groups))

    return reading(path, read)


def shown(group: RunGroup) -> str:
    cells = {
        name: replace(each, total=each.total and float(f"{each.total:.12g}"))
        for name, each in group.cells.items()
    }
    return repr(replace(group, cells=cells))


def both(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """The groups by a sort, and by ranges."""
    usual = groups(path)
    with monkeypatch.context() as small:
        small.setattr(profile, "LARGE", 1)
        return usual, groups(path)


@pytest.mark.parametrize("alone", ["", *COLUMNS])
def test_every_column_has_the_values_of_group_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: str
) -> None:
    """All columns together, and each without others that do not meet expectations."""
    path = write(tmp_path / "t.db", [alone] if alone else list(COLUMNS))
    change(path, "DELETE FROM t WHERE rowid % 10 = 3")
    usual, large = both(path, monkeypatch)
    assert len(usual) == RUNS
    assert usual == large


@pytest.mark.parametrize("rowids", ["560", "1", "1200", "301, 302, 303", "299"])
def test_runs_with_stray_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rowids: str) -> None:
    path = write(tmp_path / "t.db", ["timestamp", "loss", "constant"])
    change(path, f"UPDATE t SET run_id = 'run-2' WHERE rowid IN ({rowids})")
    change(path, "UPDATE t SET run_id = NULL WHERE rowid BETWEEN 900 AND 950")
    usual, large = both(path, monkeypatch)
    assert usual == large


def test_rowids_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.db", ["timestamp", "loss"])
    change(path, f"UPDATE t SET rowid = {(1 << 63) - 1} WHERE rowid = 1200",
           f"UPDATE t SET rowid = -{1 << 63} WHERE rowid = 1")  # fmt: skip
    usual, large = both(path, monkeypatch)
    assert usual == large


def test_a_table_with_any_name_is_not_hidden_by_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables named as a temporary one might be; the rows of examples are read in one scan."""
    path = tmp_path / "t.db"
    rows = (
        "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 399)"
        " SELECT 'run-' || (n / 20), '2026-01-01 10:00:' || n / 20, 'in-' || n % 30, 'train' FROM c"
    )
    change(path, "CREATE TABLE examples (run_id TEXT, timestamp TEXT, input_id TEXT, split TEXT)",
           f"INSERT INTO examples {rows}",
           "UPDATE examples SET split = 'test' WHERE rowid % 7 = 0",
           "CREATE TABLE run_numbers AS SELECT * FROM examples")  # fmt: skip
    usual = report_of(path).findings
    monkeypatch.setattr(profile, "LARGE", 1)
    large = report_of(path).findings
    assert [(f.table, f.message) for f in usual] == [(f.table, f.message) for f in large]
    assert {f.table for f in usual if f.rule == "leak"} == {"examples", "run_numbers"}
