"""``worktree remove``, ``prune`` and ``list``: what would be lost is said, and comes back."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers import Repo, run
from tests.workflows.worktrees.worktree_tools import cached, state, tree_of

DB = "results/experiments.db"
MODEL = "models/production/model.bin"


@pytest.fixture
def made(trained: Repo) -> Repo:
    """``trained`` with results configured and the worktree ``exp-a``."""
    trained.git("config", "xexp.results.databases", DB)
    trained.xexp("worktree", "new", "a").good()
    return trained


def add_rows(path: Path, count: int, run: str = "new") -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for number in range(count):
            db.execute(
                "INSERT INTO predictions (timestamp, track_id, f1) VALUES (?, ?, 0.5)",
                (f"2030-01-01 00:00:{number:02}", run),
            )


def contents(tree: Repo) -> dict[str, bytes]:
    """Every file of a worktree but DVC's temporary ones."""
    files = (p for p in tree.path.rglob("*") if p.is_file() and ".dvc/tmp" not in str(p))
    return {str(p.relative_to(tree.path)): p.read_bytes() for p in files}


def test_nothing_to_lose(made: Repo) -> None:
    tree = tree_of(made)
    tree.dvc("status")
    before = state(made), contents(tree)
    sites = list(Path(os.environ["DVC_SITE_CACHE_DIR"], "repo").iterdir())
    done = made.xexp("worktree", "remove", "a").good()
    assert done.out == (
        "ok  files     no uncommitted changes\n"
        "ok  data      every DVC output is as its pointer says\n"
        "ok  tag       no commits of its own to tag\n"
        "ok  commits   a tag or another branch holds every commit\n"
        "ok  artifacts every artifact is on the remote\n"
        "ok  results   the main worktree has every row\n"
        "removed ../exp-a; branch exp/a stays (git xexp undo restores it)\n"
    )
    assert not tree.path.exists() and not (made / ".git/worktrees").exists()
    left = list(Path(os.environ["DVC_SITE_CACHE_DIR"], "repo").iterdir())
    assert len(left) == len(sites) - 1
    made.xexp("undo").good()
    assert (state(made), contents(tree)) == before
    assert "up to date" in tree.dvc("status")


def test_every_red_line(made: Repo) -> None:
    """Work of each kind refuses, with the command that saves it, and nothing is touched."""
    tree = tree_of(made)
    tree.write("code.py", "print()\n")
    tree.commit("own work")
    (tree / MODEL).unlink()
    tree.write(MODEL, b"another model")
    tree.dvc("add", MODEL)
    tree.commit("new model")
    (tree / "data/train.csv").unlink()
    tree.write("data/train.csv", "modified")
    add_rows(tree / DB, 3)
    tree.write("draft.txt", "untracked")
    before = state(made), contents(tree)
    done = made.xexp("worktree", "remove", "a")
    assert done.code == 1
    assert done.out == (
        "NO  files     uncommitted changes: draft.txt\n"
        f"NO  data      DVC outputs not in the cache: data/train.csv (modified), {DB} (modified)\n"
        "NO  tag       its commits are not tagged as an experiment\n"
        "NO  commits   2 commits are on no other branch and no tag\n"
        f"NO  artifacts not on the remote: {MODEL}\n"
        "NO  results   3 rows are not in the main worktree's database\n"
    )
    assert done.err == (
        "error: a was not removed: something would be lost\n"
        f"hint: git -C {tree.path} add -A && git -C {tree.path} commit\n"
        f"hint: git -C {tree.path} xexp tag\n"
        "hint: git xexp worktree remove a --push\n"
        f"hint: git -C {made.path} xexp merge exp/a\n"
        "hint: or remove it anyway: git xexp worktree remove a --force\n"
    )
    assert (state(made), contents(tree)) == before
    made.xexp("worktree", "remove", "a", "--force").good()
    assert not tree.path.exists() and "exp/a" in made.git("branch")
    made.xexp("undo").good()
    assert (state(made), contents(tree)) == before
    assert tree.git("status", "--porcelain") == "?? draft.txt"


def test_staged_and_deleted_files_come_back(made: Repo) -> None:
    tree = tree_of(made)
    tree.write("staged.txt", "staged")
    tree.git("add", "staged.txt")
    tree.write("staged.txt", "and changed again")
    (tree / "README.md").unlink()
    before = tree.git("status", "--porcelain"), tree.git("diff", "--cached")
    made.xexp("worktree", "remove", "a", "--force").good()
    made.xexp("undo").good()
    assert (tree.git("status", "--porcelain"), tree.git("diff", "--cached")) == before


