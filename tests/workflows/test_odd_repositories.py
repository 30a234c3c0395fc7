"""Repositories as people have them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitxexp.common.errors import GitError
from gitxexp.storage.git import Git
from tests.conftest import copy_template
from tests.helpers import Repo, run
from tests.workflows.experiments.test_tag import message


def test_an_import_that_was_not_downloaded(
    tagged: Repo, dvc_template: Path, tmp_path: Path
) -> None:
    source = copy_template(dvc_template, tmp_path / "source")
    tagged.dvc(
        "import", "-q", "--no-download", str(source.path), "params.yaml", "-o", "theirs.yaml"
    )
    tagged.commit("import")
    done = tagged.xexp("worktree", "new", "w").good()
    assert "note: imported without a download: theirs.yaml; to get it: dvc pull" in done.err


def test_a_project_without_its_gitignore(tagged: Repo) -> None:
    """DVC makes it anew in each worktree, where it is no work that would be lost."""
    tagged.xexp("push").good()
    tagged.git("rm", "-q", ".dvc/.gitignore")
    tagged.git("commit", "-q", "-m", "without")
    tagged.xexp("worktree", "new", "w").good()
    listed = tagged.xexp("worktree", "list", "--json").good().json()
    assert listed[1]["changed"] == 0
    tagged.xexp("worktree", "remove", "w").good()


def test_a_remote_with_a_work_tree(tagged: Repo, tmp_path: Path) -> None:
    run("git", "clone", "-q", tagged.path, tmp_path / "other", cwd=tmp_path).good()
    tagged.git("remote", "add", "origin", str(tmp_path / "other"))
    tagged.write("more.txt", "more\n")
    tagged.commit("more")
    done = tagged.xexp("push", "--all")
    assert done.code == 128 and "'origin' has a work tree: push to a bare repository" in done.err


def test_a_split_index(tagged: Repo) -> None:
    """git's own part works; DVC cannot read such an index, and says so in no words of use."""
    tagged.git("update-index", "--split-index")
    tagged.write("train.py", "print()\n")
    tagged.xexp("tag", "-a").good()
    assert tagged.git("status", "--porcelain") == ""
    tagged.write("data/train.csv", "x,y\n1,1\n")
    head = tagged.head
    done = tagged.xexp("tag")
    assert done.code == 128 and "git update-index --no-split-index" in done.err
    assert tagged.head == head and tagged.git("status", "--porcelain") == ""
    tagged.git("update-index", "--no-split-index")
    tagged.xexp("tag").good()


def test_a_sparse_checkout_records_what_the_commit_has(tagged: Repo) -> None:
    """What is left out of the work tree is in the next commit, so it is on record and no change."""
    before = message(tagged, "e0.1.0").artifacts
    assert "data/train.csv" in before
    tagged.git("sparse-checkout", "set", "--no-cone", "/*", "!/data")
    shutil.rmtree(tagged / "data")  # git keeps the data, which it ignores
    tagged.write("train.py", "print()\n")
    tagged.xexp("tag", "-a", "--minor").good()
    said = message(tagged, "e0.2.0")
    assert said.artifacts == before and "pull" not in said.reason
    assert tagged.git("ls-tree", "--name-only", "HEAD", "data/").split() == [
        "data/.gitignore", "data/train.csv.dvc"
    ]  # fmt: skip
    tagged.xexp("run", "--dirty", "--", "true").good()
    tagged.git("sparse-checkout", "set", "--no-cone", "/*", "!/data", "!/params.yaml")
    planned = tagged.xexp("tag", "--dry-run").good()
    assert "left out of this sparse checkout, so not on record: params.yaml" in planned.err


def test_a_bare_repository_reads_what_commits_have(tagged: Repo, tmp_path: Path) -> None:
    """From git and from the remote that HEAD names; what is only in a work tree is refused."""
    config = tagged / ".dvc/config"
    config.write_text(config.read_text().replace("../../remote", str(tagged.remote)))
    tagged.dvc("push", "-q")
    tagged.commit("the remote's address")
    tagged.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repo(tmp_path / "bare.git")
    got = bare.xexp("get", "e0.1.0", "data/train.csv", "train.py", "-o", tmp_path / "got").good()
    assert "from remote" in got.out and "from git" in got.out
    assert (tmp_path / "got/train.csv").read_bytes() == (tagged / "data/train.csv").read_bytes()
    assert (
        bare.xexp("get", "e0.1.0", "train.py", "-o", "-").good().out
        == (tagged / "train.py").read_text()
    )
    count = bare.xexp("sql", "--csv", 'SELECT count(*) AS n FROM "predictions@e0.1.0"').good()
    here = tagged.xexp("sql", "--csv", "SELECT count(*) AS n FROM predictions").good()
    assert count.out == here.out
    assert bare.xexp("report", "--md").good().out.startswith("## bare: experiments")
    assert "<title>bare: experiments" in bare.xexp("report", "-o", "-").good().out
    assert bare.xexp("diff", "e0.1.0", "main").good().out == ""
    assert "a bare repository has none" in bare.xexp("explore", "verify").out
    assert bare.xexp("diff", "e0.1.0").code == 128


