"""``git xexp rerun``: a past experiment once more, elsewhere, and compared."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from gitxexp.workflows.runs.rerun import within
from tests.helpers import Repo
from tests.workflows.runs.test_run import registered, train


def state(repo: Repo) -> tuple[Any, ...]:
    """What a rerun must not change."""
    files = {
        path.relative_to(repo.path).as_posix(): path.read_bytes()
        for path in sorted(repo.path.rglob("*"))
        if path.is_file() and ".git/" not in f"{path.relative_to(repo.path).as_posix()}/"
        and not path.relative_to(repo.path).as_posix().startswith((".dvc/tmp", ".dvc/cache"))
    }  # fmt: skip
    log = [row["id"] for row in repo.xexp("log", "--json").good().json()]
    return files, repo.git("for-each-ref"), repo.git("worktree", "list"), log


def test_a_run_is_reproduced_and_nothing_is_changed(ready: Repo) -> None:
    train(ready, "-S", "lr=0.2").good()
    (row,) = registered(ready)
    ready.write("train.py", "raise SystemExit('another program by now')\n")
    ready.commit("rewritten")
    shutil.rmtree(ready / ".dvc/cache")  # its data is fetched
    before = state(ready)
    done = ready.xexp("rerun", "e0.1.0").good()
    assert "trained 0.2" in done.out
    assert "f1\t0.5\t0.5\t0\tsame" in done.out
    assert "models/production/model.bin: the same bytes" in done.out
    assert "e0.1.0 reproduced in" in done.out
    assert state(ready) == before
    assert not any((ready / ".git/xexp/rerun").iterdir())
    assert [path.name for path in (ready / ".git/xexp/runs").iterdir()] == [row["id"]]
    # by the tracker's run, and with another command: not the same
    script = "import json; json.dump({'f1': 0.45, 'new': 1}, open('metrics.json', 'w'))"
    other = ("--json", "--", sys.executable, "-c", script)
    worse = ready.xexp("rerun", row["tables"][0]["run"], *other)
    assert worse.code == 1
    facts = worse.json()
    assert facts["reproduced"] is False
    assert [(one["name"], one["after"]) for one in facts["metrics"]] == [("f1", 0.45)]
    assert ready.xexp("rerun", row["id"], "--rtol", "0.11", *other).code == 0
    assert ready.xexp("rerun", row["id"], "--atol", "0.04", *other).code == 1
    # what did not come out is not the same
    assert ready.xexp("rerun", row["id"], "--", "true").code == 1
    assert state(ready) == before


def test_what_cannot_be_run_again_says_why(ready: Repo) -> None:
    train(ready).good()
    for words, said in (
        (("e0.1.0", "--", "no-such-program"), "there is no command 'no-such-program' on PATH"),
        (("e0.1.0", "--", "sh", "-c", "exit 9"), "exit code 9"),
        (("e0.1.0", "--timeout", "0.2s", "--", "sleep", "60"), "timed out"),
        (("e7.7.7",), "'e7.7.7' is not an experiment"),
        (("HEAD~1",), "'HEAD~1' is not an experiment or a record of a run"),
    ):
        done = ready.xexp("rerun", *words)
        assert (done.code, said in done.err) == (128, True), done.err
    shutil.rmtree(ready / ".dvc/cache")
    assert ready.remote is not None
    shutil.rmtree(ready.remote)
    (ready / "data/train.csv").unlink()
    done = ready.xexp("rerun", "e0.1.0")
    assert (done.code, "data is missing: data/train.csv" in done.err) == (128, True), done.err
    assert ready.git("worktree", "list").count("\n") == 0


def test_a_run_that_is_kept_can_be_tagged(ready: Repo) -> None:
    ready.write("train.py", (ready / "train.py").read_text().replace("0.7", "0.8"))
    train(ready, "--dirty", "-S", "lr=0.3").good()  # in no commit, but its patch is kept
    (first,) = registered(ready)
    ready.git("checkout", "-q", "--", "train.py", "params.yaml")
    done = ready.xexp("rerun", first["id"], "--keep").good()
    assert "trained 0.3" in done.out
    second, _ = registered(ready)
    assert (second["note"], second["metrics"]) == (f"a rerun of {first['id']}", first["metrics"])
    ids = {row["run"] for row in ready.xexp("list", "--runs", "--json").good().json()}
    assert {first["tables"][0]["run"], second["tables"][0]["run"]} <= ids


def test_a_run_of_a_sweep_is_rerun_and_tagged_with_its_own_files(ready: Repo) -> None:
    words = ("sweep", "-S", "lr=0.1,0.2", "--jobs", "2", "--", sys.executable, "train.py")
    ready.xexp(*words).good()
    by_lr = {row["params"]["lr"]: row for row in registered(ready)}
    assert ready.xexp("rerun", by_lr[0.2]["id"]).good().out.count("same") >= 1
    ready.xexp("tag", "--run", by_lr[0.2]["id"], "-m", "winner").good()
    assert ready.git("show", "HEAD:params.yaml").splitlines()[1] == "lr: 0.2"
    assert ready.git("show", "HEAD:metrics.json") == '{"f1": 0.5}'
    assert (ready / "models/production/model.bin").read_text() == "weights 0.2\n" * 100
    assert ready.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("before", "after", "rtol", "atol", "same"),
    [
        (1.0, 1.0, 0, 0, True), (1.0, 1.125, 0.125, 0, True), (1.0, 1.126, 0.125, 0, False),
        (-2.0, -2.25, 0.125, 0, True), (0.0, 0.05, 0.5, 0, False), (0.0, 0.05, 0, 0.05, True),
        (math.nan, math.nan, 0, 0, True), (math.nan, 1.0, 9, 9, False),
        (math.inf, math.inf, 0, 0, True), (math.inf, 1.0, 9, 9, False), (3, 3, 0, 0, True),
        ("a", "a", 0, 0, True), ("a", "b", 9, 9, False), (1, None, 9, 9, False), (True, 1, 0, 0, True),
    ],
)  # fmt: skip
def test_tolerance(before: Any, after: Any, rtol: float, atol: float, same: bool) -> None:
    assert within(before, after, rtol, atol) is same


def test_a_killed_rerun_leaves_nothing_for_long(ready: Repo, tmp_path: Path) -> None:
    train(ready).good()
    left = ready / ".git/xexp/rerun/20230101-000000-dddddd"
    left.mkdir(parents=True)
    (left / "lock").touch()
    ready.git("worktree", "add", "-q", "--detach", str(left / "trees/1"), "HEAD")
    ready.xexp("rerun", "e0.1.0").good()
    assert not left.exists()
    assert ready.git("worktree", "list").count("\n") == 0


#: A stage without Python: its model and its metrics follow from a parameter.
STAGE = """
stages:
  train:
    cmd: sh train.sh
    params: [lr]
    outs: [out/model.pkl]
    metrics:
      - metrics.json: {cache: false}
