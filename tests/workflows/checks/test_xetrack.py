"""Databases that the real xetrack writes: what its users' scripts count, ``check`` counts too.

The scripts group by ``input_id`` and ``track_id``, count NULLs in ``params_…``, rows with an ``error``, and
rows whose ``cache`` is not empty. Here the same is counted with plain SQL.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers import run
from tests.workflows.checks.support import found_in, report_of

BENCHMARK = """
import sys
from dataclasses import dataclass
from xetrack import Tracker

@dataclass(frozen=True)
class Params:
    model: str
    temperature: float = 0.0

def predict(item, params):
    number = int(item.split("-")[1])
    if params.model == "small" and number % 20 == 0:
        raise ValueError("context too long")
    right = number % (4 if params.model == "small" else 10) != 0
    return {"input_id": item, "prediction": "yes" if right else "no", "ground_truth": "yes",
            "latency": 0.1 + number / 1000, "raw_response": "the answer"}

def evaluate(name, params, count, cache="cache"):
    tracker = Tracker("bench.db", engine="sqlite", table="predictions", track_id=name, cache=cache,
                      raise_on_error=False, warnings=False)
    for number in range(count):
        tracker.track(predict, args=[f"in-{number}", params])

evaluate("first", Params("large"), 120)
evaluate("small", Params("small"), 120)
evaluate("again", Params("large"), 30)  # from the cache, and xetrack logs no parameters then
evaluate("plain", Params("large"), 25, None)
metrics = Tracker("bench.db", table="metrics", track_id="first", warnings=False)
metrics.log({"accuracy": 0.9, "n": 120})
metrics = Tracker("bench.db", table="metrics", track_id="small", warnings=False)
metrics.log({"accuracy": 0.99, "n": 120})
"""


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xetrack")
    run("python", "-c", BENCHMARK, cwd=folder).good()
    return folder / "bench.db"


def test_the_same_is_counted(benchmark: Path) -> None:
    def count(sql: str) -> int:
        with closing(sqlite3.connect(benchmark)) as db:
            return int(db.execute(sql).fetchone()[0])

    found = found_in(benchmark)
    leaks = count(
        "SELECT count(*) FROM (SELECT 1 FROM predictions WHERE params_model = 'large'"
        " GROUP BY input_id HAVING count(DISTINCT track_id) > 1)"
    )
    assert leaks == 25
    assert [(one.count, one.rows[0]["runs"]) for one in found["leak"]] == [(leaks, 2)]
    failed = count("SELECT count(*) FROM predictions WHERE error <> ''")
    assert failed == 6
    (one,) = found["failures"]
    assert (one.count, one.rows[0]) == (
        failed, {"error": "context too long", "model": "small", "rows": 6},
    )  # fmt: skip
    hits = count("SELECT count(*) FROM predictions WHERE cache <> ''")
    assert hits == 30
    (one,) = found["cache"]
    assert one.message == "30 of 295 results from the cache (10.2%)"
    assert {(row["configuration"], row["hits"], row["misses"]) for row in one.rows} == {
        ("again", 30, 0), ("model=large", 0, 145), ("model=small", 0, 120),
    }  # fmt: skip
    (one,) = found["two-tables"]
    assert one.message == "accuracy of small is 0.99, and 0.789474 by its 114 predictions"
    nulls = count("SELECT count(*) FROM predictions WHERE params_model IS NULL")
    assert nulls == 30
    assert {(one.subject, one.count) for one in found["missing-params"]} == {
        ("params_model", nulls), ("params_temperature", nulls),
    }  # fmt: skip
    assert {one.level for one in found["missing-params"]} == {"note"}  # all from the cache


def test_one_configuration_or_the_whole(benchmark: Path) -> None:
    """Without its repeated run the benchmark has no leak, and other rules say the same."""
    found = found_in(benchmark, run="first")
    assert set(found) == set()
    report = report_of(benchmark, run="small")
    assert {one.rule for one in report.findings} == {"failures", "two-tables"}