def test_a_partial_clone_without_its_remote(tagged: Repo, tmp_path: Path) -> None:
    """A file that was not fetched is not one that the commit lacks."""
    tagged.git("config", "uploadpack.allowFilter", "true")
    run("git", "clone", "-q", "--filter=blob:none", f"file://{tagged.path}", tmp_path / "partial",
        cwd=tmp_path).good()  # fmt: skip
    tagged.write("params.yaml", "lr: 3\n")
    tagged.write("model.py", "WIDTH = 3\n")
    tagged.commit("newer")
    tagged.git("tag", "-a", "-m", "by hand", "e0.2.0")
    partial = Repo(tmp_path / "partial")
    partial.git("fetch", "-q")
    shutil.move(tagged.path, tmp_path / "gone")
    with pytest.raises(GitError) as failed:
        Git(partial.path).blob("origin/main", "params.yaml")
    assert failed.value.hint is not None and failed.value.hint.startswith("this clone is partial")
    assert Git(partial.path).blob("origin/main", "nothing.yaml") is None
    run("git", "init", "-q", "unfetched", cwd=tmp_path).good()  # only commits, trees and tags
    bare = Repo(tmp_path / "unfetched")
    (tmp_path / "gone").rename(tagged.path)
    bare.git("remote", "add", "origin", f"file://{tagged.path}")
    bare.git("fetch", "-q", "--filter=blob:none", "origin", "--tags")
    shutil.move(tagged.path, tmp_path / "gone")
    shown = bare.xexp("explore", "show", "e0.1.0").good()
    assert "the artifacts are those of the tag alone" in shown.err
    assert "data/train.csv" in shown.out
    compared = bare.xexp("explore", "diff", "e0.1.0", "e0.2.0").good()
    assert "  model.py  not fetched\n" in compared.out


def test_promote_in_a_partial_clone_without_its_remote(tagged: Repo, tmp_path: Path) -> None:
    """A model whose pointer was not fetched is not one that the tag lacks."""
    tagged.git("config", "uploadpack.allowFilter", "true")
    tagged.write("models/production/model.bin", b"newer")
    tagged.dvc("add", "models/production/model.bin")
    tagged.commit("newer")
    run("git", "clone", "-q", "--filter=blob:none", f"file://{tagged.path}", tmp_path / "partial",
        cwd=tmp_path).good()  # fmt: skip
    shutil.move(tagged.path, tmp_path / "gone")
    partial = Repo(tmp_path / "partial")
    for words in (["e0.1.0"], ["--run", "run-lr-1.0"]):
        unread = partial.xexp("promote", *words, "-n")
        assert unread.code == 128 and "hint: this clone is partial" in unread.err
    unread = partial.xexp("promote", "-n")
    assert "could not fetch" in unread.err


def test_init_sets_up_a_clone_whose_results_are_pointers(set_up: Repo) -> None:
    """GIT_LFS_SKIP_SMUDGE=1, or no git-lfs."""
    set_up.write(".xexp/config.toml", '[results]\ndatabases = ["results/experiments.db"]\n')
    (set_up / "results/experiments.db").write_text("version https://git-lfs.github.com/spec/v1\n")
    set_up.git("config", "--remove-section", "merge.xexp")
    done = set_up.xexp("init").good()
    assert "created merge and diff drivers" in done.out
    assert "note: not a SQLite or DuckDB database: " in done.err and "git lfs pull" in done.err
    done = set_up.xexp("sql", "SELECT * FROM predictions")
    assert "note: not a database: results/experiments.db; if it is a pointer: " in done.err
    assert "there is no table 'predictions'" in done.err


def test_a_worktree_of_a_sparse_checkout_without_dvc(tagged: Repo) -> None:
    """It failed, because .dvc was not there to write in."""
    tagged.git("sparse-checkout", "set", "--no-cone", "/*", "!/.dvc")
    done = tagged.xexp("worktree", "new", "apart").good()
    tree = tagged.path.parent / f"{tagged.path.name}-apart"
    assert not list(tree.glob(".dvc")) or not (tree / ".dvc/config").exists()
    add = "git sparse-checkout add .dvc && dvc checkout"
    assert f"DVC is left out of this sparse checkout, with its outputs: {add}" in done.err


def test_a_model_outside_of_a_sparse_checkout_is_tagged(tagged: Repo) -> None:
    """Training writes it where git left out its pointer; undo leaves it out again."""
    tagged.git("sparse-checkout", "set", "--no-cone", "/*", "!/models")
    left_out = [line for line in tagged.git("ls-files", "-t").splitlines() if line[0] == "S"]
    assert left_out
    tagged.write("models/production/model.bin", b"another")
    tagged.xexp("tag").good()
    assert "models/production/model.bin.dvc" in tagged.git("show", "--name-only", "--format=")
    tagged.xexp("undo").good()
    assert tagged.git("status", "--porcelain") == ""
    after = tagged.git("ls-files", "-t").splitlines()
    assert [line for line in after if line[0] == "S"] == left_out


def test_undo_in_a_bare_repository_of_what_a_worktree_did(tagged: Repo, tmp_path: Path) -> None:
    tagged.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    bare, tree = Repo(tmp_path / "bare.git"), Repo(tmp_path / "tree")
    bare.git("worktree", "add", "-q", str(tree.path), "main")
    tree.dvc("pull", "-q", "data/train.csv")
    before = tree.head
    tree.write("data/train.csv", "x,y\n1,1\n")
    tree.xexp("tag").good()
    assert "undone: tag e" in bare.xexp("undo").good().out
    assert tree.head == before and tree.git("status", "--porcelain") == ""
    bare.xexp("redo").good()
    assert tree.head != before and tree.git("status", "--porcelain") == ""
    assert "no main worktree to compare with" in bare.xexp("worktree", "remove", tree.path).out