def test_a_tag_holds_the_commit(made: Repo) -> None:
    tree = tree_of(made)
    tree.write("code.py", "print()\n")
    commit = tree.commit("own work")
    made.git("tag", "-a", "-m", "an experiment", "e0.1.0", commit)
    done = made.xexp("worktree", "remove", "a").good()
    assert "ok  tag       tagged e0.1.0\n" in done.out
    assert "removed ../exp-a and branch exp/a (git" in done.out
    assert made.git("branch", "--list", "exp/*") == ""
    made.xexp("undo").good()
    assert tree.git("symbolic-ref", "HEAD") == "refs/heads/exp/a" and tree.head == commit


def test_push_fixes_what_it_can(made: Repo, tmp_path: Path) -> None:
    run("git", "init", "-q", "--bare", tmp_path / "origin.git", cwd=tmp_path).good()
    made.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    tree = tree_of(made)
    (tree / MODEL).unlink()
    tree.write(MODEL, b"another model")
    tree.dvc("add", MODEL)
    commit = tree.commit("new model")
    made.git("tag", "-a", "-m", "an experiment", "e0.1.0", commit)
    assert made.xexp("worktree", "remove", "a").code == 1
    done = made.xexp("worktree", "remove", "a", "--push").good()
    assert "NO" not in done.out
    assert made.remote and len(list(made.remote.rglob(cached(made, MODEL).name))) == 1
    refs = run("git", "for-each-ref", "--format=%(refname)", cwd=tmp_path / "origin.git").out
    assert refs == "refs/heads/exp/a\nrefs/tags/e0.1.0\n"


def test_artifacts_are_asked_for_by_full_listing(made: Repo) -> None:
    """DVC's own index says "in sync"; the listing sees that an object is gone."""
    assert made.remote
    next(made.remote.rglob(cached(made, MODEL).name)).unlink()
    done = made.xexp("worktree", "remove", "a")
    assert done.code == 1 and f"NO  artifacts not on the remote: {MODEL}\n" in done.out
    shutil.rmtree(made.remote)
    done = made.xexp("worktree", "remove", "a")
    assert done.code == 1 and "NO  artifacts " in done.out
    made.dvc("remote", "remove", "store")
    made.commit("no remote")
    made.xexp("worktree", "new", "b").good()
    done = made.xexp("worktree", "remove", "b").good()
    assert "ok  artifacts no DVC remote is set; the cache keeps them\n" in done.out


def test_what_exists_nowhere_is_not_lost_by_removing_a_worktree(made: Repo) -> None:
    assert made.remote
    next(made.remote.rglob(cached(made, MODEL).name)).unlink()
    cached(made, MODEL).unlink()
    refused = made.xexp("worktree", "remove", "a")  # it has the last copy
    assert refused.code == 1 and f"NO  artifacts not on the remote: {MODEL}\n" in refused.out
    (tree_of(made) / MODEL).unlink()
    done = made.xexp("worktree", "remove", "a").good()
    assert f"ok  artifacts nothing to lose here: no place has {MODEL}\n" in done.out


def test_the_last_copy_is_kept_where_no_remote_is_set(made: Repo) -> None:
    """The cache keeps them, was said of what the cache did not have."""
    made.dvc("remote", "remove", "store")
    made.commit("no remote")
    made.xexp("worktree", "new", "b").good()
    cached(made, MODEL).unlink()
    refused = made.xexp("worktree", "remove", "b")
    text = f"NO  artifacts no DVC remote is set, and only this worktree has: {MODEL}\n"
    assert refused.code == 1 and text in refused.out


def test_results_count_only_what_main_lacks(made: Repo) -> None:
    tree = tree_of(made)
    add_rows(tree / DB, 4)
    add_rows(made / DB, 3)
    done = made.xexp("worktree", "remove", "a")
    assert "NO  results   1 row is not in the main worktree's database\n" in done.out
    shutil.copy(tree / DB, made / DB)
    done = made.xexp("worktree", "remove", "a")
    assert "ok  results   the main worktree has every row\n" in done.out


def test_results_that_are_not_checked_out_in_main_are_its_pointers(made: Repo) -> None:
    tree = tree_of(made)
    (made / DB).unlink()
    done = made.xexp("worktree", "remove", "a", "--json").good()
    made.xexp("undo").good()
    add_rows(tree / DB, 1)
    done = made.xexp("worktree", "remove", "a")
    assert "not in the main worktree's database\n" in done.out


def test_others_worktrees_only_by_path(made: Repo, tmp_path: Path) -> None:
    other = tmp_path / "other"
    made.git("worktree", "add", "-q", str(other))
    for name in ("other", "main", "repo"):
        done = made.xexp("worktree", "remove", name)
        assert done.code == 128 and "was not made by git xexp worktree new" in done.err
    done = made.xexp("worktree", "remove", "nothing")
    assert done.err == "fatal: there is no worktree nothing\nhint: there are: a\n"
    done = made.xexp("worktree", "remove", made.path)
    assert "the main worktree cannot be removed" in done.err
    done = Repo(other).xexp("worktree", "remove", other)
    assert f"you are in {other}" in done.err
    made.git("worktree", "lock", "--reason", "usb stick", str(other))
    done = made.xexp("worktree", "remove", other)
    assert "NO  lock      the worktree is locked: usb stick\n" in done.out
    made.git("worktree", "unlock", str(other))
    made.xexp("worktree", "remove", "../other").good()
    assert not other.exists() and "other" in made.git("branch")


