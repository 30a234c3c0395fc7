"""A sweep in worktrees: pipelines, what tag writes into dvc.lock, models that are called by their run."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository.config import Config
from gitxexp.storage.git import Git
from gitxexp.workflows.experiments.describe import OutputRole, role
from gitxexp.workflows.experiments.init import detect
from tests.conftest import copy_template
from tests.helpers import Clock, Repo
from tests.workflows.worktrees.worktree_tools import tree_of

TRAIN = """\
import json, os, sqlite3
lr = float(open("params.yaml").read().split(":")[1])
with sqlite3.connect("runs.db") as db:
    db.execute("CREATE TABLE IF NOT EXISTS runs (run_id TEXT PRIMARY KEY, timestamp TEXT, f1 REAL)")
    db.execute("INSERT INTO runs (run_id, timestamp, f1) VALUES (?, ?, ?)",
               (f"run-{lr}", f"2026-01-01 00:00:{len(str(lr)):02}", lr))
os.makedirs("models/production", exist_ok=True)
open("models/production/model.bin", "w").write(f"lr {lr}")
json.dump({"f1": lr}, open("metrics.json", "w"))
"""
PIPELINE = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr]
    outs:
      - models/production/model.bin
      - runs.db: {persist: true}
    metrics:
      - metrics.json: {cache: false}
"""


def repro(repo: Repo, lr: float) -> None:
    repo.write("params.yaml", f"lr: {lr}\n")
    repo.dvc("repro", "-q")


@pytest.fixture(scope="session")
def sweep_template(dvc_template: Path, sealed: Path) -> Path:
    """A pipeline that has run with lr 0.1, tagged e0.1.0."""
    Clock().tick(120)
    folder = sealed / "sweep-template"
    made = copy_template(dvc_template, folder)
    made.write("train.py", TRAIN)
    made.write("dvc.yaml", PIPELINE)
    repro(made, 0.1)
    made.commit("pipeline")
    made.xexp("init").good()
    made.git("config", "xexp.results.stamp", "true")  # a table of its own, that inserts by name
    made.commit("set up")
    made.xexp("tag").good()
    return folder


@pytest.fixture
def sweep(sweep_template: Path, tmp_path: Path) -> Repo:
    return copy_template(sweep_template, tmp_path)


# -- tag and pipelines -----------------------------------------------------------------------------


def test_tag_does_not_say_that_a_stage_ran_which_did_not(sweep: Repo) -> None:
    """It did "dvc commit -f", so DVC believed that train had run with what was edited since."""
    sweep.write("params.yaml", "lr: 0.9\n")
    sweep.write("train.py", TRAIN + "# edited\n")
    with closing(sqlite3.connect(sweep / "runs.db")) as db, db:
        db.execute("INSERT INTO runs (run_id, timestamp) VALUES ('by hand', '2027-01-01')")
    before = (sweep / "dvc.lock").read_text().splitlines()
    done = sweep.xexp("tag", "--all").good()
    assert "the pipeline ran with lr=0.1, the file has lr=0.9: dvc repro" in done.err
    now = (sweep / "dvc.lock").read_text().splitlines()
    md5 = hashlib.md5((sweep / "runs.db").read_bytes()).hexdigest()
    changed = [new.strip() for old, new in zip(before, now, strict=True) if old != new]
    assert changed == [f"md5: {md5}"]  # the file has as many pages as before
    told = sweep.dvc("status")
    assert "train.py" in told and "lr" in told and "runs.db" not in told
    assert sweep.git("status", "--porcelain") == ""


def test_what_a_stage_measures_is_no_data(sweep: Repo) -> None:
    """metrics.json of a stage made every run a major one, with another data hash."""
    repro(sweep, 0.2)
    done = sweep.xexp("tag", "--all").good()
    assert "e0.2.0  minor: lr changed since e0.1.0" in done.out
    shown = [sweep.xexp("explore", "show", v, "--json").good().json() for v in ("e0.1.0", "e0.2.0")]
    assert shown[0]["data"] == shown[1]["data"] != "none"
    assert "metrics.json" not in detect(sweep.path, Git(sweep.path)).data


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metrics.json", OutputRole.RESULTS),
        ("eval/plots/roc.json", OutputRole.RESULTS),
        ("dvclive/metrics", OutputRole.RESULTS),
        ("test_scores.csv", OutputRole.RESULTS),
        ("features.csv", OutputRole.DATA),
        ("data/metrics.csv", OutputRole.DATA),
        ("evaluation.parquet", OutputRole.DATA),
    ],
)
def test_roles_by_name(path: str, expected: OutputRole) -> None:
    assert role(path, Config()) is expected


