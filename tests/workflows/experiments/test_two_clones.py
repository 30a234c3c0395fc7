"""A team of two: one number taken twice, merges that git refuses, databases that git itself holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers import Repo, run
from tests.workflows.merge.test_driver_pointers import (
    BOTH,
    DB,
    POINTER,
    add,
    clean,
    runs,
    sql,
)

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

NEW = "INSERT INTO predictions (track_id, timestamp, model, lr, f1)"


def log(repo: Repo, run_id: str, lr: float) -> None:
    sql(repo / DB, f"{NEW} VALUES ('{run_id}', '2031-01-01', 'softmax', {lr}, 0.5)")


def versions(repo: Repo) -> dict[str, str | None]:
    with closing(sqlite3.connect(repo / DB)) as db:
        query = "SELECT track_id, max(version) FROM predictions GROUP BY 1"
        return {run_id: version for run_id, version in db.execute(query) if "-lr-" not in run_id}


def test_what_a_new_clone_is_told(pair: tuple[Repo, Repo]) -> None:
    _, bob = pair
    assert bob.xexp("--json").good().json()["next"] == "git xexp init"
    assert bob.xexp("init").good().err == "hint: next: dvc pull\n"
    assert bob.xexp("--json").good().json()["next"] == "dvc pull"


def test_one_number_taken_by_two(pair: tuple[Repo, Repo]) -> None:
    """push took the other's tag for ours and said nothing; both runs were stamped e0.2.0."""
    ann, bob = pair
    bob.xexp("init").good()
    bob.dvc("pull")
    log(ann, "ann", 0.3)
    ann.xexp("tag", "-m", "of ann").good()
    log(bob, "bob", 0.4)
    bob.xexp("tag", "-m", "of bob").good()
    ann.xexp("push").good()
    refused = bob.xexp("push")
    assert refused.code == 1 and "origin has another e0.2.0" in refused.err
    assert "git pull --rebase origin, then give yours" in refused.err
    # bob brings ann's work in; the registry's rows of e0.2.0 are in conflict
    run("git", "pull", "-q", "--rebase", cwd=bob.path)
    assert (
        bob.xexp("conflicts", "resolve", "--ours")
        .good()
        .err.endswith("hint: next: git rebase --continue\n")
    )
    run("git", "-c", "core.editor=true", "rebase", "--continue", cwd=bob.path).good()
    done = bob.xexp("push")
    assert (done.code, done.out) == (1, "")  # the branch would bring another row of e0.2.0
    assert "not pushed: origin has another e0.2.0" in done.err
    assert "git xexp tag --renumber e0.2.0" in done.err
    assert "would not push        e0.2.0: origin has another" in bob.xexp("push", "-n").good().out
    before = (
        bob.refs(),
        versions(bob),
        bob.xexp("explore", "show", "e0.2.0", "--json").good().json(),
    )
    bob.xexp("tag", "--renumber", "e0.2.0").good()
    bob.xexp("undo").good()
    after = bob.refs(), versions(bob), bob.xexp("explore", "show", "e0.2.0", "--json").good().json()
    assert after == before
    renumbered = bob.xexp("tag", "--renumber", "e0.2.0").good().out
    assert renumbered == "e0.2.0 is e0.3.0; e0.2.0 is the remote's now\n"
    assert bob.xexp("explore", "show", "e0.3.0", "--json").good().json()["text"] == "of bob"
    assert bob.git("rev-parse", "e0.3.0^{commit}") == bob.head and clean(bob)
    assert bob.xexp("registry", "rebuild", "--json").good().json()["restored"] == []
    assert versions(bob) == {"ann": "e0.2.0", "bob": "e0.3.0"}
    assert bob.xexp("push").good().out.endswith("pushed e0.3.0 -> origin\n")
    rows = bob.xexp("explore", "list", "--json").good().json()
    assert {row["version"]: row["run"] for row in rows} == {
        "e0.1.0": "run-lr-1.0", "e0.2.0": "ann", "e0.3.0": "bob",
    }  # fmt: skip
    # what ann pulls is not in her cache: dvc checkout would fail
    ann.git("pull", "-q")
    assert ann.xexp("--json").good().json()["next"] == "dvc pull"