def test_copies_take_no_second_place(made: Repo) -> None:
    """What the cache has anyway is only linked while the folder is kept."""
    made.write("large.bin", os.urandom(300_000))
    made.dvc("add", "large.bin")
    made.dvc("push")
    made.commit("large")
    made.xexp("worktree", "new", "b", "--link", "copy").good()
    tree = tree_of(made, "b")
    assert (tree / "large.bin").stat().st_nlink == 1
    made.xexp("worktree", "remove", "b").good()
    (kept,) = (made / ".git/xexp/ops").glob("*/tree/large.bin")
    assert kept.samefile(cached(made, "large.bin"))
    made.xexp("undo").good()
    file = tree / "large.bin"
    assert file.stat().st_nlink == 1 and file.stat().st_mode & 0o200
    assert file.read_bytes() == (made / "large.bin").read_bytes()


def test_undo_when_the_place_is_taken(made: Repo) -> None:
    tree = tree_of(made)
    tree.write("draft.txt", "mine")
    made.xexp("worktree", "remove", "a", "--force").good()
    made.git("worktree", "add", "-q", str(tree.path), "exp/a")
    done = made.xexp("undo").good()
    back = Repo(tree.path.with_name("exp-a-undone"))
    assert f"the worktree is back as {back.path}" in done.err
    assert (back / "draft.txt").read_text() == "mine"
    assert back.head == made.head and back.git("status", "--porcelain") == "?? draft.txt"


def test_prune(made: Repo) -> None:
    made.xexp("worktree", "new", "b").good()
    made.git("worktree", "lock", str(tree_of(made, "b").path))
    for name in ("a", "b"):
        shutil.rmtree(tree_of(made, name).path)
    before = state(made)
    done = made.xexp("worktree", "new", "c", "--path", tree_of(made).path)
    assert "still registered" in done.err and "hint: git xexp worktree prune" in done.err
    done = made.xexp("worktree", "new", "a")
    assert "is checked out in" in done.err and "is gone: git xexp worktree prune" in done.err
    done = made.xexp("worktree", "prune").good()
    assert done.out == f"pruned a: {tree_of(made).path} is gone\n"
    assert "exp-b" in made.git("worktree", "list") and "exp-a" not in made.git("worktree", "list")
    made.xexp("undo").good()
    assert state(made) == before
    made.xexp("worktree", "remove", "a").good()
    assert made.xexp("worktree", "prune").good().out == ""


def test_list(made: Repo, tmp_path: Path) -> None:
    tree = tree_of(made)
    tree.write("draft.txt", "mine")
    add_rows(tree / DB, 2)
    (tree / MODEL).unlink()
    tree.write(MODEL, b"m" * 200_000)
    tree.dvc("add", "--no-relink", MODEL)
    commit = tree.commit("model", MODEL + ".dvc")
    made.git("tag", "-a", "-m", "an experiment", "e0.1.0", commit)
    made.git("worktree", "add", "-q", "--detach", str(tmp_path / "other"))
    rows = made.xexp("worktree", "list", "--json").good().json()
    assert [row["name"] for row in rows] == ["repo", "a", "other"]
    assert [row["kind"] for row in rows] == ["main", "worktree", "other"]
    mine = rows[1]
    assert 200_000 < mine.pop("disk") < 500_000
    assert mine == {
        "name": "a", "kind": "worktree", "path": str(tree.path), "branch": "exp/a",
        "commit": commit, "experiment": "e0.1.0", "changed": 2, "unpushed": 1, "unmerged": 2,
        "gone": False, "locked": False,
    }  # fmt: skip
    text = made.xexp("worktree", "list").good().out
    assert "a\texp/a\t" in text and "\te0.1.0\t2 changed\t1\t2\t" in text
    porcelain = made.xexp("worktree", "list", "--porcelain").good().out.split("\n\n")
    assert "name other\nkind other\n" in porcelain[2] and "\nbranch -\n" in porcelain[2]


def test_list_survives_a_broken_worktree(made: Repo) -> None:
    tree = tree_of(made)
    tree.write(DB, b"no database at all, but some text")
    tree.write("data/train.csv.dvc", "<<<<<<< ours\n")
    done = made.xexp("worktree", "list", "--json").good()
    mine = done.json()[1]
    assert mine["changed"] is None and mine["unmerged"] is None and "note: a: " in done.err
    assert made.xexp("worktree", "remove", "a").code == 1
