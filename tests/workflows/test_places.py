"""Where a command may stand: inside .git, in a submodule, beside a git folder elsewhere, and more."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests import experiments
from tests.cli.test_words import on_terminal
from tests.helpers import Clock, Repo, run, xexp_inside


def test_inside_the_git_folder(ready: Repo, clock: Clock) -> None:
    """As git says it; this is no bare repository."""
    experiments.three(ready, clock)
    inside = ready / ".git"
    for words in (("tag",), ("init",), ("get", "e0.1.0", "README.md")):
        done = xexp_inside(*words, cwd=inside)
        assert (done.code, done.err) == (
            128,
            f"fatal: this operation must be run in a work tree\nhint: cd {ready.path}\n",
        )
    assert "e1.0.0" in xexp_inside("explore", cwd=inside).good().out


@pytest.mark.parametrize("linked", [False, True])
def test_a_submodule_is_a_repository_like_any(ready: Repo, tmp_path: Path, linked: bool) -> None:
    """git itself lists its main worktree as .git/modules/NAME: a folder made beside that is lost."""
    above = Repo(tmp_path / "above")
    above.path.mkdir()
    above.git("init", "-q")
    above.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(ready.path), "sub"
    )
    sub = Repo(above / "sub")
    if linked:
        sub.xexp("worktree", "new", "first").good()
        sub = Repo(above / "exp-first")
    sub.xexp("worktree", "new", "side").good()
    assert (above / "exp-side/README.md").is_file()
    first = sub.xexp("worktree", "list", "--json").json()[0]
    assert first["path"] == str(above / "sub")
    sub.xexp("undo").good()
    assert not (above / "exp-side").exists()


def test_a_git_folder_elsewhere(tmp_path: Path) -> None:
    repo = Repo(tmp_path / "work")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main", "--separate-git-dir", str(tmp_path / "elsewhere"))
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    repo.xexp("worktree", "new", "side").good()
    assert (tmp_path / "exp-side/.xexp/config.toml").is_file()


def test_a_work_tree_without_its_git_file(ready: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC and worktrees cannot find the repository there, and undo could not."""
    (ready / ".git").rename(ready.path.parent / "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(ready.path.parent / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(ready.path))
    assert "no experiment yet" in ready.xexp().good().out
    done = ready.xexp("tag", "-P", "lr=1")
    assert done.code == 128 and f"fatal: {ready.path} has no .git" in done.err
    (hint,) = [line for line in done.err.splitlines() if line.startswith("hint: tie it: ")]
    run("sh", "-c", hint.removeprefix("hint: tie it: "), cwd=ready.path).good()
    ready.xexp("tag", "-P", "lr=1").good()
    ready.xexp("undo").good()


def test_objects_of_sha256(tmp_path: Path) -> None:
    """DVC cannot read them; everything else can."""
    repo = Repo(tmp_path / "repo")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main", "--object-format=sha256")
    repo.write("old.txt", "one\n")
    repo.commit("first")
    done = repo.xexp("init")
    assert done.code == 128
    assert done.err.endswith("hint: go without DVC: git xexp init --no-dvc\n")
    assert repo.git("status", "--porcelain") == ""
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    assert repo.xexp("push").good().out == "nothing to push: there are no experiments yet\n"
    repo.xexp("tag", "-P", "lr=1", "-M", "f1=0.5").good()
    repo.write("params.yaml", "lr: 2\n")
    repo.commit("lr")
    repo.xexp("tag", "-M", "f1=0.7").good()
    assert "lr  1 → 2" in repo.xexp("explore", "diff", "e0.1.0", "e0.2.0").good().out
    repo.xexp("get", "e0.2.0", "params.yaml", "-o", "../got").good()
    repo.xexp("undo").good()
    assert repo.tags == ["e0.1.0"]
    (repo / "old.txt").unlink()
    repo.xexp("tag", "--all", "-M", "f1=0.8").good()
    assert repo.git("status", "--porcelain") == "" and not (repo / "old.txt").exists()
    head = repo.git("rev-parse", "HEAD")
    repo.xexp("undo").good()
    assert repo.git("ls-files", "old.txt") == "old.txt"
    repo.xexp("redo").good()
    assert repo.git("rev-parse", "HEAD") == head and repo.git("status", "--porcelain") == ""
    repo.xexp("worktree", "new", "wide").good()


def test_the_last_on_a_terminal_is_ours(repo: Repo) -> None:
    """Not what a library of DVC's writes as Python ends."""
    text, code = on_terminal(repo, "init", "--color=never", GIT_PROGRESS_DELAY="60")
    assert code == 0 and "\x1b" not in text


def with_tool(tmp_path: Path, name: str, script: str) -> dict[str, str]:
    """The environment with an own ``name`` first on PATH."""
    tool = tmp_path / "tools" / name
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("words", [[], ["explore"], ["tag", "-n"], ["init"], ["worktree", "list"]])
def test_no_git(ready: Repo, tmp_path: Path, words: list[str]) -> None:
    nowhere = {"PATH": str(tmp_path)}
    done = ready.forked(*words, env=nowhere).done()
    assert (done.code, done.out) == (128, "")
    assert done.err == "fatal: git is not on PATH\nhint: install git 2.34 or later\n"
    if not words:
        assert "Did you mean tag?\nhint: " in ready.forked("tga", env=nowhere).done().err


def test_an_old_git(ready: Repo, tmp_path: Path) -> None:
    """2.30 prints an option that it does not know; 2.35 has no ``worktree list -z``."""
    git = shutil.which("git")
    script = f"""
        [ "$1" = --version ] && echo git version 2.30.2 && exit
        case " $*" in *" --path-format"*) echo "$2"; shift 2; set -- rev-parse "$@";; esac
        exec {git} "$@"
    """
    for words in (["tag"], ["explore"], []):
        done = ready.forked(*words, env=with_tool(tmp_path, "git", script)).done()
        assert (done.code, done.err) == (
            128,
            "fatal: this is git version 2.30.2, which is too old\nhint: install git 2.34 or later\n",
        )
    script = f'[ "$1 $2 $4" = "worktree list -z" ] && exit 129; exec {git} "$@"'
    env = with_tool(tmp_path, "git", script)
    ready.forked("worktree", "new", "side", env=env).done().good()
    done = ready.forked("worktree", "list", "--json", env=env).done().good()
    assert [row["name"] for row in done.json()] == ["repo", "side"]


def test_a_damaged_installation(ready: Repo, tmp_path: Path) -> None:
    """DVC, or another library, that cannot be imported."""
    ready.xexp("tag").good()
    for name, error, words in (
        ("dvc", "RuntimeError('half there')", ["init"]),
        ("dvc", "ImportError('no dvc')", ["init"]),
        ("tomli_w", "ImportError('no tomli_w')", ["tag", "-m", "x"]),
    ):
        (tmp_path / f"{name}.py").write_text(f"raise {error}")
        done = ready.xexp_process(*words, env={"PYTHONPATH": str(tmp_path)})
        assert done.code == 128 and "this is a bug" not in done.err
        said = "DVC cannot be started" if name == "dvc" else "this installation is damaged"
        assert done.err.startswith(f"fatal: {said}: ")
        assert done.err.splitlines()[1].startswith("hint: install ")


def test_a_current_folder_that_is_gone(ready: Repo) -> None:
    for words in ("", "explore", "merge a.db -o b.db", "demo x"):
        script = f"mkdir gone && cd gone && rmdir ../gone && '{sys.executable}' -m gitxexp {words}"
        done = run("bash", "-c", script, cwd=ready.path)
        said = (
            "fatal: Unable to read current working directory: No such file or directory\n"
            "hint: this folder was deleted: change into another\n"
        )
        assert (done.code, done.out, done.err) == (128, "", said)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("worktree.link", "magic", "use auto, reflink, hardlink, symlink, copy"),
        ("merge.strategy", "octopus", "use merge, rebase, keep"),
        ("merge.data.strategy", "x", "use merge, rebase, keep"),
        ("tag.push", "perhaps", "git config xexp.tag.push true"),
        ("tag.commit-message", "{scope}", "use {version} and {headline}"),
    ],
)
def test_a_wrong_setting_is_named(ready: Repo, key: str, value: str, hint: str) -> None:
    done = run("git", "-c", f"xexp.{key}={value}", "xexp", "tag", "-n", cwd=ready.path)
    fatal, advice = done.err.splitlines()
    assert done.code == 128
    assert fatal.startswith(f"fatal: git config xexp.{key}: '{value}' is not ")
    assert advice == f"hint: {hint}"


