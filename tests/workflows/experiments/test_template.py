"""``init --template``: what is written runs, is sound, and is tagged, as it is."""

from __future__ import annotations

import pytest

from gitxexp.cli.commands.init import TEMPLATES
from gitxexp.workflows.experiments import template
from tests.helpers import Repo

#: The metrics of the tag; None: any number.
WRITTEN = {
    "llm": {"accuracy": 0.9417, "failure_rate": 0.0, "total_cost": 0.000364},
    "throughput": {"throughput": None, "error_rate": 0.0, "latency_p50": None},
    "sweep": {"accuracy": 0.9, "train_loss": None},
    "pipeline": {"accuracy": 0.98},
}


@pytest.mark.parametrize("name", WRITTEN)  # the tutorial, whose examples run, is about compare
def test_a_template_runs_is_sound_and_is_tagged(repo: Repo, name: str) -> None:
    repo.git("rm", "-q", "README.md")
    repo.git("commit", "-q", "-m", "empty")
    repo.xexp("init", "--template", name).good()
    assert all((repo / path).is_file() for path in template.template(name).files)
    assert "next       git add" in repo.xexp().good().out
    repo.commit("start")
    first = "git xexp tag" if name == "pipeline" else "git xexp run"
    assert f"next       {first}\n" in repo.xexp().good().out
    repo.xexp("run", "-m", "baseline").good()
    report = repo.xexp("check", "--json").good().json()
    assert [f["rule"] for f in report["findings"] if f["level"] != "note"] == []
    shown = repo.xexp("explore", "show", "e0.1.0", "--json").good().json()
    for metric, value in WRITTEN[name].items():
        assert shown["metrics"][metric] == value or value is None, metric
    assert repo.git("status", "--porcelain") == ""


def test_nothing_is_overwritten(repo: Repo) -> None:
    repo.write("params.yaml", "mine: 1\n")
    before = repo.git("status", "--porcelain")
    done = repo.xexp("init", "--template", "sweep")
    assert (done.code, done.out) == (128, "")
    assert done.err.startswith("fatal: the template sweep would overwrite params.yaml\nhint: ")
    assert repo.git("status", "--porcelain") == before
    (repo / "params.yaml").unlink()
    (repo / "data").symlink_to("elsewhere")  # in the place of a folder
    done = repo.xexp("init", "--template", "sweep")
    assert done.err.startswith("fatal: the template sweep would overwrite data\nhint: ")
    (repo / "data").unlink()
    said = repo.xexp("init", "--template", "sweep", "--no-dvc", "--dry-run").good().out
    assert "would create train.py\n" in said and not (repo / "train.py").exists()
    repo.xexp("init", "--template", "sweep", "--no-dvc").good()
    assert (repo / "README.md").read_text() == "# An experiment\n"  # kept
    repo.write("train.py", "mine\n")
    assert repo.xexp("undo").code == 1  # what was written since is not lost


def test_templates_are_listed(repo: Repo) -> None:
    assert TEMPLATES == template.NAMES
    lines = repo.xexp("init", "--templates").good().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TEMPLATES)
