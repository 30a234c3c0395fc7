"""The merge driver on ``dvc.lock``: databases that are outputs of a pipeline's stages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Repo, run
from tests.workflows.merge.test_driver_pointers import clean

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

TRAIN = """\
import sqlite3
lr = open("params.yaml").read().split(":")[1].strip()
with sqlite3.connect("runs.db") as db:
    db.execute("CREATE TABLE IF NOT EXISTS runs (run_id TEXT PRIMARY KEY, timestamp TEXT, f1 REAL)")
    db.execute("INSERT INTO runs VALUES (?, '2026-01-01', ?)", (f"run-{lr}", 0.5))
"""
COUNT = """\
import sqlite3
with sqlite3.connect("runs.db") as db, open("count.txt", "w") as file:
    print(*db.execute("SELECT count(*) FROM runs").fetchone(), file=file)
"""
PIPELINE = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr]
    outs:
      - runs.db: {persist: true}
  count:
    cmd: python count.py
    deps: [runs.db]
    outs: [count.txt]
"""


def train(repo: Repo, lr: str) -> None:
    repo.write("params.yaml", f"lr: {lr}\n")
    repo.dvc("repro", "-q", "train")
    repo.commit(f"lr {lr}")


def runs(repo: Repo) -> list[tuple[str, float]]:
    with closing(sqlite3.connect(repo / "runs.db")) as db:
        return db.execute("SELECT run_id, f1 FROM runs ORDER BY 1").fetchall()


def change(repo: Repo, statement: str) -> None:
    with closing(sqlite3.connect(repo / "runs.db")) as db, db:
        db.execute(statement)
    repo.dvc("commit", "-q", "-f", "train")
    repo.commit(statement)


@pytest.fixture(scope="session")
def pipeline_template(dvc_template: Path, sealed: Path) -> Path:
    """``main`` with runs 0.1 and 0.3, ``other`` with 0.1 and 0.2, in a stage's database."""
    folder = sealed / "pipeline-template"
    made = copy_template(dvc_template, folder)
    made.write("train.py", TRAIN)
    made.write("count.py", COUNT)
    made.write("params.yaml", "lr: 0.1\n")
    made.write("dvc.yaml", PIPELINE)
    made.dvc("repro", "-q")
    made.xexp("init").good()
    made.commit("a pipeline")
    made.git("switch", "-q", "-c", "other")
    train(made, "0.2")
    made.git("switch", "-q", "main")
    made.dvc_checkout()
    train(made, "0.3")
    return folder


@pytest.fixture
def piped(pipeline_template: Path, tmp_path: Path) -> Repo:
    return copy_template(pipeline_template, tmp_path)


ALL = [("run-0.1", 0.5), ("run-0.2", 0.5), ("run-0.3", 0.5)]


def test_attributes_name_the_lock(piped: Repo) -> None:
    assert "\ndvc.lock merge=xexp\n" in (piped / ".gitattributes").read_text("utf-8")


def test_rows_merge_and_parameters_stay_a_conflict(piped: Repo) -> None:
    done = run("git", "merge", "-q", "other", cwd=piped.path)
    assert done.code == 1
    assert "runs.db: 1 row new; once dvc.lock is settled: dvc checkout runs.db" in done.err
    text = (piped / "dvc.lock").read_text("utf-8")
    assert text.count("<<<<<<<") == 1 and text.count("md5: ") == 4
    shown = piped.xexp("conflicts").out
    assert "dvc.lock" in shown and "its other lines differ" in shown
    piped.git("checkout", "-q", "--ours", "params.yaml")
    piped.git("add", "params.yaml")
    refused = piped.xexp("conflicts", "resolve")
    assert refused.code == 1 and "--ours or --theirs" in refused.err
    piped.xexp("conflicts", "resolve", "--ours").good()
    piped.git("commit", "-q", "-m", "merged")
    assert runs(piped) == ALL
    said = piped.dvc("status")
    assert "train:" not in said and "count:" in said  # it read the database of before


def test_nothing_but_rows_differ(piped: Repo) -> None:
    """Both ran with the same parameters in the end: nobody is asked anything."""
    piped.git("switch", "-q", "other")
    piped.dvc_checkout()
    piped.write("params.yaml", "lr: 0.3\n")
    change(piped, "INSERT INTO runs VALUES ('by hand', '2026-01-02', 0.9)")
    piped.git("switch", "-q", "main")
    piped.dvc_checkout()
    done = run("git", "merge", "-q", "--no-edit", "other", cwd=piped.path)
    assert done.code == 0, done.err
    assert runs(piped) == [("by hand", 0.9), *ALL] and "train:" not in piped.dvc("status")
    piped.dvc("repro", "-q")
    assert clean(piped) and (piped / "count.txt").read_text("utf-8") == "4\n"


