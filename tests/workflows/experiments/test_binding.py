"""A tag holds the files of the run that it names, or it is not made."""

from __future__ import annotations

import json
import os
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitxexp.repository.tag_message import Payload
from gitxexp.workflows.experiments.describe import changed_params
from tests import forkserver
from tests.helpers import Repo, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers

TRAIN = """
import json, pathlib, sys
from xetrack import Tracker

run, lr, f1 = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
tracker = Tracker("results/experiments.db", params={"lr": lr}, track_id=run, warnings=False)
tracker.log({"epoch": 1, "f1": f1 / 2})
tracker.log({"epoch": 2, "f1": f1})
pathlib.Path("models/production").mkdir(parents=True, exist_ok=True)
pathlib.Path("models/production/model.bin").write_text(f"weights of {run}")
json.dump({"f1": f1}, open("metrics.json", "w"))
"""


@pytest.fixture(scope="session")
def trainer(sealed: Path) -> Iterator[Path]:
    """A folder for PATH: ``train`` is a Python that has imported xetrack."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        server = forkserver.start(
            Path(folder) / "bin", {"train": "tests.workflows.experiments.script"}, ("xetrack",)
        )
        yield Path(folder) / "bin"
        server.communicate()


@pytest.fixture(autouse=True)
def trains(trainer: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings start at once."""
    monkeypatch.setenv("PATH", str(trainer), prepend=os.pathsep)


def start(repo: Repo, run_id: str, lr: float, f1: float) -> None:
    """Train with parameters from the command line."""
    run("train", "train.py", run_id, str(lr), str(f1), cwd=repo.path).good()


def train(repo: Repo, run_id: str, lr: float, f1: float) -> None:
    """Edit the parameter file and train, as people do it in a loop."""
    repo.write("params.yaml", f"lr: {lr}\n")
    start(repo, run_id, lr, f1)


@pytest.fixture(scope="session")
def swept_template(dvc_template, sealed):
    from tests.conftest import copy_template
    from tests.helpers import Clock

    Clock()
    folder = sealed / "swept-template"
    made = copy_template(dvc_template, folder)
    (made / "results").mkdir()
    made.write("train.py", textwrap.dedent(TRAIN))
    made.write("params.yaml", "lr: 0.1\n")
    made.python("train.py", "base", "0.1", "0.8").good()
    made.xexp("init", "--track").good()
    made.commit("set up")
    made.xexp("tag", "-m", "base").good()
    return folder


@pytest.fixture
def swept(swept_template, tmp_path) -> Repo:
    """A first experiment, tagged."""
    from tests.conftest import copy_template

    return copy_template(swept_template, tmp_path)


def state(repo: Repo) -> tuple[str, str]:
    return repo.refs(), repo.git("status", "--porcelain")


@pytest.mark.parametrize("asked", [("--run", "good"), ("--best", "f1")])
def test_an_earlier_run_has_no_files_any_more(swept: Repo, asked: tuple[str, str]) -> None:
    train(swept, "good", 0.3, 0.9)
    train(swept, "bad", 0.001, 0.6)
    before = state(swept)
    done = swept.xexp("tag", "--all", *asked)
    assert done.code == 1 and state(swept) == before
    assert (
        "models/production/model.bin in the work tree is of run bad, which wrote last" in done.err
    )
    swept.xexp("tag", "--all", "--run", "bad").good()


def test_files_that_were_committed_since_contradict_it_too(swept: Repo) -> None:
    train(swept, "good", 0.3, 0.9)
    swept.commit("with 0.3")
    train(swept, "bad", 0.001, 0.6)
    swept.dvc("add", "-q", "models/production/model.bin", "results/experiments.db")
    swept.commit("with 0.001")
    done = swept.xexp("tag", "--run", "good")
    assert done.code == 1 and "params.yaml says lr=0.001, the run 0.3" in done.err


def test_a_file_that_never_had_the_value_was_overridden(swept: Repo) -> None:
    start(swept, "cli", 0.7, 0.85)
    done = swept.xexp("tag", "--all").good()
    assert "params.yaml says lr=0.1, the run 0.7: the run's own value counts" in done.err


def test_metrics_that_the_run_never_logged_stop_it(swept: Repo) -> None:
    train(swept, "new", 0.3, 0.9)
    swept.write("metrics.json", json.dumps({"f1": 0.6}))  # a training that died before it logged
    done = swept.xexp("tag", "--all")
    assert done.code == 1 and "metrics.json says f1=0.6, the run 0.9" in done.err
    for rounded in (0.9004, 0.45):  # rounded; the value of an earlier epoch
        swept.write("metrics.json", json.dumps({"f1": rounded if rounded == 0.45 else 0.9}))
        swept.xexp("tag", "--all", "--dry-run").good()
    swept.write("metrics.json", json.dumps({"f1": 0.6}))
    swept.xexp("tag", "--all", "--allow-mismatch").good()


def test_outputs_of_an_older_commit_are_no_change(swept: Repo) -> None:
    """git brings pointers; until dvc checkout the outputs are the older ones."""
    train(swept, "second", 0.3, 0.9)
    swept.xexp("tag", "--all").good()
    swept.git("checkout", "-q", "-b", "old", "e0.1.0")
    swept.dvc("checkout", "-q")
    swept.git("checkout", "-q", "main")
    before = state(swept)
    done = swept.xexp("tag", "-m", "nothing of my own")
    assert done.code == 1 and state(swept) == before
    assert "another one: models/production/model.bin" in done.err and "dvc pull" in done.err
    swept.xexp("tag", "--revert-outputs", "--drop-rows", "--allow-mismatch").good()


