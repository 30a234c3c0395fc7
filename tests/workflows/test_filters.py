"""What git keeps through a filter: Git LFS itself, and a filter of the user's own."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import copy_repo
from tests.helpers import Clock, Repo, copy_tree, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

DB = "runs.db"


def log(repo: Repo, run_id: str, f1: float) -> None:
    with closing(sqlite3.connect(repo / DB)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS events"
            " (track_id TEXT, timestamp TEXT, lr REAL, f1 REAL, PRIMARY KEY (track_id, timestamp))"
        )
        row = (run_id, f"2031-01-01T00:00:{int(f1 * 100):02}", 0.1, f1)
        db.execute("INSERT INTO events (track_id, timestamp, lr, f1) VALUES (?, ?, ?, ?)", row)


def runs(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {run for (run,) in db.execute("SELECT track_id FROM events")}


@pytest.fixture(scope="session")
def lfs_template(repo_template: Path, sealed: Path) -> Path:
    """A results database and a model in Git LFS, one run tagged e0.1.0."""
    if shutil.which("git-lfs") is None:
        pytest.skip("git-lfs is not installed")
    Clock()
    repo = Repo(sealed / "lfs-template")
    copy_tree(repo_template, repo.path)
    repo.git("lfs", "install", "--local")
    repo.write(
        ".gitattributes", "*.db filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs -text\n"
    )
    repo.write("params.yaml", "lr: 0.1\n")
    repo.write("net.bin", b"weights")
    log(repo, "one", 0.8)
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    repo.xexp("tag").good()
    assert repo.git("show", f"HEAD:{DB}").startswith("version https://git-lfs")
    return repo.path


@pytest.fixture
def lfs(lfs_template: Path, tmp_path: Path) -> Repo:
    """A private copy of it."""
    return copy_repo(lfs_template, tmp_path)


def branches(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "side")
    log(repo, "two", 0.9)
    repo.commit("theirs")
    repo.git("checkout", "-q", "main")
    log(repo, "three", 0.7)
    repo.commit("ours")


def test_git_merges_the_rows_of_a_database_in_lfs(lfs: Repo) -> None:
    branches(lfs)
    lfs.git("merge", "-q", "--no-edit", "side")
    assert runs(lfs / DB) == {"one", "two", "three"}
    assert lfs.git("show", f"HEAD:{DB}").startswith("version https://git-lfs")
    assert lfs.git("status", "--porcelain") == ""
    assert lfs.git("lfs", "fsck", "--pointers") == "Git LFS fsck OK"
    lfs.xexp("registry", "rebuild").good()  # the registry itself is never filtered
    assert (lfs / ".xexp/registry.db").read_bytes().startswith(b"SQLite format 3")
    assert lfs.git("check-attr", "filter", ".xexp/registry.db").endswith(": unset")


def test_our_own_merge_and_conflicts_see_the_rows(lfs: Repo) -> None:
    branches(lfs)
    lfs.xexp("merge", "side").good()
    assert runs(lfs / DB) == {"one", "two", "three"}
    lfs.git("checkout", "-q", DB)
    for branch, f1 in (("side", 0.5), ("main", 0.6)):
        lfs.git("checkout", "-q", branch)
        with closing(sqlite3.connect(lfs / DB)) as db, db:
            db.execute("UPDATE events SET f1 = ? WHERE track_id = 'one'", (f1,))
        lfs.commit("another number")
    done = run("git", "merge", "-q", "--no-edit", "side", cwd=lfs.path)
    assert done.code == 1
    assert "1 conflict between rows" in done.err
    lfs.xexp("conflicts", "resolve", "--theirs").good()
    assert lfs.git("show", f":{DB}").startswith("version https://git-lfs")
    with closing(sqlite3.connect(lfs / DB)) as db:
        assert db.execute("SELECT f1 FROM events WHERE track_id = 'one'").fetchone() == (0.5,)


@pytest.mark.parametrize("strategy", ["auto", "worktree"])
def test_get_gives_the_file(lfs: Repo, strategy: str) -> None:
    lfs.write("net.bin", b"other weights")
    lfs.commit("another")
    lfs.xexp("get", "e0.1.0", "net.bin", "-o", "old.bin", "--strategy", strategy).good()
    assert (lfs / "old.bin").read_bytes() == b"weights"
    again = lfs.xexp("get", "e0.1.0", "net.bin", "-o", "old.bin", "--json").good().json()
    assert again["files"][0]["source"] == "there"
    assert lfs.xexp("get", "e0.1.0", "net.bin", "-o", "-").good().out == "weights"
    shown = lfs.git("-c", "diff.xexp.textconv=git-xexp textconv", "log", "-p", "--", DB)
    assert "one" in shown and "git-lfs" not in shown


def test_get_refuses_where_the_content_is_nowhere(lfs: Repo) -> None:
    """Also where today's attributes say nothing of LFS; the pointer's text is never the answer."""
    lfs.write(".gitattributes", "*.db filter=lfs -text\n")
    lfs.commit("models are in git from now on")
    lfs.xexp("get", "e0.1.0", "net.bin", "-o", "old.bin").good()
    assert (lfs / "old.bin").read_bytes() == b"weights"
    shutil.rmtree(lfs / ".git/lfs/objects")
    (lfs / "old.bin").unlink()
    done = lfs.xexp("get", "e0.1.0", "net.bin", "-o", "old.bin")
    assert done.code == 128
    assert "git keeps net.bin with a filter whose content is not available here" in done.err
    assert "git lfs fetch --all" in done.err and "\\n" not in done.err
    pointer = lfs.git("show", f"e0.1.0:{DB}")
    (lfs / DB).write_text(pointer)
    assert lfs.xexp("textconv", DB).good().out == pointer
    assert not (lfs / "old.bin").exists()


def test_a_filter_of_the_users_own(repo: Repo) -> None:
    repo.git("config", "filter.rot.clean", "tr a-z n-za-m")
    repo.git("config", "filter.rot.smudge", "tr a-z n-za-m")
    repo.write(".gitattributes", "*.txt filter=rot\n")
    repo.write("notes.txt", "hello\n")
    repo.commit("secret")
    assert repo.git("show", "HEAD:notes.txt") == "uryyb"
    assert repo.xexp("get", "HEAD", "notes.txt", "-o", "-").good().out == "hello\n"
