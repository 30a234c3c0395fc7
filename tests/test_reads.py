"""What only reads never waits for a heavy package: looked up in ``sys.modules`` of a real process."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

from tests.helpers import Repo
from tests.workflows.models.model_tools import PRODUCTION

HEAVY = {"git", "sqlite_utils", "dvc", "duckdb", "_duckdb", "pandas"}

#: Each verb in a copy of a process that has only started.
PROBE = """
import json, os, sys
import gitxexp.entry
for args in json.loads(sys.argv[1]):
    if os.fork() == 0:
        sys.argv[1:] = args
        try:
            code = gitxexp.entry.main()
        except SystemExit as ended:
            code = ended.code
        print("\\n" + json.dumps([code, sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
    print("\\n== of one", flush=True)
"""


def modules(repo: Repo, *verbs: tuple[str, ...]) -> list[set[str]]:
    """What each of the verbs has imported when it ends; each must succeed."""
    done = repo.python("-c", PROBE, json.dumps(verbs)).good()
    found = []
    for args, text in zip(verbs, done.out.split("\n== of one\n"), strict=False):
        code, names = json.loads(text.splitlines()[-1])
        assert not code, (args, done.err)
        found.append(set(names))
    assert len(found) == len(verbs)
    return found


READS = (
    (), ("--json",), ("log",), ("explore", "list"), ("explore", "list", "--runs"),
    ("explore", "show", "e0.1.0"), ("explore", "diff", "e0.1.0", "HEAD"), ("candidates",),
    ("worktree", "list"), ("get", "e0.1.0", PRODUCTION, "-o", "copy"), ("completion", "bash"),
    ("textconv", "results/experiments.db"),
)  # fmt: skip


def test_no_read_imports_what_is_slow(modelled: Repo) -> None:
    """Nor a suggested version what merges."""
    *reads, suggested = modules(modelled, *READS, ("tag", "--suggest"))
    for args, names in zip(READS, reads, strict=True):
        assert not names & HEAVY, args
    assert not reads[0] & {"click", "inspect"}  # the status page: twice an import of click
    merging = {"gitxexp.workflows.merge.merge", "gitxexp.tables.duckdb.write"}
    assert not suggested & {*HEAVY, *merging}


def test_the_merge_driver_imports_nothing_slow(modelled: Repo) -> None:
    database = modelled / "results" / "experiments.db"
    for side in ("ours", "theirs"):
        shutil.copy(database, modelled / f"{side}.db")
        with closing(sqlite3.connect(modelled / f"{side}.db")) as db, db:
            db.execute("INSERT INTO predictions (track_id, f1) VALUES (?, 0.5)", (side,))
    shutil.copy(database, modelled / "base.db")
    driver = ("merge-driver", "base.db", "ours.db", "theirs.db", "7", "r.db")
    assert not modules(modelled, driver)[0] & HEAVY
    with closing(sqlite3.connect(modelled / "ours.db")) as db:
        sql = "SELECT count(*) FROM predictions WHERE track_id IN ('ours', 'theirs')"
        assert db.execute(sql).fetchone() == (2,)
