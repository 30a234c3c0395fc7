"""A repository with a bit of everything that a page shows, and names that try to be markup."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from gitxexp.storage.dvc import pointers
from tests import experiments
from tests.helpers import Clock, Repo

#: A name that would run, end the script it stands in, and end an attribute.
HOSTILE = "</script><img src=x onerror=\"document.title='taken'\"><!--<script>'\u2028\u202e{{data}}"
RATES = {"e0.1.0": 0.8, "e0.2.0": 0.9, "e0.2.1": 0.805, "e0.3.0": 0.6}
TABLE = """CREATE TABLE predictions (track_id TEXT, timestamp TEXT, input_id TEXT, model TEXT, lr REAL,
    epoch INTEGER, loss REAL, accuracy REAL, prediction TEXT, ground_truth TEXT,
    PRIMARY KEY (track_id, timestamp))"""


def make(repo: Repo, clock: Clock) -> None:
    """Four experiments of runs with predictions and curves, one untagged run, code and data that change."""
    repo.write(".xexp/config.toml", '[results]\ndatabases = ["results/experiments.db"]\n')
    repo.write("results/experiments.db", b"")
    parent = ""
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db, db:
        db.execute(TABLE)
        for number, (version, rate) in enumerate([*RATES.items(), ("", 0.7)]):
            run = HOSTILE if number == 1 else f"run-{number}"
            lr = 10.0 ** -(number + 1)
            _rows(db, run, number, rate, lr)
            lines = [f"line {n}\n" for n in range(20)]
            lines[number : number + 2] = [f"changed {number}\n"] * number
            repo.write("train.py", "".join(lines))
            repo.write(f"only{number}.py", "one\ntwo")
            if version:
                experiments.tag(
                    repo, clock, version,
                    {"model": HOSTILE if number == 2 else "bert", "train.lr": lr, "seed": 2**60 + number},
                    {"accuracy": rate, "f1": rate - 0.1, "odd": float("inf"),
                     "drift": float("nan") if number == 2 else number},
                    run=run, parent=parent, text=f"try {number} {HOSTILE if number == 1 else ''}",
                    data="aaaaaa", results="results/experiments.db", table="predictions",
                    labels=("good", HOSTILE) if number == 1 else (),
                    artifacts=pointers.contents(pointers.outputs_in(repo.path)),
                )  # fmt: skip
                parent = version if number != 1 else "e0.1.0"


def _rows(db: sqlite3.Connection, run: str, number: int, rate: float, lr: float) -> None:
    day = f"2026-03-0{number + 1} 10:"
    insert = "INSERT INTO predictions VALUES (?, ?, ?, 'bert', ?, ?, ?, ?, ?, ?)"
    db.executemany(insert, [
        (run, f"{day}{n // 60:02d}:{n % 60:02d}", f"in-{n}", lr, None, None, None,
         "a" if n < rate * 200 else "b", "a")
        for n in range(200)
    ])  # fmt: skip
    db.executemany(insert, [
        (run, f"{day}30:{n:02d}", None, lr, n, 1 / (n + 1), None, None, None) for n in range(20)
    ])  # fmt: skip
    db.execute(insert, (run, f"{day}40:00", None, lr, None, None, rate, None, None))