def test_a_model_that_no_commit_has_is_of_no_other_commit(swept: Repo) -> None:
    """The status page took one for old that the cache had, as a candidate or a run's kept file."""
    model = "models/production/model.bin"
    swept.write(model, "weights of nobody")
    swept.dvc("add", "-q", model)
    swept.git("checkout", "-q", f"{model}.dvc")  # the cache has it, and the pointer is newer
    assert swept.xexp("--json").good().json()["outputs"]["changed"] == [model]
    train(swept, "second", 0.3, 0.9)
    swept.xexp("tag", "--all").good()
    swept.git("checkout", "-q", "e0.1.0")
    found = swept.xexp("--json").good().json()["outputs"]
    assert model in found["stale"] and model not in found["changed"]


def test_the_same_bytes_made_again_are_a_change(swept: Repo) -> None:
    """Deterministic training that comes back to an earlier configuration."""
    train(swept, "second", 0.3, 0.9)
    swept.xexp("tag", "--all").good()
    os.utime(swept / "models/production/model.bin.dvc", (0, 0))
    swept.write("models/production/model.bin", "weights of base")
    done = swept.xexp("tag", "--dry-run").good()
    assert "would add     models/production/model.bin" in done.out


def test_no_commit_holds_what_the_last_commit_holds(swept: Repo) -> None:
    train(swept, "second", 0.3, 0.9)
    swept.commit("what git tracks")
    done = swept.xexp("tag", "--no-commit")
    assert done.code == 128 and "models/production/model.bin" in done.err


def test_a_first_experiment_without_its_files_is_refused(dvc_repo: Repo) -> None:
    (dvc_repo / "results").mkdir()
    dvc_repo.xexp("init").good()
    dvc_repo.write("train.py", textwrap.dedent(TRAIN))
    dvc_repo.commit("set up")
    start(dvc_repo, "base", 0.1, 0.8)
    dvc_repo.write("params.yaml", "lr: 0.1\n")
    names = "models/production/model.bin, results/experiments.db"
    assert f"untracked  {names}" in dvc_repo.xexp().good().out
    done = dvc_repo.xexp("tag", "--all")
    assert done.code == 128 and names.partition(",")[0] in done.err and "--track" in done.err
    assert dvc_repo.tags == []
    dvc_repo.xexp("tag", "--all", "--track").good()
    shown = dvc_repo.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert {one["path"] for one in shown["artifacts"]} >= {
        "models/production/model.bin",
        "results/experiments.db",
    }
    assert dvc_repo.git("status", "--porcelain") == ""


def test_verify_finds_the_wrong_tags_of_the_past(swept: Repo) -> None:
    train(swept, "good", 0.3, 0.9)
    train(swept, "bad", 0.001, 0.6)
    swept.xexp("tag", "--all", "--run", "good", "--allow-mismatch").good()
    done = swept.xexp("explore", "verify", "--json")
    assert done.code == 1
    verified = {one["version"]: one for one in done.json()}
    assert not verified["e0.1.0"]["wrong"]
    wrong = {c["claim"] for c in verified["e0.2.0"]["claims"] if c["verdict"] == "wrong"}
    assert wrong == {"params.yaml", "metrics.json"}
    swept.xexp("explore", "verify", "e0.1.0").good()


def test_best_chooses_among_untagged_runs(swept: Repo) -> None:
    for run_id, lr, f1 in (("one", 0.2, 0.7), ("two", 0.3, 0.9), ("three", 0.4, 0.6)):
        train(swept, run_id, lr, f1)
    suggest = ("tag", "--all", "--allow-mismatch", "--best", "f1", "--dry-run", "--json")
    assert swept.xexp(*suggest).good().json()["run"] == "two"
    swept.xexp("tag", "--all", "--allow-mismatch", "--best", "f1").good()
    assert swept.xexp(*suggest).good().json()["run"] == "one"
    assert swept.xexp(*suggest, "--all-runs").good().json()["run"] == "two"
    assert swept.xexp(*suggest, "--where", "lr > 0.3").good().json()["run"] == "three"
    assert swept.xexp(*suggest, "--of", "e0.1.0").good().json()["run"] == "base"
    done = swept.xexp(*suggest, "--where", "lr > 5")
    assert done.code == 128 and "no run matches (4 in total)" in done.err
    assert swept.xexp("tag", "--all-runs").code == 129


def test_a_dry_run_shows_its_evidence(swept: Repo) -> None:
    train(swept, "new", 0.3, 0.9)
    done = swept.xexp("tag", "--all", "--dry-run").good()
    assert "run: new of experiments.db, wrote last" in done.out
    assert "files: of new, which wrote last (models/production/model.bin, " in done.out


def test_context_is_shown_and_never_hashed(swept: Repo) -> None:
    train(swept, "new", 0.3, 0.9)
    swept.xexp("tag", "--all").good()
    shown = swept.xexp("explore", "show", "--json", swept.tags[-1]).good().json()
    assert shown["context"]["git_commit"] and "git_commit" not in shown["params"]
    assert "\n[context]\n" in swept.git("cat-file", "tag", swept.tags[-1])


def test_a_name_is_that_of_the_worktree(swept: Repo) -> None:
    swept.xexp("worktree", "new", "wide").good()
    tree = Repo(swept.path.parent / "exp-wide")
    assert tree.xexp("tag", "--name", "--suggest").good().out == "exp-wide-v1\n"
    assert swept.xexp("tag", "--name", "--suggest").code == 129


def test_a_truth_value_is_the_number_that_sqlite_keeps_of_it() -> None:
    before, now = (
        Payload("a", params={"scale": 1, "k": 5}),
        Payload("b", params={"scale": True, "k": 5}),
    )
    assert changed_params(before, now) == changed_params(now, before) == []
    assert changed_params(before, Payload("c", params={"scale": False, "k": 5})) == ["scale"]