def test_a_results_database_that_is_not_there_is_named(set_up: Repo) -> None:
    set_up.git("config", "xexp.results.databases", "results/other.db")
    note = "note: results/other.db does not exist: its runs are not considered\n"
    assert note in set_up.xexp("tag", "-n").good().err
    set_up.git("config", "xexp.results.databases", "results/*.db")
    assert note not in set_up.xexp("tag", "-n").good().err


def test_a_shallow_clone_has_no_tags(ready: Repo, tmp_path: Path) -> None:
    ready.xexp("tag", "-m", "x").good()
    ready.commit("later")
    ready.git("clone", "-q", "--depth", "1", f"file://{ready.path}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow")
    said = (
        "there are no experiments in this shallow clone; get them: git fetch --unshallow --tags\n"
    )
    assert shallow.xexp("explore").good().err == said
    assert shallow.xexp("explore", "show", "e0.1.0").err.endswith(f"hint: {said}")
    shallow.git("fetch", "-q", "--unshallow", "--tags")
    assert "e0.1.0" in shallow.xexp("explore").good().out


def test_a_clone_without_tags_knows_that_there_are_some(ready: Repo, tmp_path: Path) -> None:
    ready.xexp("tag", "-m", "x").good()
    ready.git("clone", "-q", "--no-tags", f"file://{ready.path}", str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone")
    said = (
        "there are no experiments here; the registry knows some: git fetch --tags,"
        " or git xexp registry restore-tags\n"
    )
    assert clone.xexp("get", "e0.1.0", "train.py").err.endswith(f"hint: {said}")