# -- worktrees -------------------------------------------------------------------------------------


def test_a_worktree_below_a_folder_with_any_letter(sweep_template: Path, tmp_path: Path) -> None:
    """DVC writes its configuration in ASCII: "unexpected UnicodeEncodeError"."""
    folder = tmp_path / "Übung 1"
    folder.mkdir()
    repo = copy_template(sweep_template, folder)
    (repo / ".dvc/config.local").write_text('[remote "private"]\n    url = /srv/é\n', "utf-8")
    repo.xexp("worktree", "new", "a").good()
    tree = tree_of(repo)
    assert tree.dvc("status").strip() == "Data and pipelines are up to date."
    assert tree.dvc("cache", "dir").strip() == os.path.realpath(repo / ".dvc/cache")
    assert "/srv/é" in tree.dvc("remote", "list")


@pytest.fixture
def trees(sweep: Repo) -> Repo:
    """With worktrees s1 and s2, whose runs 0.31 and 0.32 are tagged e0.2.0 and e0.3.0."""
    for name, lr in (("s1", 0.31), ("s2", 0.32)):
        sweep.xexp("worktree", "new", name).good()
        repro(tree_of(sweep, name), lr)
        tree_of(sweep, name).xexp("tag", "--all").good()
    return sweep


def test_a_glob_stands_for_worktrees_branches_or_versions(trees: Repo) -> None:
    (trees / "src").mkdir()  # a folder that the glob names as well
    for glob, sources in (("s*", "s1, s2"), ("exp/s[12]", "exp/s1, exp/s2"), ("e0.[3]*", "e0.3.0")):
        facts = trees.xexp("merge", glob, "--json", "-n").good().json()
        (artifact,) = facts["artifacts"]
        assert ", ".join(source["name"] for source in artifact["sources"]) == sources
    trees.xexp("merge", "*", "--commit").good()
    with closing(sqlite3.connect(trees / "runs.db")) as db:
        found = db.execute("SELECT run_id, version FROM runs ORDER BY 1").fetchall()
    assert found == [("run-0.1", "e0.1.0"), ("run-0.31", "e0.2.0"), ("run-0.32", "e0.3.0")]
    done = trees.xexp("merge", "z*")
    assert done.code == 128 and "no worktree, branch or version is named like 'z*'" in done.err


def test_a_worktree_that_was_moved_keeps_its_name(trees: Repo) -> None:
    trees.git("worktree", "move", "../exp-s2", "../moved s2")
    listed = trees.xexp("worktree", "list", "--json").good().json()
    assert {tree["name"]: Path(tree["path"]).name for tree in listed}["s2"] == "moved s2"
    for other in ("moved s2", "exp/s2"):  # it said that git xexp had not made it
        done = trees.xexp("worktree", "remove", other)
        assert done.code == 128 and "hint: name it s2\n" in done.err
    trees.xexp("worktree", "remove", "s2", "--force").good()
    assert not (trees.path.parent / "moved s2").exists()
    trees.xexp("undo").good()
    assert (trees.path.parent / "moved s2/runs.db").is_file()


def test_a_model_is_laid_beside_as_that_of_the_run_that_made_it(trees: Repo) -> None:
    """A later, untagged run's model was called the tagged run's, and promoted as its."""
    tree = tree_of(trees, "s2")
    repro(tree, 0.3333)
    made = (tree / "models/production/model.bin").read_bytes()
    trees.xexp("merge", "s1", "s2", "--models", "--commit").good()
    candidates = trees / "models/candidates"
    assert sorted(path.name for path in candidates.iterdir()) == [
        "run-0.31_model.bin", "run-0.3333_model.bin",
    ]  # fmt: skip
    assert (candidates / "run-0.3333_model.bin").read_bytes() == made
    # s1's database has newer runs of others now; its model is still its own
    shutil.copyfile(trees / "runs.db", tree_of(trees, "s1") / "runs.db")
    trees.xexp("promote", "--from-worktree", "s1", "--yes").good()
    history = trees.xexp("promote", "--history", "--json").good().json()
    assert [row["run"] for row in history] == ["run-0.31"]
