"""What only reads never waits for a heavy package: looked up in ``sys.modules`` of a real process."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.helpers import Repo
from tests.workflows.models.model_tools import PRODUCTION

HEAVY = {"git", "sqlite_utils", "dvc", "duckdb", "_duckdb", "pandas"}

PROBE = """
import json, sys
from gitxexp.entry import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


def modules(repo: Repo, *args: str) -> set[str]:
    done = repo.python("-c", PROBE, *args)
    code, names = json.loads(done.out.splitlines()[-1])
    assert not code, done.err
    return set(names)


def heavy(repo: Repo, *args: str) -> set[str]:
    return modules(repo, *args) & HEAVY


READS = (
    (), ("--json",), ("log",), ("explore", "list"), ("explore", "list", "--runs"),
    ("explore", "show", "e0.1.0"), ("explore", "diff", "e0.1.0", "HEAD"), ("candidates",),
    ("worktree", "list"), ("get", "e0.1.0", PRODUCTION, "-o", "copy"), ("completion", "bash"),
    ("textconv", "results/experiments.db"),
)  # fmt: skip


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_no_read_imports_what_is_slow(modelled: Repo, args: tuple[str, ...]) -> None:
    assert heavy(modelled, *args) == set()


def test_a_suggested_version_waits_for_nothing_that_merges(modelled: Repo) -> None:
    loaded = modules(modelled, "tag", "--suggest")
    assert not loaded & {*HEAVY, "gitxexp.workflows.merge.merge", "gitxexp.tables.duckdb.write"}


def test_the_merge_driver_imports_nothing_slow(modelled: Repo) -> None:
    database = modelled / "results" / "experiments.db"
    for side in ("ours", "theirs"):
        shutil.copy(database, modelled / f"{side}.db")
        with closing(sqlite3.connect(modelled / f"{side}.db")) as db, db:
            db.execute("INSERT INTO predictions (track_id, f1) VALUES (?, 0.5)", (side,))
    shutil.copy(database, modelled / "base.db")
    assert heavy(modelled, "merge-driver", "base.db", "ours.db", "theirs.db", "7", "r.db") == set()
    with closing(sqlite3.connect(modelled / "ours.db")) as db:
        sql = "SELECT count(*) FROM predictions WHERE track_id IN ('ours', 'theirs')"
        assert db.execute(sql).fetchone() == (2,)
