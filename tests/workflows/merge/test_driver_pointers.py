"""The merge driver on DVC pointers: ``git merge`` of a ``.dvc`` file merges the database behind it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo, run, sql

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

DB = "results/experiments.db"
POINTER = f"{DB}.dvc"
OLD = ["run-lr-0.01", "run-lr-0.1", "run-lr-1.0"]


def runs(repo: Repo) -> list[str]:
    with closing(sqlite3.connect(repo / DB)) as db:
        return [r[0] for r in db.execute("SELECT DISTINCT track_id FROM predictions ORDER BY 1")]


def add(repo: Repo, run_id: str, f1: float = 0.5) -> None:
    """One more run: into the database, ``dvc add``, commit."""
    sql(repo / DB, "INSERT INTO predictions (track_id, timestamp, f1)"
                   f" VALUES ('{run_id}', '2030', {f1})")  # fmt: skip
    repo.dvc_add(DB)
    repo.commit(run_id)


def clean(repo: Repo) -> bool:
    return repo.dvc("status").strip() == "Data and pipelines are up to date."


@pytest.fixture(scope="session")
def fork_template(trained_template: Path, sealed: Path) -> Path:
    """``main`` with run ``ours``, ``other`` with run ``theirs``, the driver installed by init."""
    Clock().tick(180)
    folder = sealed / "pointer-template"
    made = copy_template(trained_template, folder)
    made.xexp("init").good()
    made.commit("set up")
    made.git("switch", "-q", "-c", "other")
    add(made, "theirs")
    made.git("switch", "-q", "main")
    made.dvc_checkout()
    add(made, "ours")
    shutil.rmtree(made / ".git/xexp")
    return folder


@pytest.fixture
def fork(fork_template: Path, tmp_path: Path) -> Repo:
    return copy_template(fork_template, tmp_path)


BOTH = ["ours", *OLD, "theirs"]


def test_git_merge_just_works(fork: Repo) -> None:
    fork.git("merge", "-q", "--no-edit", "other")
    assert runs(fork) == BOTH
    assert fork.git("status", "--porcelain") == ""
    assert clean(fork)
    assert (fork / DB).stat().st_nlink == 1
    shutil.rmtree(fork / "results")
    fork.git("checkout", "-q", "--", "results")
    fork.dvc_checkout()
    assert runs(fork) == BOTH


def test_rebase_cherry_pick_and_revert(fork: Repo) -> None:
    fork.git("switch", "-q", "-c", "pick")
    fork.git("cherry-pick", "other")
    assert runs(fork) == BOTH and clean(fork)
    fork.git("switch", "-q", "main")
    fork.dvc_checkout()
    fork.git("rebase", "-q", "other")
    assert runs(fork) == BOTH and clean(fork)
    add(fork, "later")
    fork.git("revert", "--no-edit", "HEAD~1")
    assert runs(fork) == ["later", *OLD, "theirs"] and clean(fork)


def test_in_a_linked_worktree(fork: Repo, tmp_path: Path) -> None:
    """Its own cache is empty: the objects come from the main worktree's."""
    fork.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), "main")
    side = Repo(tmp_path / "side")
    done = run("git", "merge", "--no-edit", "other", cwd=side.path).good()
    assert f"dvc checkout {POINTER}" in done.err
    side.dvc_checkout(POINTER)
    assert runs(side) == BOTH


def test_pull_fetches_what_the_cache_lacks(fork: Repo, tmp_path: Path) -> None:
    for branch in ("other", "main"):
        fork.git("switch", "-q", branch)
        fork.dvc("push", "-q", POINTER)
    run("git", "clone", "-q", fork.path, tmp_path / "mate", cwd=tmp_path).good()
    mate = Repo(tmp_path / "mate")
    mate.xexp("init").good()
    done = run("git", "pull", "--no-rebase", "--no-edit", "origin", "other", cwd=mate.path).good()
    assert f"dvc checkout {POINTER}" in done.err
    mate.dvc_checkout(POINTER)
    assert runs(mate) == BOTH


def test_data_that_nobody_has_leaves_markers(fork: Repo, tmp_path: Path) -> None:
    oid = fork.git("show", f"other:{POINTER}").partition("md5: ")[2].split()[0]
    object_file = fork / f".dvc/cache/files/md5/{oid[:2]}/{oid[2:]}"
    kept = object_file.read_bytes()
    object_file.chmod(0o644)
    object_file.unlink()
    done = run("git", "merge", "other", cwd=fork.path)
    assert done.code == 1 and f"no cache and no remote has {DB}" in done.err
    text = (fork / POINTER).read_text()
    assert "<<<<<<< ours" in text and ">>>>>>> theirs" in text
    assert fork.xexp("conflicts", "resolve").code == 128
    object_file.write_bytes(kept)
    done = fork.xexp("conflicts", "resolve").good()
    assert runs(fork) == BOTH and "git merge --continue" in done.err
    fork.git("commit", "-q", "--no-edit")
    assert clean(fork)


