"""The pool of worktrees: shared data, outputs of their own, as before after any run."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from gitxexp.repository.repository import Project
from gitxexp.workflows.sweeps import pool
from tests.helpers import Repo


def listing(top: Path) -> dict[str, bytes]:
    """Every file but git's and DVC's temporary ones, with its bytes."""
    return {
        p.relative_to(top).as_posix(): p.read_bytes()
        for p in sorted(top.rglob("*"))
        if p.is_file()
        and p.relative_to(top).parts[:2] != (".dvc", "tmp")
        and p.relative_to(top).parts[0] != ".git"
    }


def test_two_worktrees_are_what_the_commit_has_whatever_a_run_does_to_them(trained: Repo) -> None:
    project = Project.open(trained.path)
    before, user = trained.refs(), listing(trained.path)
    folder = project.state / "sweeps" / "x" / "trees"
    first, second = pool.make(project, folder, trained.head, 2)
    clean = listing(first.top)
    assert clean == listing(second.top)
    assert clean["data/train.csv"] == user["data/train.csv"]
    assert clean["models/production/model.bin"] == user["models/production/model.bin"]
    # data is there once, read-only, and whoever writes to it all the same reaches no cache
    data = [tree.top / "data/train.csv" for tree in (first, second)]
    assert data[0].samefile(data[1]) and not data[0].stat().st_mode & 0o222
    data[0].chmod(0o644)
    data[0].write_bytes(b"overwritten")
    assert second.differences().written == ("data/train.csv",)
    for tree in (first, second):
        tree.reset()
        assert listing(tree.top) == clean
    with closing(sqlite3.connect(first.top / "results/experiments.db")) as db:
        assert db.execute("SELECT count(*) FROM predictions").fetchone() == (0,)
        db.execute("INSERT INTO predictions (track_id, timestamp) VALUES ('me', 'now')")
        db.commit()
    # what is new, changed and gone is told, and taken back
    (first.top / "models/production/model.bin").write_bytes(b"new")
    (first.top / "train.py").unlink()
    (first.top / "deep/er").mkdir(parents=True)
    (first.top / "deep/er/log.txt").write_text("x")
    (first.top / "params.yaml").write_text("lr: 7\n")
    found = first.differences()
    assert set(found.written) == {
        "models/production/model.bin", "deep/er/log.txt", "params.yaml", "results/experiments.db"
    }  # fmt: skip
    assert found.removed == ("train.py",)
    first.reset()
    assert listing(first.top) == clean and not (first.top / "deep").exists()
    # another process finds it again
    again = pool.Tree.load(first.top)
    (first.top / "train.py").write_text("broken")
    again.reset()
    assert listing(first.top) == clean
    # commits, a branch, an index that is ahead
    git = Repo(second.top)
    git.write("train.py", "other")
    git.commit("mine")
    git.git("rm", "-q", "--cached", "params.yaml")
    second.reset()
    assert listing(second.top) == clean and git.head == trained.head
    assert git.git("status", "--porcelain", "--", "params.yaml", "train.py") == ""
    # gone altogether
    shutil.rmtree(second.top)
    second.reset()
    assert listing(second.top) == clean
    assert "data/train.csv" in clean and git.dvc("status", "data/train.csv.dvc").strip()
    pool.remove(project, folder)
    assert not folder.exists() and trained.refs() == before
    assert len(project.worktrees()) == 1
    assert listing(trained.path) == user


def test_submodules_are_as_the_commit_names_them(repo: Repo, tmp_path: Path) -> None:
    """Also a commit that no remote of the submodule has, and submodules of submodules."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    for folder in (inner, outer):
        folder.mkdir()
        Repo(folder).git("init", "-q", "-b", "main")
        Repo(folder).write("code.py", f"{folder.name}\n")
        if folder is outer:
            Repo(folder).git("submodule", "--quiet", "add", str(inner), "in")
        Repo(folder).commit(folder.name)
    repo.git("submodule", "--quiet", "add", str(outer), "lib/sub")
    repo.git("submodule", "--quiet", "update", "--init", "--recursive")
    local = Repo(repo / "lib/sub")
    local.write("code.py", "local\n")
    local.commit("local")
    repo.commit("with a submodule")
    local.write("code.py", "not committed\n")
    project = Project.open(repo.path)
    (tree,) = pool.make(project, project.state / "sweeps" / "x" / "trees", repo.head, 1)
    for _ in range(2):
        assert (tree.top / "lib/sub/code.py").read_text() == "local\n"
        assert (tree.top / "lib/sub/in/code.py").read_text() == "inner\n"
        assert Repo(tree.top).git("status", "--porcelain") == ""
        (tree.top / "lib/sub/code.py").write_text("a run wrote it\n")
        assert tree.differences().written == ("lib/sub/code.py",)
        tree.reset()
