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


#: Verb of the command line → the methods that do it, with all of its options.
METHODS = {
    "init": ("init", "templates"),
    "run": ("run",),
    "rerun": ("rerun",),
    "tag": ("tag", "plan", "renumber"),
    "sweep": ("sweep", "plan_sweep", "tag_winner", "sweeps", "sweep_status", "stop_sweep"),
    "worktree new": ("worktree",),
    "worktree list": ("worktrees",),
    "worktree remove": ("remove_worktree",),
    "worktree prune": ("prune_worktrees",),
    "push": ("push", "plan_push"),
    "pull": ("pull",),
    "explore list": ("list", "experiments", "filter"),
    "explore show": ("show", "experiment"),
    "explore log": ("run_log", "runs"),
    "explore columns": ("columns",),
    "explore verify": ("verify",),
    "explore diff": ("compare", "patch"),
    "explore plot": ("plot",),
    "explore checkout": ("checkout",),
    "explore worktrees": ("worktrees",),
    "explore cleanup": ("cleanup",),
    "get": ("get",),
    "sql": ("sql", "schema"),
    "report": ("report", "report_page"),
    "diff": ("diff",),
    "merge": ("merge",),
    "rebase": ("rebase",),
    "conflicts": ("conflicts",),
    "conflicts resolve": ("resolve",),
    "import": ("import_runs", "tag_imported", "add_imported_models"),
    "check": ("check", "fix"),
    "drivers install": ("install_drivers",),
    "drivers uninstall": ("uninstall_drivers",),
    "drivers status": ("drivers",),
    "candidates list": ("candidates",),
    "candidates add": ("add_candidate",),
    "promote": ("promote", "plan_promotion", "promotions"),
    "prune": ("prune", "plan_prune", "free_cache", "finished_worktrees", "remove_finished"),
    "undo": ("undo",),
    "redo": ("redo",),
    "log": ("log",),
    "registry search": ("search",),
    "registry list": ("configurations",),
    "registry show": ("configuration",),
    "registry compare": ("compare_configurations",),
    "registry label": ("label",),
    "registry describe": ("describe",),
    "registry export": ("export",),
    "registry import": ("import_configurations",),
    "registry delete": ("delete", "plan_deletion"),
    "registry rebuild": ("rebuild_registry",),
    "registry restore-tags": ("restore_tags",),
}  # fmt: skip
#: What only a terminal or a shell needs, and groups that do nothing themselves.
SHELL = {"demo", "setup", "completion", "ui"}
#: Options that say how to print, ask, or end, as a value needs none; a plain registry is gitxexp.Registry.
TERMINAL = {
    "as_json",
    "as_csv",
    "as_md",
    "md",
    "ndjson",
    "nul",
    "porcelain",
    "full",
    "print_path",
    "watch",
    "verbose",
    "github",
    "ci",
    "stat",
    "exit_code",
    "strict",
    "edit",
    "open_",
    "db",
}
#: Options of some verbs that are the same: a relation, a report or a path has what they choose.
SAME = {
    "sql": {"file", "parquet", "arrow"},
    "report": {"out"},
    "explore log": {"limit"},
    "sweep": {"no_check"},  # it only prints what Repository.check() returns
    "check": {"stage", "yes"},
    "prune": {"yes"},
    "rebase": {"yes"},
    "registry delete": {"yes"},
    "tag": {"yes"},
    "worktree new": {"more"},  # words after the name, each told what to type instead
}
#: Option → keyword or method, where it is called otherwise.
SPELLED = {
    "filter_": "filter",
    "axes": "grid",
    "everything": "include_modified",
    "projects": "projects",
    "run git_remote": "remote",
    "push remote": "dvc_remote",
    "push everything": "everything",
    "pull remote": "git_remote",
    "get remote": "dvc_remote",
    "registry restore-tags git_remote": "remote",
    "tag suggest": "plan",
    "tag dry_run": "plan",
    "explore log run": "name",
    "rerun run": "name",
    "explore diff versions": "before",
    "explore diff code": "patch",
    "explore plot along": "x",
    "diff sides": "before",
    "worktree new rev": "at",
    "sweep tags": "tag_winner",
    "sweep status": "sweep_status",
    "sweep lists": "sweeps",
    "sweep stop": "stop_sweep",
    "sweep workers": "clone",
    "sweep dry_run": "plan_sweep",
    "sql schema": "schema",
    "push dry_run": "plan_push",
    "prune dry_run": "plan_prune",
    "prune cache": "free_cache",
    "import tag": "tag_imported",
    "import models": "add_imported_models",
    "check fix": "fix",
    "promote history": "promotions",
    "promote dry_run": "plan_promotion",
    "get paths": "paths",
    "run no_check": "checks",
    "registry describe message": "text",
    "registry delete dry_run": "plan_deletion",
}