def test_a_tag_that_was_moved_does_not_stop_the_others(pair: tuple[Repo, Repo]) -> None:
    ann, bob = pair
    ann.git("tag", "-f", "-a", "-m", "moved", "e0.1.0")
    ann.git("push", "-q", "-f", "origin", "e0.1.0")
    bob.xexp("tag", "e0.5.0", "--no-commit", "--no-stamp").good()
    bob.dvc("pull")
    done = bob.xexp("push")
    assert done.code == 1 and "pushed e0.5.0 -> origin" in done.out
    assert "or take what origin has: git fetch --tags --force origin" in done.err
    bob.git("fetch", "-q", "--tags", "--force")
    assert bob.xexp("push").good().out == "nothing to push: every experiment is on the remote\n"


# -- merges ----------------------------------------------------------------------------------------


@pytest.fixture
def fork(pair: tuple[Repo, Repo]) -> Repo:
    """``main`` with run ``ours``, ``other`` with run ``theirs``."""
    repo = pair[0]
    repo.git("switch", "-q", "-c", "other")
    add(repo, "theirs")
    repo.git("switch", "-q", "main")
    repo.dvc_checkout()
    add(repo, "ours")
    return repo


def test_a_merge_that_git_refuses_leaves_the_data_alone(fork: Repo) -> None:
    """The driver ran before git looked at the work tree, and had laid the merged rows down."""
    fork.git("switch", "-q", "other")
    fork.write("params.yaml", "lr: 5\n")
    fork.commit("params", "params.yaml")
    fork.git("switch", "-q", "main")
    fork.write("params.yaml", "lr: 7\n")
    before = (fork / DB).read_bytes()
    done = run("git", "merge", "other", cwd=fork.path)
    assert done.code != 0 and "would be overwritten" in done.err
    assert (fork / DB).read_bytes() == before and clean(fork)
    # where git goes on after all, the command that is left is named
    fork.git("checkout", "-q", "params.yaml")
    fork.write("README.md", "edited\n")
    done = run("git", "merge", "--no-edit", "other", cwd=fork.path).good()
    assert f"once it is committed: dvc checkout {POINTER}" in done.err
    assert "1 changed, 1 output from another commit" in fork.xexp().good().out
    fork.git("checkout", "-q", "README.md")
    assert fork.xexp("--json").good().json()["next"] == "dvc checkout"
    fork.dvc_checkout()
    assert runs(fork) == BOTH


def test_check_is_content_once_the_rows_are_back(fork: Repo) -> None:
    """It stayed red for ever, and named the parent whose rows were there already."""
    start = fork.head
    fork.git("switch", "-q", "other")
    run("git", "-c", "merge.xexp.driver=false", "merge", "-q", "main", cwd=fork.path)
    fork.git("checkout", "-q", "other", "--", POINTER)
    fork.commit("merged by hand", POINTER)
    fork.dvc_checkout()
    done = fork.xexp("check", "--merge", start)
    merge = fork.git("rev-parse", "HEAD")[:10]
    assert done.code == 1 and 'track_id="ours"' in done.out
    assert f"git xexp merge {merge}^1 {merge}^2 --commit\n" in done.err
    fork.xexp("merge", f"{merge}^1", f"{merge}^2", "--commit").good()
    assert runs(fork) == BOTH
    fork.xexp("tag", "--run", "ours").good()  # which fills a cell of that row
    assert fork.xexp("check", "--merge", start).good().out.endswith("no row was dropped\n")


def test_tag_with_unmerged_paths_is_refused_though_nothing_is_in_progress(fork: Repo) -> None:
    fork.write("params.yaml", "lr: 5\n")
    fork.git("stash", "-q")
    fork.write("params.yaml", "lr: 6\n")
    fork.commit("lr", "params.yaml")
    assert run("git", "stash", "pop", cwd=fork.path).code == 1
    refs = fork.refs()
    done = fork.xexp("tag", "--all")
    assert done.code == 128 and "fatal: not merged yet: params.yaml" in done.err
    assert fork.refs() == refs and "<<<<" in (fork / "params.yaml").read_text()


def test_resolve_names_what_is_left_by_hand(fork: Repo) -> None:
    fork.git("switch", "-q", "other")
    sql(fork / DB, "UPDATE predictions SET f1 = 0.1 WHERE track_id = 'run-lr-0.1' AND f1 > 0")
    fork.dvc_add(DB)
    fork.write("params.yaml", "lr: 5\n")
    fork.commit("theirs")
    fork.git("switch", "-q", "main")
    fork.dvc_checkout()
    sql(fork / DB, "UPDATE predictions SET f1 = 0.2 WHERE track_id = 'run-lr-0.1' AND f1 > 0")
    fork.dvc_add(DB)
    fork.write("params.yaml", "lr: 6\n")
    fork.commit("ours")
    assert run("git", "merge", "other", cwd=fork.path).code == 1
    done = fork.xexp("conflicts", "resolve", "--ours").good()
    assert "next: merge params.yaml by hand and git add, then git merge --continue\n" in done.err