def test_rows_in_conflict_are_settled_by_side(piped: Repo) -> None:
    change(piped, "UPDATE runs SET f1 = 0.1 WHERE run_id = 'run-0.1'")
    piped.git("switch", "-q", "other")
    piped.dvc_checkout()
    change(piped, "UPDATE runs SET f1 = 0.2 WHERE run_id = 'run-0.1'")
    piped.git("switch", "-q", "main")
    piped.dvc_checkout()
    before = runs(piped)
    done = run("git", "merge", "-q", "other", cwd=piped.path)
    assert done.code == 1 and "runs.db: 1 conflict between rows: git xexp conflicts" in done.err
    assert runs(piped) == before and "run-0.1" in piped.xexp("conflicts").out
    piped.xexp("conflicts", "resolve", "--theirs", "dvc.lock").good()
    assert dict(runs(piped)) == {**dict(ALL), "run-0.1": 0.2}
    assert piped.git("status", "--porcelain", "dvc.lock").startswith("M ")


def test_rows_in_conflict_are_settled_one_by_one(piped: Repo) -> None:
    change(piped, "UPDATE runs SET f1 = 0.1 WHERE run_id = 'run-0.1'")
    change(piped, "INSERT INTO runs VALUES ('new', '2026-01-02', 0.3)")
    piped.git("switch", "-q", "other")
    piped.dvc_checkout()
    change(piped, "UPDATE runs SET f1 = 0.2 WHERE run_id = 'run-0.1'")
    change(piped, "INSERT INTO runs VALUES ('new', '2026-01-02', 0.4)")
    piped.git("switch", "-q", "main")
    piped.dvc_checkout()
    run("git", "merge", "-q", "other", cwd=piped.path)
    shown = piped.xexp("conflicts", "--json").json()
    found = next(report for report in shown if report["path"] == "dvc.lock")["conflicts"]
    number = next(i for i, c in enumerate(found, 1) if c["key"] == {"run_id": "new"})
    refused = piped.xexp("conflicts", "resolve", "--row", f"{number}=theirs", "dvc.lock")
    assert refused.code == 1 and "1 conflict is not settled" in refused.err
    done = piped.xexp("conflicts", "resolve", "--row", f"{number}=theirs", "--ours", "dvc.lock")
    done.good()
    assert dict(runs(piped)) == {**dict(ALL), "run-0.1": 0.1, "new": 0.4}


def test_an_object_that_nobody_has_leaves_gits_markers(piped: Repo) -> None:
    for cached in (piped / ".dvc/cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    done = run("git", "merge", "-q", "other", cwd=piped.path)
    assert done.code == 1 and "no cache and no remote has runs.db" in done.err
    assert "<<<<<<<" in (piped / "dvc.lock").read_text("utf-8")


def test_a_broken_lock_leaves_markers(piped: Repo) -> None:
    piped.write("dvc.lock", "schema: '2.0'\nstages: {train: [\n")
    piped.commit("broken")
    done = run("git", "merge", "-q", "other", cwd=piped.path)
    assert done.code == 1 and "dvc.lock is not valid YAML" in done.err
    assert "<<<<<<<" in (piped / "dvc.lock").read_text("utf-8")


def test_what_a_stage_makes_anew_is_for_the_user_to_choose(piped: Repo) -> None:
    """Rows of two runs together would be no result of a pipeline without ``persist``."""
    text = (piped / "dvc.yaml").read_text("utf-8")
    piped.write("dvc.yaml", text.replace("runs.db: {persist: true}", "runs.db"))
    piped.commit("anew each time")
    assert run("git", "merge", "-q", "other", cwd=piped.path).code == 1
    assert "<<<<<<<" in (piped / "dvc.lock").read_text("utf-8")
    before = runs(piped)
    piped.git("checkout", "-q", "--theirs", "params.yaml")
    piped.xexp("conflicts", "resolve", "--theirs").good()
    assert runs(piped) == before and "<<<<<<<" not in (piped / "dvc.lock").read_text("utf-8")


def test_both_sides_add_a_stage(dvc_repo: Repo) -> None:
    """DVC appends to the lock what is new, so git saw a conflict where there is none."""

    def add_stage(name: str, *, first: bool = False) -> None:
        out = f"{name}.txt: {{cache: false}}"  # no line of .gitignore, which would be a conflict
        stage = f"  {name}:\n    cmd: echo {name} > {name}.txt\n    outs: [{out}]\n"
        path = dvc_repo / "dvc.yaml"
        text = path.read_text() if path.exists() else "stages:\n"
        path.write_text(text.replace("stages:\n", f"stages:\n{stage}") if first else text + stage)
        dvc_repo.dvc("repro", "-q", name)
        dvc_repo.commit(f"stage {name}")

    add_stage("base")
    dvc_repo.xexp("init").good()
    dvc_repo.commit("set up")
    dvc_repo.git("switch", "-q", "-c", "other")
    add_stage("theirs", first=True)
    dvc_repo.git("switch", "-q", "main")
    add_stage("ours")
    dvc_repo.git("merge", "-q", "other", "-m", "both")
    lock = (dvc_repo / "dvc.lock").read_text()
    assert [line for line in lock.splitlines() if line.startswith("  ") and line[2] != " "] == [
        "  base:", "  ours:", "  theirs:"
    ]  # fmt: skip
    assert "up to date" in dvc_repo.dvc("status")
