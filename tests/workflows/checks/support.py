"""A sound benchmark in one SQLite file, laid out as xetrack does it, and what is found in a file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from gitxexp.workflows.checks.check import check
from gitxexp.workflows.checks.report import CheckReport, CheckRequest
from gitxexp.workflows.checks.rule import Finding

INPUTS = 200
#: Model and how many of its predictions are right.
MODELS = {"bert": 180, "gpt": 120}

TABLES = """
CREATE TABLE predictions (track_id TEXT, timestamp TEXT, input_id TEXT, params_model TEXT, params_lr REAL,
    prediction TEXT, ground_truth TEXT, raw_response TEXT, score REAL, latency REAL, error TEXT, cache TEXT,
    git_commit TEXT, PRIMARY KEY (track_id, timestamp));
CREATE TABLE metrics (track_id TEXT, timestamp TEXT, params_model TEXT, params_lr REAL, accuracy REAL,
    loss REAL, git_commit TEXT, PRIMARY KEY (track_id, timestamp));
"""


def time_of(run: int, row: int) -> str:
    return f"2026-03-0{run + 1} 10:{row // 60:02d}:{row % 60:02d}.000000"


def sound(path: Path) -> Path:
    """Two models on the same 200 inputs, and their metrics."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(TABLES)
        for run, (model, right) in enumerate(MODELS.items()):
            name = f"run-{model}"
            db.executemany(
                "INSERT INTO predictions VALUES (?, ?, ?, ?, 0.1, ?, ?, 'text', ?, ?, '', '', 'c0ffee1')",
                (
                    (name, time_of(run, n), f"in-{n}", model, str(n % 3) if n < right else "9",
                     str(n % 3), (n % 17) / 20, 0.1 + n / 1000)
                    for n in range(INPUTS)
                ),
            )  # fmt: skip
            values = (name, time_of(run, 1999), model, right / INPUTS, 0.5 - run / 10)
            db.execute("INSERT INTO metrics VALUES (?, ?, ?, 0.1, ?, ?, 'c0ffee1')", values)
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def report_of(path: Path, **asked: Any) -> CheckReport:
    """The report on one file, without a repository."""
    only = frozenset(asked.pop("only", ()))
    return check(None, CheckRequest(paths=(path,), only=only, **asked))


def found_in(path: Path, **asked: Any) -> dict[str, list[Finding]]:
    """The findings in a file by rule."""
    found: dict[str, list[Finding]] = {}
    for one in report_of(path, **asked).findings:
        found.setdefault(one.rule, []).append(one)
    return found
