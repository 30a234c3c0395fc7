"""``explore checkout``, ``worktrees`` and ``cleanup``: disposable, and never a guess from a name."""

from __future__ import annotations

import shutil

from tests.helpers import Repo
from tests.workflows.worktrees.worktree_tools import state

DB = "results/experiments.db"


def tagged(repo: Repo) -> Repo:
    """The repository with its first commit (only data) tagged e0.1.0, its second e0.2.0."""
    repo.git("tag", "-a", "-m", "first", "e0.1.0", "HEAD~1")
    repo.git("tag", "-a", "-m", "second", "e0.2.0")
    return repo


def test_checkout_is_detached_and_has_its_data(trained: Repo) -> None:
    repo = tagged(trained)
    before = state(repo)
    done = repo.xexp("explore", "checkout", "e0.2.0").good()
    tree = Repo(repo.path.parent / "explore-e0.2.0")
    assert done.out == (
        f"explore-e0.2.0 detached, from e0.2.0 ({repo.head[:7]})\n"
        "3 outputs ready: 3 copied\n"
        "cd ../explore-e0.2.0\n"
    )
    assert tree.git("status", "--porcelain", "--branch") == "## HEAD (no branch)"
    assert (tree / "data/train.csv").read_bytes() == (repo / "data/train.csv").read_bytes()
    assert "up to date" in tree.dvc("status")
    again = repo.xexp("explore", "checkout", "e0.2.0").good()
    assert again.out == "explore-e0.2.0 already exists\ncd ../explore-e0.2.0\n"
    path = repo.xexp("explore", "checkout", "e0.2.0", "--print-path").good()
    assert path.out == f"{tree.path}\n"
    assert repo.xexp("explore", "cleanup").good().out == "removed ../explore-e0.2.0\n"
    assert state(repo) == before
    repo.xexp("undo").good()
    assert "up to date" in tree.dvc("status")


def test_named_by_what_it_found(trained: Repo) -> None:
    repo = tagged(trained)
    repo.git("branch", "feature/x", "HEAD~1")
    repo.xexp("explore", "checkout", "tags/e0.1.0").good()
    repo.xexp("explore", "checkout", "HEAD").good()
    repo.git("tag", "-d", "e0.1.0")
    repo.xexp("explore", "checkout", "feature/x").good()
    rows = repo.xexp("explore", "worktrees", "--json").good().json()
    assert [row["path"].rpartition("/")[2] for row in rows] == [
        "explore-e0.1.0",
        "explore-e0.2.0",
        "explore-feature-x",
    ]
    assert {row["kind"] for row in rows} == {"explore"}


def test_cleanup_removes_only_what_checkout_made(trained: Repo) -> None:
    """CreatedWorktree by us, and recorded: a folder of that name by somebody else is not ours."""
    repo = tagged(trained)
    repo.git("worktree", "add", "-q", "--detach", "../explore-e0.1.0", "e0.1.0")
    repo.xexp("worktree", "new", "explore-me").good()
    repo.xexp("explore", "checkout", "e0.2.0").good()
    theirs = repo.path.parent / "explore-e0.1.0"
    done = repo.xexp("explore", "cleanup", "e0.1.0")
    assert done.code == 128 and "there is no worktree e0.1.0" in done.err
    done = repo.xexp("explore", "cleanup", theirs)
    assert done.code == 128 and "was not made by git xexp explore checkout" in done.err
    repo.xexp("explore", "cleanup").good()
    names = {path.name for path in repo.path.parent.iterdir()}
    assert names == {"repo", "remote", "explore-e0.1.0", "exp-explore-me"}
    assert repo.xexp("explore", "cleanup").good().out == ""


def test_cleanup_refuses_when_files_were_added_or_changed(trained: Repo) -> None:
    repo = tagged(trained)
    for version in ("e0.1.0", "e0.2.0"):
        repo.xexp("explore", "checkout", version).good()
    first, second = (repo.path.parent / f"explore-{v}" for v in ("e0.1.0", "e0.2.0"))
    before = state(repo)
    for path, content in (
        (second / "notes.txt", "mine"),
        (second / "README.md", "changed"),
        (second / DB, "changed"),
    ):
        kept = path.read_bytes() if path.exists() else None
        path.write_text(content)
        done = repo.xexp("explore", "cleanup")
        assert done.code == 1 and str(path.relative_to(second)) in done.err
        assert "hint: copy out what you need, then: git xexp explore cleanup e0.2.0 --f" in done.err
        assert state(repo) == before and path.read_text() == content
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    (second / "notes.txt").write_text("mine")
    repo.xexp("explore", "cleanup", "e0.1.0").good()
    repo.xexp("explore", "cleanup", "--force").good()
    assert not first.exists() and not second.exists()
    repo.xexp("undo").good()
    assert (second / "notes.txt").read_text() == "mine"


def test_moved_on_and_gone(trained: Repo) -> None:
    repo = tagged(trained)
    repo.xexp("explore", "checkout", "e0.2.0").good()
    tree = Repo(repo.path.parent / "explore-e0.2.0")
    tree.git("checkout", "-q", "--detach", "HEAD~1")
    done = repo.xexp("explore", "checkout", "e0.2.0")
    assert done.code == 128 and "is there, at another commit" in done.err
    shutil.rmtree(tree.path)
    repo.xexp("explore", "cleanup").good()
    repo.xexp("explore", "checkout", "e0.2.0").good()
    done = repo.xexp("explore", "checkout", "e9.9.9")
    assert done.code == 128 and "e9.9.9" in done.err
