"""What only reads never waits for a heavy package: looked up in ``sys.modules`` of a real process."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import click

from gitxexp.cli.main import main
from gitxexp.cli.shell import completion_spec
from tests.helpers import Repo
from tests.workflows.models.model_tools import PRODUCTION

HEAVY = {
    "git", "sqlite_utils", "dvc", "dvc_data", "duckdb", "_duckdb", "pandas", "numpy", "pyarrow",
}  # fmt: skip

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
    """What each of the verbs has imported when it ends, with 0 or the code in ``CODES``."""
    done = repo.python("-c", PROBE, json.dumps(verbs)).good()
    found = []
    for args, text in zip(verbs, done.out.split("\n== of one\n"), strict=False):
        code, names = json.loads(text.splitlines()[-1])
        assert (code or 0) == CODES.get(args, 0), (args, done.err)
        found.append(set(names))
    assert len(found) == len(verbs)
    return found


#: Each in a repository with one experiment, which is not pushed.
READS = (
    (), ("--json",), ("--version",), ("-h",), ("status",), ("log",), ("completion", "bash"),
    ("explore",), ("explore", "list", "--sort", "f1"), ("explore", "list", "--runs"),
    ("explore", "list", "--filter", "f1 > 0"), ("explore", "show", "e0.1.0"),
    ("explore", "show", "HEAD", "--json"), ("explore", "diff", "e0.1.0", "HEAD"),
    ("explore", "diff", "e0.1.0", "--code"), ("explore", "columns"), ("explore", "plot", "f1"),
    ("explore", "verify"), ("explore", "log", "e0.1.0"), ("explore", "worktrees"),
    ("registry", "list"), ("registry", "show", "e0.1.0"), ("registry", "export", "-o", "out.json"),
    ("registry", "compare", "e0.1.0", "e0.1.0"), ("candidates", "list"), ("worktree", "list"),
    ("drivers", "status"), ("conflicts",), ("diff", "e0.1.0", "HEAD"), ("check",),
    ("report", "-o", "out.html"), ("get", "e0.1.0", PRODUCTION, "-o", "copy"),
    ("textconv", "results/experiments.db"), ("tag", "--dry-run"), ("push", "--dry-run"),
    ("promote", "--dry-run"), ("prune", "--dry-run"), ("merge", "HEAD", "--dry-run"),
)  # fmt: skip
#: The exit codes of those that do not succeed here: the experiment has no log, and not its own code.
CODES = {("explore", "verify"): 1, ("explore", "log", "e0.1.0"): 128, ("check",): 1}
#: What changes something, and what is there to use one of these packages.
OTHERS = {
    "init", "demo", "setup", "run", "rerun", "sweep", "pull", "rebase", "import", "undo", "redo",
    "worktree new", "worktree remove", "worktree prune", "explore checkout", "explore cleanup",
    "conflicts resolve", "drivers install", "drivers uninstall", "candidates add",
    "registry label", "registry describe", "registry import", "registry delete",
    "registry rebuild", "registry restore-tags", "registry search",  # which makes its index
    "sql", "ui",
}  # fmt: skip


def test_every_verb_is_a_read_or_not() -> None:
    commands = dict(completion_spec.commands(main))
    verbs = {name for name, command in commands.items() if not isinstance(command, click.Group)}
    read = {" ".join(args[:n]) for args in READS for n in (1, 2)} & verbs
    assert (verbs - OTHERS, verbs & OTHERS) == (read, OTHERS)


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