@pytest.fixture
def clash(fork: Repo) -> Repo:
    """``fork``, run ``run-lr-0.1`` with two values of f1."""
    fork.git("switch", "-q", "other")
    fork.dvc_checkout()
    sql(fork / DB, "UPDATE predictions SET f1 = 0.99 WHERE track_id = 'run-lr-0.1' AND f1 > 0")
    fork.dvc_add(DB)
    fork.commit("better")
    fork.git("switch", "-q", "main")
    fork.dvc_checkout()
    sql(fork / DB, "UPDATE predictions SET f1 = 0.11 WHERE track_id = 'run-lr-0.1' AND f1 > 0")
    fork.dvc_add(DB)
    fork.commit("worse")
    return fork


def test_rows_in_conflict(clash: Repo) -> None:
    before = (clash / DB).read_bytes()
    done = run("git", "merge", "other", cwd=clash.path)
    assert done.code == 1 and "1 conflict between rows" in done.err
    assert "<<<<<<< ours" in (clash / POINTER).read_text()
    assert (clash / DB).read_bytes() == before
    listed = clash.xexp("conflicts").out
    assert "base    0.9\n     ours    0.11\n     theirs  0.99" in listed
    clash.xexp("conflicts", "resolve", "--row", "1=theirs").good()
    with closing(sqlite3.connect(clash / DB)) as db:
        found = db.execute(
            "SELECT max(f1) FROM predictions WHERE track_id = 'run-lr-0.1'"
        ).fetchone()
    assert found == (0.99,) and runs(clash) == BOTH
    clash.git("commit", "-q", "--no-edit")
    assert clash.git("status", "--porcelain") == "" and clean(clash)


def test_rows_that_nobody_added_stay(fork: Repo) -> None:
    """The work tree's file has a row that is in no cache: it is not replaced."""
    sql(fork / DB, "INSERT INTO predictions (track_id, timestamp) VALUES ('live', 'now')")
    done = run("git", "merge", "--no-edit", "other", cwd=fork.path).good()
    assert runs(fork) == ["live", "ours", *OLD] and "git xexp merge HEAD" in done.err
    fork.xexp("merge", "HEAD").good()
    assert runs(fork) == ["live", *BOTH] and clean(fork)


def test_without_the_driver_git_leaves_its_own_conflict(fork: Repo) -> None:
    fork.xexp("drivers", "uninstall").good()
    fork.git("checkout", "-q", "--", ".gitattributes")
    done = run("git", "merge", "other", cwd=fork.path)
    assert done.code == 1 and "<<<<<<< HEAD" in (fork / POINTER).read_text()


def test_a_pointer_to_no_database_leaves_markers(fork: Repo) -> None:
    fork.write(".gitattributes", "*.dvc merge=xexp\n")
    fork.commit("all pointers")
    fork.git("switch", "-q", "-c", "one")
    fork.write("data/train.csv", "x\n1\n")
    fork.dvc_add("data/train.csv")
    fork.commit("one")
    fork.git("switch", "-q", "main")
    fork.write("data/train.csv", "x\n2\n")
    fork.dvc_add("data/train.csv")
    fork.commit("two")
    done = run("git", "merge", "one", cwd=fork.path)
    assert done.code == 1 and "has no rows that could be merged" in done.err
    assert "<<<<<<< ours" in (fork / "data/train.csv.dvc").read_text()


def test_the_registry_merges(fork: Repo) -> None:
    """A version tagged on each of two branches: the merged registry has both."""
    fork.xexp("tag", "e1.0.0", "--run", "ours", "-m", "mine").good()
    fork.git("switch", "-q", "other")
    fork.dvc_checkout()
    fork.xexp("tag", "e2.0.0", "--run", "theirs", "-m", "theirs").good()
    fork.git("switch", "-q", "main")
    fork.dvc_checkout()
    fork.git("merge", "-q", "--no-edit", "other")
    with closing(sqlite3.connect(fork / ".xexp/registry.db")) as db:
        assert db.execute("SELECT version FROM experiments ORDER BY 1").fetchall() == [
            ("e1.0.0",), ("e2.0.0",),
        ]  # fmt: skip
    assert clean(fork)


def test_git_diff_shows_rows_through_pointers(fork: Repo) -> None:
    shown = fork.git("diff", "main", "other", "--", POINTER)
    assert '+  row track_id="theirs"' in shown.replace(' timestamp="2030"', "")
    assert '-  row track_id="ours"' in shown.replace(' timestamp="2030"', "")
    assert "md5:" in shown


def test_check_finds_a_merge_that_dropped_rows(fork: Repo) -> None:
    start = fork.head
    fork.xexp("drivers", "uninstall").good()
    fork.git("checkout", "-q", "--", ".gitattributes")
    run("git", "merge", "other", cwd=fork.path)
    fork.git("checkout", "-q", "--ours", "--", POINTER)
    fork.git("add", POINTER)
    fork.git("commit", "-q", "--no-edit")
    done = fork.xexp("check", "--merge", start)
    assert done.code == 1 and f"dropped 1 row of predictions in {DB}" in done.out
    assert 'track_id="theirs"' in done.out and "git xexp merge" in done.err
    fork.xexp("merge", f"{fork.head[:10]}^2", "--commit").good()
    assert runs(fork) == BOTH
    fork.git("reset", "-q", "--hard", start)
    fork.dvc_checkout()
    fork.xexp("drivers", "install").good()
    fork.git("merge", "-q", "--no-edit", "other")
    assert "1 merge since" in fork.xexp("check", "--merge", start).good().out
