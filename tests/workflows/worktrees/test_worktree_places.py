"""``worktree new`` from and to odd places: paths, repositories, caches, hooks."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.helpers import Repo, run
from tests.workflows.worktrees.worktree_tools import CACHE, cached, tree_of

DB = "results/experiments.db"


@pytest.mark.parametrize("folder", ["with space", "ünï", "it's", 'say "hi"', "a,b #c"])
def test_odd_paths_from_a_linked_worktree(trained: Repo, tmp_path: Path, folder: str) -> None:
    linked = tmp_path / "linked"
    trained.git("worktree", "add", "-q", str(linked))
    place = tmp_path / folder / "w"
    done = Repo(linked).xexp(
        "worktree", "new", "a", "--path", str(place), "--link", "hardlink", "--print-path"
    )
    assert done.good().out == f"{place}\n"
    tree = Repo(place)
    assert tree.git("status", "--porcelain") == ""
    assert (place / "data/train.csv").samefile(cached(trained, "data/train.csv"))
    assert "up to date" in tree.dvc("status")


def test_the_cd_line_is_for_a_shell(trained: Repo, tmp_path: Path) -> None:
    place = tmp_path / "it's here"
    done = trained.xexp("worktree", "new", "a", "--path", str(place)).good()
    line = done.out.splitlines()[-1]
    assert run("sh", "-c", f"{line} && pwd", cwd=trained.path).good().out == f"{place}\n"
    assert shlex.split(line) == ["cd", "../it's here"]


def test_nested_inside_the_repository(trained: Repo) -> None:
    trained.git("config", "xexp.worktree.path", "trees/{name}")
    trained.xexp("worktree", "new", "a").good()
    tree = Repo(trained / "trees/a")
    assert trained.git("status", "--porcelain") == ""
    assert "up to date" in trained.dvc("status")
    assert tree.git("status", "--porcelain") == "" and "up to date" in tree.dvc("status")
    tree.xexp("worktree", "new", "b", "--path", "sub").good()
    assert tree.git("status", "--porcelain") == ""
    trained.xexp("worktree", "remove", "b").good()
    trained.xexp("worktree", "remove", "a").good()
    exclude = (trained / ".git/info/exclude").read_text()
    assert "trees" not in exclude and "sub" not in exclude


def test_relative_cache_and_credentials(trained: Repo) -> None:
    """Tracked relative paths mean the main worktree's; its config.local comes along, mode too."""
    (trained / CACHE).rename(trained.path.parent / "shared")
    config = trained / ".dvc/config"
    config.write_text(config.read_text() + "[cache]\n    dir = ../../shared\n")
    local = trained / ".dvc/config.local"
    local.write_text("['remote \"s3\"']\n    url = s3://b\n    secret_access_key = top secret\n")
    local.chmod(0o600)
    trained.commit("shared cache")
    trained.xexp("worktree", "new", "a", "--path", "../deep/er/a").good()
    tree = Repo(trained.path.parent / "deep/er/a")
    mine = tree / ".dvc/config.local"
    assert "top secret" in mine.read_text() and mine.stat().st_mode & 0o777 == 0o600
    assert f"dir = {trained.path.parent / 'shared'}" in mine.read_text()
    assert "up to date" in tree.dvc("status")
    assert tree.git("status", "--porcelain") == ""
    assert "in sync" in tree.dvc("status", "-c", "-r", "store")


def test_post_checkout_hook_of_dvc(trained: Repo, tmp_path: Path) -> None:
    trained.dvc("install")
    marker = tmp_path / "marker"
    hook = trained / ".git/hooks/post-checkout"
    hook.write_text(hook.read_text().replace("\n", f"\npwd >> {marker}\n", 1))
    done = trained.xexp("worktree", "new", "a", "--link", "hardlink").good()
    tree = tree_of(trained)
    assert marker.read_text() == f"{tree.path}\n" and "hook" not in done.err
    assert (tree / "data/train.csv").samefile(cached(trained, "data/train.csv"))
    assert (tree / DB).stat().st_nlink == 1
    hook.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    done = trained.xexp("worktree", "new", "b").good()
    assert "note: the post-checkout hook failed: broken\n" in done.err


def test_dvc_subrepo(dvc_repo: Repo) -> None:
    dvc_repo.write("sub/big.bin", b"sub" * 1000)
    sub = Repo(dvc_repo / "sub")
    sub.dvc("init", "--subdir")
    sub.dvc("add", "big.bin")
    dvc_repo.commit("subrepo")
    dvc_repo.xexp("worktree", "new", "a").good()
    tree = tree_of(dvc_repo)
    assert (tree / "sub/big.bin").read_bytes() == b"sub" * 1000
    assert (tree / "data/train.csv").exists()
    assert "up to date" in Repo(tree / "sub").dvc("status")
    assert f"dir = {dvc_repo / 'sub/.dvc/cache'}" in (tree / "sub/.dvc/config.local").read_text()
    assert tree.git("status", "--porcelain") == ""


def test_objects_of_another_worktrees_own_cache(trained: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    trained.git("worktree", "add", "-q", str(other.path))
    other.write("only.bin", b"only here")
    other.dvc("add", "only.bin")
    commit = other.commit("only there")
    done = trained.xexp("worktree", "new", "a", "--at", commit, "--no-fetch").good()
    assert "4 outputs ready" in done.out
    assert (tree_of(trained) / "only.bin").read_bytes() == b"only here"
    assert "up to date" in tree_of(trained).dvc("status")


def test_from_a_hook_and_a_bare_repository(trained: Repo, tmp_path: Path) -> None:
    """A hook's environment names another repository's index; a bare one has no main worktree."""
    env = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_WORK_TREE": "."}
    trained.xexp_process("worktree", "new", "a", env=env).good()
    assert trained.git("status", "--porcelain") == ""
    assert tree_of(trained).git("status", "--porcelain") == ""
    bare = tmp_path / "bare.git"
    trained.git("clone", "-q", "--bare", ".", str(bare))
    Repo(bare).git("worktree", "add", "-q", str(tmp_path / "first"), "main")
    first = Repo(tmp_path / "first", trained.remote)
    first.dvc("pull")
    first.xexp("worktree", "new", "b", "--no-fetch", "--link", "hardlink").good()
    second = tree_of(first, "b")
    assert (second / "data/train.csv").samefile(cached(first, "data/train.csv"))
    assert "up to date" in second.dvc("status")
    first.git("config", "xexp.results.databases", DB)
    first.xexp("worktree", "remove", "b").good()