# -- tag -------------------------------------------------------------------------------------------


def test_a_pointer_that_is_staged_and_changed_again(fork: Repo) -> None:
    """git read-tree refused: "Entry 'results/experiments.db.dvc' not uptodate"."""
    log(fork, "one", 0.3)
    fork.dvc_add(DB)
    fork.git("add", POINTER)
    log(fork, "two", 0.4)
    fork.dvc_add(DB)
    fork.write("params.yaml", "lr: 5\n")
    fork.git("add", "params.yaml")
    fork.write("params.yaml", "lr: 6\n")
    fork.xexp("tag", "--all", "--allow-mismatch").good()
    assert fork.git("status", "--porcelain") == "" and clean(fork)
    assert fork.git("show", "HEAD:params.yaml") == "lr: 6"


@pytest.mark.parametrize("wal", [False, True])
def test_a_database_in_git_is_committed_with_its_stamps(repo: Repo, wal: bool) -> None:
    """The stamps were left uncommitted, so the tag held rows without its version."""
    create = "CREATE TABLE runs (run_id TEXT, timestamp INTEGER, lr REAL, version TEXT)"
    writer = sqlite3.connect(repo / "runs.db", isolation_level=None)
    if wal:
        writer.execute("PRAGMA journal_mode=WAL")
    writer.execute(create)
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    repo.write(".gitignore", "*-wal\n*-shm\n")
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    writer.execute("INSERT INTO runs VALUES ('a', 1, 0.5, NULL)")
    if not wal:
        repo.commit("a run")
    repo.xexp("tag").good()
    assert repo.git("status", "--porcelain") == ""
    run("git", "clone", "-q", repo.path, "copy", cwd=repo.path.parent).good()
    with closing(sqlite3.connect(repo.path.parent / "copy/runs.db")) as db:
        assert db.execute("SELECT run_id, version FROM runs").fetchall() == [("a", "e0.1.0")]
    writer.close()


# -- undo, rebase, push ----------------------------------------------------------------------------


def test_undo_of_several_says_what_it_did_before_it_was_refused(repo: Repo) -> None:
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    repo.xexp("worktree", "new", "wide").good()
    repo.write("../exp-wide/README.md", "changed\n")
    repo.xexp("tag").good()
    done = repo.xexp("undo", "2")
    assert done.code == 1 and "has changes" in done.err
    assert done.out.startswith("undone: tag e0.1.0")
    assert done.err.startswith("not undone: worktree new wide at ")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_rebase_replaces_by_run_id_of_any_tracker(tmp_path: Path, kind: str) -> None:
    """Only track_id was taken for a run: rows of a rerun came in beside the old ones."""
    import duckdb

    from tests.helpers import xexp_inside

    for name, loss in (("a.db", 0.5), ("b.db", 0.3)):
        path = tmp_path / name
        with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as d:
            d.execute("CREATE TABLE steps (run_id VARCHAR, step INTEGER, loss DOUBLE)")
            d.execute("CREATE TABLE notes (text VARCHAR)")
            d.execute(f"INSERT INTO steps VALUES ('r', 0, {loss}), ('only-{name}', 0, 1)")
            d.execute(f"INSERT INTO notes VALUES ('{name}')")
            d.commit()
    done = xexp_inside("rebase", "--yes", "b.db", "-o", "a.db", cwd=tmp_path).good()
    assert "note: table notes has no version or run id: its rows were added\n" in done.out
    assert "table steps" not in done.out
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as d:
        rows = d.execute("SELECT run_id, loss FROM steps ORDER BY 1").fetchall()
    assert rows == [("only-a.db", 1), ("only-b.db", 1), ("r", 0.3)]


def test_push_names_each_artifact_once(fork: Repo) -> None:
    log(fork, "one", 0.3)
    fork.xexp("tag").good()
    log(fork, "two", 0.4)
    fork.xexp("tag").good()
    planned = fork.xexp("push", "--dry-run").good().out
    # two of the tags and one that a commit before them has
    assert planned.count(DB) == 1 and f"{DB}  (3 versions of it)" in planned
