"""The Python interface."""

from __future__ import annotations

import inspect
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import gitxexp
from tests.helpers import Repo


@pytest.fixture
def ready(set_up: Repo) -> Repo:
    """The current folder."""
    os.chdir(set_up.path)
    return set_up


def test_the_verbs(ready: Repo) -> None:
    project = gitxexp.open()
    assert str(project.plan().version) == "e0.1.0"
    done = project.tag(message="from Python", params={"lr": 0.3}, labels=["api"])
    assert str(done.version) == "e0.1.0"
    (found,) = project.experiments()
    assert found.payload.text == "from Python"
    assert found.payload.params["lr"] == 0.3
    assert [operation.verb for operation in project.log()] == ["tag", "init"]
    project.undo()
    assert project.experiments() == []


#: Verb of the command line → method.
METHODS = {
    "init": "init", "run": "run", "rerun": "rerun", "explore log": "run_log",
    "tag": "tag", "tag --dry-run": "plan", "push": "push",
    "pull": "pull",
    "worktree new": "worktree", "worktree list": "worktrees",
    "worktree remove": "remove_worktree", "worktree prune": "prune_worktrees",
    "explore list": "list", "explore list --filter": "filter", "explore show": "show",
    "explore diff": "compare", "explore plot": "plot",
    "explore columns": "columns", "explore verify": "verify",
    "explore checkout": "checkout", "explore cleanup": "cleanup",
    "explore worktrees": "worktrees", "get": "get", "diff": "diff", "merge": "merge",
    "sql": "sql", "report": "report",
    "rebase": "rebase", "conflicts": "conflicts", "conflicts resolve": "resolve",
    "check": "check", "drivers install": "install_drivers",
    "drivers uninstall": "uninstall_drivers", "drivers status": "drivers",
    "candidates list": "candidates", "candidates add": "add_candidate", "promote": "promote",
    "promote --history": "promotions", "prune": "prune", "prune --cache": "free_cache",
    "undo": "undo", "redo": "redo", "log": "log", "registry rebuild": "rebuild_registry",
    "registry restore-tags": "restore_tags", "registry search": "search",
    "registry label": "label", "registry describe": "describe", "registry delete": "delete",
    "sweep": "sweep", "sweep --list": "sweeps", "sweep --stop": "stop_sweep",
    "sweep --tag": "tag_winner", "tag --renumber": "renumber", "check --fix": "fix",
    "registry list": "configurations", "registry show": "configuration",
    "registry compare": "compare_configurations", "registry export": "export",
    "registry import": "import_configurations", "import": "import_runs", "import --tag": "tag_imported",
}  # fmt: skip
#: What only a shell needs, and groups that do nothing themselves.
SHELL = {"demo", "setup", "completion", "ui"}


def test_every_verb_is_here() -> None:
    from gitxexp.cli.main import main
    from gitxexp.cli.shell import completion_spec

    known = {path for path, command in completion_spec.commands(main) if path}
    groups = {path for path in known if any(verb.startswith(f"{path} ") for verb in known)}
    assert known - groups - SHELL - {*METHODS} == set()
    assert all(callable(getattr(gitxexp.Repository, name)) for name in METHODS.values())


@pytest.mark.parametrize("kind", [gitxexp.Repository, gitxexp.Experiment])
def test_every_keyword_is_typed_and_documented(kind: type) -> None:
    public = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    assert public
    for name, value in public.items():
        assert value.__doc__, name
        if not inspect.isfunction(value):
            continue
        for parameter in list(inspect.signature(value).parameters.values())[1:]:
            assert parameter.kind is not parameter.VAR_KEYWORD, name
            assert parameter.annotation is not parameter.empty, (name, parameter.name)
            said = f"``{parameter.name}" in value.__doc__ or parameter.name == "wait"
            assert said or kind is gitxexp.Experiment, (name, parameter.name)


