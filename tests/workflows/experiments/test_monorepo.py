"""DVC projects in folders of one git repository."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository.repository import Project
from tests.conftest import METRICS, PARAMS
from tests.helpers import Repo, dvc_inside, run, xexp_inside

COMPLETIONS = Path(__file__).parents[3] / "completions"


def test_the_nearest_project_is_taken(repo: Repo) -> None:
    for name in ("ranker", "tools/tagger"):
        repo.write(f"{name}/src/code.py", "")
        repo.write(f"{name}/params.yaml", PARAMS)
        repo.write(f"{name}/metrics.json", METRICS)
        repo.write(f"{name}/data/rows.csv", f"{name}\n")
        dvc_inside("init", "-q", "--subdir", cwd=repo / name).good()
        dvc_inside("add", "-q", "data/rows.csv", cwd=repo / name).good()
    repo.commit("two projects")
    xexp_inside("init", cwd=repo / "tools/tagger/src").good()
    assert not (repo / ".dvc").exists() and not (repo / "tools/tagger/src/.dvc").exists()
    config = (repo / ".xexp/config.toml").read_text()
    assert 'files = ["tools/tagger/params.yaml"]' in config
    assert 'files = ["tools/tagger/metrics.json"]' in config
    repo.commit("set up")
    xexp_inside("tag", "-m", "first", cwd=repo / "tools/tagger").good()
    shown = repo.xexp("explore", "show", "--json").good().json()
    assert shown["params"]["lr"] == 0.1
    assert [a["path"] for a in shown["artifacts"]] == [
        "ranker/data/rows.csv", "tools/tagger/data/rows.csv"
    ]  # fmt: skip
    repo.write("ranker/data/rows.csv", "other\n")
    assert repo.xexp("--json").good().json()["outputs"]["changed"] == ["ranker/data/rows.csv"]
    repo.xexp("init").good()
    assert not (repo / ".dvc").exists()


@pytest.fixture(scope="session")
def projects_template(sealed: Path) -> Path:
    """The folder that ``projects`` copies."""
    made = Repo(sealed / "projects-template")
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    for name in ("ranker", "tagger"):
        made.write(f"{name}/train.py", "print(1)\n")
        made.write(f"{name}/params.yaml", PARAMS)
        made.write(f"{name}/metrics.json", METRICS)
        made.write(f"{name}/data/rows.csv", f"{name}\n")
        made.write(f"{name}/models/production/model.bin", f"model of {name}\n")
        dvc_inside("init", "-q", "--subdir", cwd=made / name).good()
        dvc_inside(
            "add", "-q", "data/rows.csv", "models/production/model.bin", cwd=made / name
        ).good()
    made.write("lib/common.py", "shared = 1\n")
    made.commit("two projects")
    for name in ("ranker", "tagger"):
        xexp_inside("init", "--prefix", f"{name}/", cwd=made / name).good()
    made.commit("set up")
    return made.path


@pytest.fixture
def projects(projects_template: Path, tmp_path: Path) -> Repo:
    """``ranker`` and ``tagger``, each with a DVC project, settings and a prefix of its own."""
    shutil.copytree(projects_template, tmp_path / "projects", symlinks=True)
    return Repo(tmp_path / "projects")


def names(repo: Repo, folder: str, *args: str) -> list[str]:
    listed = xexp_inside("explore", "list", "--json", *args, cwd=repo / folder).good().json()
    return [row["version"] for row in listed]


def test_each_project_has_its_own_settings_versions_and_files(projects: Repo) -> None:
    ranker, tagger = projects / "ranker", projects / "tagger"
    assert not (projects / ".xexp/config.toml").exists()
    assert 'files = ["params.yaml"]' in (ranker / ".xexp/config.toml").read_text()
    assert not projects.git("diff", "HEAD", "--name-only")
    xexp_inside("tag", "-m", "first", cwd=ranker).good()
    xexp_inside("tag", "-m", "first", cwd=tagger).good()
    assert names(projects, "ranker") == ["ranker/e0.1.0"]
    assert names(projects, "tagger") == ["tagger/e0.1.0"]
    assert names(projects, "tagger", "ranker/e0.1.0") == ["ranker/e0.1.0"]
    assert set(names(projects, "", "--all-projects")) == {"ranker/e0.1.0", "tagger/e0.1.0"}
    assert "ranker/, tagger/" in xexp_inside("list", cwd=projects.path).err
    assert "cd ranker" in projects.xexp().good().out

    # a version may be named without the prefix, and that of another project with it
    for name in ("e0.1.0", "tagger/e0.1.0"):
        shown = xexp_inside("show", name, "--json", cwd=tagger).good().json()
        assert shown["version"] == "tagger/e0.1.0"
        assert [each["path"] for each in shown["artifacts"]] == [
            "tagger/data/rows.csv", "tagger/models/production/model.bin"
        ]  # fmt: skip
    shown = xexp_inside("show", "ranker/e0.1.0", "--json", cwd=tagger).good().json()
    assert shown["version"] == "ranker/e0.1.0" and shown["metrics"] == {"f1": 0.81, "loss": 0.42}
    xexp_inside("get", "ranker/e0.1.0", "ranker/data/rows.csv", "-o", "got.csv", cwd=tagger).good()
    assert (tagger / "got.csv").read_text() == "ranker\n"
    (tagger / "got.csv").unlink()
    xexp_inside("get", "e0.1.0", "data/rows.csv", "-o", "got.csv", cwd=tagger).good()
    assert (tagger / "got.csv").read_text() == "tagger\n"
    (tagger / "got.csv").unlink()

    # what changes in the one is nothing to the other
    projects.write("ranker/params.yaml", PARAMS.replace("0.1", "0.2"))
    projects.write("ranker/train.py", "print(2)\n")
    projects.write("ranker/data/rows.csv", "other\n")
    projects.write("tagger/params.yaml", PARAMS.replace("0.1", "0.3"))
    planned = xexp_inside("tag", "--dry-run", "-a", cwd=tagger).good().out
    assert "tagger/e0.2.0" in planned and "lr changed" in planned
    xexp_inside("tag", "-a", "-m", "second", cwd=tagger).good()
    assert projects.git("diff", "HEAD", "--name-only").split() == [
        "ranker/params.yaml", "ranker/train.py"
    ]  # fmt: skip
    xexp_inside("tag", "-a", "-m", "second", cwd=ranker).good()
    assert names(projects, "ranker") == ["ranker/e1.0.0", "ranker/e0.1.0"]
    message = projects.git("for-each-ref", "--format=%(contents)", "refs/tags/ranker/e1.0.0")
    assert "ranker/data/rows.csv" in message and "tagger/" not in message

    # the record of a version with a prefix is compared, too
    checked = xexp_inside("check", "--only", "record", "--json", cwd=ranker)
    assert checked.code in (0, 1), checked.err

    # the status page is about the project that one is in
    projects.write("tagger/data/rows.csv", "mine\n")
    shown = xexp_inside("--json", cwd=tagger).good().json()["outputs"]
    assert (shown["changed"], shown["elsewhere"]) == (["tagger/data/rows.csv"], 0)
    shown = xexp_inside(cwd=ranker).good().out
    assert "clean, 1 output of other projects changed" in shown
    both = projects.xexp("--json").good().json()["outputs"]
    assert both["changed"] == ["tagger/data/rows.csv"]  # the top is in neither
    projects.write("tagger/data/rows.csv", "tagger\n")

    # shared code counts for both
    projects.write("lib/common.py", "shared = 2\n")
    projects.commit("shared code")
    assert "lib/common.py" in xexp_inside("tag", "--dry-run", cwd=tagger).good().out

    # models: the project's own production model
    projects.write("tagger/models/production/model.bin", "a newer model\n")
    xexp_inside("tag", "-m", "third", cwd=tagger).good()
    xexp_inside("promote", "e0.1.0", "-m", "better", cwd=tagger).good()
    assert (tagger / "models/production/model.bin").read_text() == "model of tagger\n"
    assert (ranker / "models/production/model.bin").read_text() == "model of ranker\n"
    rebuilt = xexp_inside("registry", "rebuild", "--json", cwd=tagger).good().json()
    assert rebuilt["restored"] == rebuilt["kept"] == [] and "ranker/e1.0.0" in rebuilt["unchanged"]

    # the registry is one, and so are its tags
    projects.git("tag", "-d", "ranker/e1.0.0")
    restored = xexp_inside("registry", "restore-tags", "--json", cwd=tagger).good().json()
    assert restored["made"] == ["ranker/e1.0.0"]
    refused = projects.xexp("tag")
    assert refused.code == 128 and "hint: run it in one: cd ranker" in refused.err


def test_a_command_to_type_is_for_the_current_folder(
    projects: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, word in (("", "ranker/data/a b.csv"), ("ranker", "data/a b.csv"),
                         ("tagger", "../ranker/data/a b.csv")):  # fmt: skip
        monkeypatch.chdir(projects / folder)
        assert Project.open().typed("ranker/data/a b.csv", "x") == shlex.join(
            (word, os.path.relpath("x", folder or "."))
        )


def test_a_project_takes_no_version_and_no_prefix_of_another(projects: Repo) -> None:
    tagger = projects / "tagger"
    refused = xexp_inside("tag", "ranker/e0.1.0", cwd=tagger)
    assert refused.code == 128 and "another project" in refused.err
    assert xexp_inside("init", "--prefix", "r*/", cwd=tagger).code == 129
    assert "has the prefix 'tagger/'" in xexp_inside("init", "--prefix", "x/", cwd=tagger).err
    xexp_inside("tag", "e0.5.0", cwd=tagger).good()
    assert projects.git("tag", "--list") == "tagger/e0.5.0"
    assert "exists already" in xexp_inside("tag", "e0.5.0", cwd=tagger).err
    xexp_inside("tag", "--name", "wide", cwd=tagger).good()
    assert set(names(projects, "tagger")) == {"tagger/e0.5.0", "tagger/exp-wide-v1"}
    xexp_inside("undo", cwd=tagger).good()
    assert projects.git("tag", "--list") == "tagger/e0.5.0"
    projects.write("tagger/.xexp/config.toml", '[tag]\nprefix = "../"\n')
    assert "needs [tag] prefix" in xexp_inside("list", cwd=tagger).err


def log(path: Path, run_id: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS events (track_id TEXT PRIMARY KEY, f1 REAL)")
        db.execute("INSERT INTO events VALUES (?, 0.5)", (run_id,))


def test_merge_takes_the_rows_of_the_own_project(projects: Repo) -> None:
    """The other has rules and keys of its own."""
    for branch in ("main", "side"):
        for name in ("ranker", "tagger"):
            log(projects / name / "results/runs.db", f"{name} on {branch}")
            dvc_inside("add", "-q", "results/runs.db", cwd=projects / name).good()
        projects.commit(f"runs on {branch}")
        projects.git("checkout", "-q", "-B", "side")
    projects.git("checkout", "-q", "main")
    for name in ("ranker", "tagger"):
        dvc_inside("checkout", "-q", cwd=projects / name).good()
    tagger = projects / "tagger"
    merged = xexp_inside("merge", "side", "--json", cwd=tagger).good().json()
    assert [each["path"] for each in merged["artifacts"]] == ["tagger/results/runs.db"]
    assert projects.git("status", "--porcelain").split() == [
        "M", ".xexp/registry.db", "M", "tagger/results/runs.db.dvc"
    ]  # fmt: skip
    refused = xexp_inside("merge", "side", "--only", "ranker/results/runs.db", cwd=tagger)
    assert refused.code == 1 and "for those of the project there: cd ../ranker" in refused.err


def test_a_project_whose_settings_git_does_not_track_yet(set_up: Repo) -> None:
    log(set_up / "ranker/results/runs.db", "of-the-ranker")
    set_up.commit("before")
    (set_up / ".xexp/config.toml").write_text("")
    set_up.write("ranker/.xexp/config.toml", '[tag]\nprefix = "ranker/"\n')
    assert "of-the-ranker" not in set_up.xexp("explore", "list", "--runs").good().out
    log(set_up / "ranker/results/runs.db", "another")
    set_up.write("train.py", "print(2)\n")
    set_up.xexp("tag", "-a").good()
    assert set_up.git("diff", "HEAD", "--name-only") == "ranker/results/runs.db"


def test_completion_knows_the_prefix(projects: Repo) -> None:
    for name in ("ranker/e0.1.0", "tagger/e0.1.0", "tagger/e0.2.0", "tagger/exp-wide-v1", "e9.0.0"):
        projects.git("tag", "-a", "-m", "one", name)
    bash = f'source {COMPLETIONS}/git-xexp.bash; printf %s "$__git_xexp_engine"'
    engine = run("bash", "-c", bash, cwd=projects.path).good().out

    def said(line: str, mode: str = "plain", folder: str = "tagger") -> list[str]:
        done = run("sh", "-c", engine, "sh", mode, "git", "xexp", *line.split(" "),
                   cwd=projects / folder).good()  # fmt: skip
        return [row.partition("\t")[0] for row in done.out.splitlines()[1:]]

    own = ["tagger/e0.2.0", "tagger/e0.1.0", "tagger/exp-wide-v1"]
    for mode in ("plain", "full"):
        assert said("show tagger/e", mode) == own
        assert said("show e0", mode) == ["e0.2.0", "e0.1.0"]
        assert [each for each in said("show ", mode) if each in own] == own
        assert said("show ranker/", mode) == ["ranker/e0.1.0"]
    assert said("tag ") == ["tagger/e0.2.1", "tagger/e0.3.0", "tagger/e1.0.0"]
    assert said("tag e") == ["e0.2.1", "e0.3.0", "e1.0.0"]
    assert said("show e", folder="") == ["e9.0.0"]


def test_what_a_folder_took_over_is_no_longer_of_the_top(set_up: Repo) -> None:
    """The top was a project that named the files of the folder before that got a prefix."""
    results = set_up / "ranker/results/experiments.db"
    results.parent.mkdir(parents=True)
    shutil.copy(set_up / "results/experiments.db", results)
    with closing(sqlite3.connect(results)) as db, db:
        db.execute("UPDATE predictions SET track_id = 'of-the-ranker'")
    (set_up / ".xexp/config.toml").write_text(
        '[results]\ndatabases = ["ranker/results/experiments.db"]\n[models]\npaths = ["*.bin"]\n'
    )
    assert "of-the-ranker" in set_up.xexp("explore", "list", "--runs").good().out
    set_up.git("add", set_up.write("ranker/.xexp/config.toml", '[tag]\nprefix = "ranker/"\n'))
    listed = set_up.xexp("explore", "list", "--runs").good()
    assert "of-the-ranker" not in listed.out and "run-lr-1.0" in listed.out
    assert listed.err == (
        "warning: [results] databases in .xexp/config.toml: 'ranker/results/experiments.db' is not"
        " used, it is of the project in ranker\n"
    )
    config = Path(set_up / ".xexp/config.toml")
    config.write_text('[results]\ndatabases = ["**/results/*.db"]\n')
    assert "of-the-ranker" not in set_up.xexp("explore", "list", "--runs").good().out
    ranker = xexp_inside("explore", "list", "--runs", cwd=set_up / "ranker").good()
    assert "of-the-ranker" in ranker.out and "run-lr-1.0" not in ranker.out
