"""The Python interface."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import gitxexp
from tests.helpers import Repo


@pytest.fixture
def ready(trained: Repo) -> Repo:
    """``trained``, set up and committed; the current folder."""
    trained.xexp("init").good()
    trained.commit("set up")
    os.chdir(trained.path)
    return trained


def test_the_verbs(ready: Repo) -> None:
    project = gitxexp.open()
    assert str(project.plan().version) == "e0.1.0"
    done = project.tag(text="from Python", params={"lr": 0.3}, labels=["api"])
    assert str(done.version) == "e0.1.0"
    (found,) = project.experiments()
    assert found.payload.text == "from Python"
    assert found.payload.params["lr"] == 0.3
    assert [operation.verb for operation in project.log()] == ["tag", "init"]
    project.undo()
    assert project.experiments() == []


def test_errors_are_ours(ready: Repo) -> None:
    with pytest.raises(gitxexp.XexpError) as caught:
        gitxexp.open("/")
    assert caught.value.hint is not None
    with pytest.raises(gitxexp.XexpError):
        gitxexp.open().tag("v1")


def test_context_describes_what_is_about_to_run(ready: Repo) -> None:
    before = gitxexp.context()
    assert before == {
        "version": "e0.1.0",
        "git_commit": ready.head,
        "git_branch": "main",
        "dirty": False,
        "dvc_hash": before["dvc_hash"],
        "data_commit": ready.git("log", "-1", "--format=%H", "--", "data/train.csv.dvc"),
    }
    ready.xexp("tag", "--best", "f1").good()
    ready.write("params.yaml", (ready / "params.yaml").read_text().replace("0.1", "0.7"))
    context = gitxexp.context({"lr": 0.7})
    assert context["version"] == "e0.2.0"
    assert context["dirty"] is True
    assert str(context["config_hash"]).startswith("sha256:")


TRAIN = """
import gitxexp, xetrack
tracker = xetrack.Tracker("results/experiments.db", params=gitxexp.context(), table="predictions",
                          track_id="from-context-1", warnings=False)
tracker.log({"model": "softmax", "lr": 0.25, "f1": 0.99})
"""


def test_with_the_real_tracker(ready: Repo) -> None:
    ready.xexp("tag").good()
    ready.write(".git/train.py", TRAIN)
    head = ready.head
    ready.python(".git/train.py").good()
    out = ready.xexp("tag", "--json").good().json()
    assert out["run"] == "from-context-1"
    with closing(sqlite3.connect(ready / "results/experiments.db")) as db:
        rows = db.execute(
            "SELECT version, git_commit FROM predictions WHERE track_id = 'from-context-1'"
        ).fetchall()
    assert rows == [(out["version"], head)]


def test_importing_it_is_light() -> None:
    code = "import gitxexp, sys; print(sorted({'click', 'dvc', 'duckdb'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    code = "import gitxexp, sys; gitxexp.open; print('click' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