def test_git_is_gitpythons(ready: Repo) -> None:
    import git

    project = gitxexp.open()
    project.tag(message="one")
    (experiment,) = project.experiments()
    assert isinstance(project.git, git.Repo) and isinstance(experiment.commit, git.Commit)
    assert experiment.commit.hexsha == ready.head == project.git.head.commit.hexsha
    assert str(experiment.version) == "e0.1.0" and "one" in repr(experiment)
    assert project.experiment("HEAD") == experiment


def test_looking_back(ready: Repo, tmp_path: Path) -> None:
    project = gitxexp.open()
    project.tag(best="f1", message="best")
    params = (ready / "params.yaml").read_text()
    ready.write("params.yaml", params.replace("epochs: 3", "epochs: 9"))
    project.tag(message="longer", include_modified=True, labels=["kept"], allow_mismatch=True)
    names = [experiment.name for experiment in project.experiments()]
    assert len(names) == 2
    assert [e.labels for e in project.filter("text ~ longer")] == [("kept",)]
    assert [row.experiment.name for row in project.list(labels=["kept"]).rows] == names[:1]
    assert project.show(names[1]).experiment.payload.text == "best"
    newer, older = project.experiments()
    assert {change.name for change in older.diff(newer).params} == {"lr"}  # another run's
    got = older.get("data/train.csv", "params.yaml", out=tmp_path / "got")
    assert sum(file.size for file in got.files) > 1000
    assert (tmp_path / "got/params.yaml").read_text() == params
    assert [row.path.name for row in project.worktrees()] == ["repo"]
    assert project.diff(older.name, newer.name, paths=["results/experiments.db"]) is not None
    assert not project.conflicts() and project.check("HEAD~1").dropped == ()
    assert project.show().experiment.name == names[0]
    found = project.list(names[1], where="f1 > 0").rows
    assert [row.experiment.name for row in found] == names[1:]
    drawn = project.plot(
        "loss", where="lr > 0", labels=["kept"], sort="lr", out=tmp_path / "f1.svg"
    )
    assert [len(series.points) for series in drawn.series] == [1] and drawn.total == 1
    assert (tmp_path / "f1.svg").read_bytes().startswith(b"<svg")
    with pytest.raises(gitxexp.XexpError, match="nothing to plot"):
        project.plot("f1", labels=["none"], out=tmp_path / "none.svg")
    with pytest.raises(gitxexp.XexpError, match=r"\.gif"):
        project.plot("f1", out=tmp_path / "f1.gif")
    last = project.status().last
    assert last is not None and last.name == names[0]
    assert project.fix(project.check(only=["schema-drift"])) == ()
    with pytest.raises(gitxexp.XexpError, match="go together"):
        project.sweep(["true"], {"lr": [1]}, sampler="tpe")
    with pytest.raises(gitxexp.XexpError, match="--best"):
        project.plan(where="f1 > 0")


def test_sharing_and_worktrees(ready: Repo, tmp_path: Path) -> None:
    ready.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    ready.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    project = gitxexp.open()
    project.tag(message="one", push=True)
    assert "e0.1.0" in ready.git("ls-remote", "--tags", "origin")
    assert project.push().refs == ()
    ready.git("clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "mate"))
    pulled = gitxexp.open(tmp_path / "mate").pull()
    assert pulled.registered and pulled.missing == () and "data/train.csv" in pulled.updated
    made = project.worktree("wide", at="e0.1.0")
    assert made.ready.missing == () and (made.plan.path / "data/train.csv").is_file()
    (made.plan.path / "note.txt").write_text("only here")
    with pytest.raises(gitxexp.XexpError, match="was not removed"):
        project.remove_worktree("wide")
    project.remove_worktree("wide", force=True)
    assert not made.plan.path.exists()
    seen = project.checkout("e0.1.0")
    assert [tree.path for tree in project.cleanup()] == [getattr(seen, "plan", seen).path]
    assert not project.drivers().complete or project.uninstall_drivers()
    assert project.install_drivers() and project.drivers().complete
    (undone,) = project.undo()
    assert undone.verb == "drivers install"


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
    heavy = {"click", "dvc", "duckdb", "git", "sqlite_utils"}
    code = f"import gitxexp, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    code = "import gitxexp, sys; gitxexp.open; print(bool({'click', 'git'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