"""
SHELL = """
lr=$(sed -n 's/^lr: \\([0-9.]*\\).*/\\1/p' params.yaml)
mkdir -p out && echo "weights $lr" > out/model.pkl && echo "{\\"f1\\": $lr}" > metrics.json && echo trained
"""


@pytest.mark.usefixtures("quick")
def test_runs_of_a_pipeline_are_tagged_with_their_lock_and_run_again(ready: Repo) -> None:
    ready.write("dvc.yaml", STAGE)
    ready.write("train.sh", SHELL)
    ready.xexp("run", "-S", "lr=0.1", "--no-track", "--dirty", "--no-tag").good()
    ready.commit("a pipeline")
    ready.xexp("sweep", "-S", "lr=0.2,0.3", "-j", "2", "--tag", "--", "dvc", "repro").good()

    def is_whole(lr: str) -> bool:
        files = {name: ready.git("show", f"HEAD:{name}") for name in ("dvc.lock", "metrics.json")}
        return (
            ready.git("status", "--porcelain") == ""
            and f"lr: {lr}\n" in files["dvc.lock"]
            and files["metrics.json"] == f'{{"f1": {lr}}}'
            and (ready / "out/model.pkl").read_text() == f"weights {lr}\n"
        )

    assert is_whole("0.3")
    again = ready.xexp("rerun", ready.tags[-1]).good()
    assert "trained" in again.out and "reproduced" in again.out  # not from DVC's cache of runs
    other = next(row for row in registered(ready) if row["params"]["lr"] == 0.2)
    ready.xexp("tag", "--run", other["id"]).good()
    assert is_whole("0.2")