def test_every_verb_is_here_with_all_its_options() -> None:
    from gitxexp.cli.main import main
    from gitxexp.cli.shell import completion_spec

    known = {path: each for path, each in completion_spec.commands(main) if path}
    groups = {path for path in known if any(verb.startswith(f"{path} ") for verb in known)}
    assert {*known} - groups - SHELL - {*METHODS} == set()
    lacking = []
    for verb, names in METHODS.items():
        methods = [getattr(gitxexp.Repository, name) for name in names]
        keywords = {*names}.union(*(inspect.signature(each).parameters for each in methods))
        for option in (
            {str(each.name) for each in known[verb].params} - TERMINAL - SAME.get(verb, set())
        ):
            name = SPELLED.get(f"{verb} {option}") or SPELLED.get(option) or option
            if name.removeprefix("no_") not in keywords:
                lacking.append(f"{verb}: {option}")
    assert sorted(lacking) == []


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


def test_what_would_be_done(modelled: Repo) -> None:
    """Every dry run returns a plan, and changes nothing."""
    os.chdir(modelled.path)
    project = gitxexp.open()
    before = modelled.git("status", "--porcelain", "--branch"), modelled.git("for-each-ref")
    pushed = project.plan_push("e0.1.0", artifacts=True)
    assert [e.name for e in pushed.experiments] == ["e0.1.0"] and not pushed.refs
    assert project.plan_prune(keep=0).decisions and project.plan_promotion(best="f1").slot
    assert [entry.version for entry in project.plan_deletion("e0.1.0").entries] == ["e0.1.0"]
    planned = project.plan_sweep(["python", "-c", "{lr}"], {"lr": [0.5, 0.7]})
    assert [dict(run.params)["lr"] for run in planned.runs] == [0.5, 0.7]
    assert project.fix(project.check(only=["engine"]), dry_run=True) == []
    assert project.finished_worktrees() == project.worktrees(explore=True) == []
    assert {"experiments", "predictions"} <= {entry.table for entry in project.schema()}
    assert project.patch("HEAD", "HEAD") == "" and "sweep" in {t.name for t in project.templates()}
    assert project.configurations(labels=["none"]) == []
    assert project.list(all_projects=True).rows
    assert before == (
        modelled.git("status", "--porcelain", "--branch"),
        modelled.git("for-each-ref"),
    )
    with pytest.raises(gitxexp.XexpError, match="a function takes a grid"):
        project.sweep(print, file="grid.toml")


def test_merging_plain_files(ready: Repo, tmp_path: Path) -> None:
    """``output`` makes a file of files, as ``merge -o``; what is for artifacts is refused."""
    files = [str(tmp_path / name) for name in ("a.db", "b.db")]
    for at, file in enumerate(files):
        with closing(sqlite3.connect(file)) as con, con:
            con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
            con.execute("INSERT INTO t VALUES (?, 'x')", (at,))
    project, out = gitxexp.open(), tmp_path / "all.db"
    assert project.merge(*files, output=out, dry_run=True).changed and not out.exists()
    project.merge(*files, output=out)
    with closing(sqlite3.connect(out)) as con:
        assert con.execute("SELECT id FROM t ORDER BY 1").fetchall() == [(0,), (1,)]
    project.rebase(files[0], output=out, key=["id"])
    with pytest.raises(gitxexp.XexpError, match="commit is for artifacts"):
        project.merge(*files, output=out, commit=True)


def test_errors_are_ours(ready: Repo) -> None:
    with pytest.raises(gitxexp.XexpError) as caught:
        gitxexp.open("/")
    assert caught.value.hint is not None
    with pytest.raises(gitxexp.XexpError):
        gitxexp.open().tag("v1")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "\udce9t\udce9", "x" * 5000, f"/{'y' * 300}/z"])
def test_errors_of_names_that_no_system_has_are_ours(ready: Repo, name: str) -> None:
    """Nothing is recorded of them: a name in the log that cannot be one stopped each later command."""
    repo = gitxexp.open(ready.path)
    repo.tag()
    outside = ready.path.parent
    for call in (
        lambda: gitxexp.open(name),
        lambda: repo.checkout("e0.1.0", path=name),
        lambda: repo.worktree(name),
        lambda: repo.add_candidate(name),
        lambda: repo.export(out=f"{name}.json"),
        lambda: repo.diff(name),
        lambda: repo.get("results/experiments.db", out=f"{name}/{name}"),
        lambda: repo.check(paths=[name]),
        lambda: repo.free_cache(name),
        lambda: repo.import_runs(name),
        lambda: repo.cleanup(name),
        lambda: repo.experiments()[0].get(name),
        lambda: gitxexp.Registry(outside / name).list() or repo.get("nothing.txt"),
    ):
        try:
            call()
        except gitxexp.XexpError as error:
            assert error.message
    repo.label("e0.1.0", add=["later"])
    assert not repo._project.half_done()


def test_a_word_of_several_is_checked(ready: Repo) -> None:
    repo = gitxexp.open(ready.path)
    with pytest.raises(gitxexp.XexpError, match="'big' is not one of: major, minor, patch"):
        repo.tag(level="big")  # type: ignore[arg-type]


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
