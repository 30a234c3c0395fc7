"""Undo and redo: exact, said beforehand, and never over newer work."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.repository.operation import OpLog
from tests.helpers import Repo, copy_tree, dies
from tests.workflows.models.model_tools import RUNS, content

DB = "results/experiments.db"


@pytest.fixture
def ready(set_up: Repo) -> Repo:
    return set_up


def log_run(repo: Repo, run: str) -> None:
    """One more row, as a training adds it."""
    with closing(sqlite3.connect(repo / DB)) as db, db:
        db.execute(
            "INSERT INTO predictions (track_id, timestamp, f1, lr, model) VALUES (?, ?, 0.95, 0.5, 'mlp')",
            (run, f"2030-01-01 00:00:{len(run):02}"),
        )


def runs(repo: Repo) -> set[str]:
    with closing(sqlite3.connect(repo / DB)) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT track_id FROM predictions")}


def everything(repo: Repo) -> dict[str, Any]:
    """Refs, status, and every file of the work tree and of DVC's cache with its bytes."""
    names = [p for p in repo.path.rglob("*") if p.is_file() and ".git" not in p.parts]
    kept = {
        str(p.relative_to(repo.path)): p.read_bytes()
        for p in names
        if ".dvc/tmp" not in str(p) and "__pycache__" not in p.parts
    }
    return {"refs": repo.refs(), "status": repo.git("status", "--porcelain"), **kept}


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def test_undo_and_redo_of_a_tag_are_exact(ready: Repo) -> None:
    log_run(ready, "mine")
    ready.write("params.yaml", "model: mlp\nlr: 0.5\n")
    ready.write("metrics.json", '{"f1": 0.95}\n')
    ready.git("update-ref", "refs/remotes/origin/main", "main")  # what went before was pushed
    before = everything(ready)
    ready.xexp("tag", "--all", "-m", "one").good()
    after = everything(ready)
    assert differing(before, after)
    for _ in range(2):
        ready.xexp("undo").good()
        assert differing(before, everything(ready)) == []
        assert "modified" in ready.dvc("status")
        done = ready.xexp("redo").good()
        assert done.out.startswith("redone: tag e0.1.0 ")
        assert differing(after, everything(ready)) == []
    assert ready.xexp("redo").code == 1


def test_redo_refuses_what_later_work_stands_in_the_way_of(ready: Repo) -> None:
    ready.xexp("tag", "-m", "one").good()
    ready.xexp("undo").good()
    ready.write("later.py", "x = 1\n")
    ready.commit("later")
    before = everything(ready)
    assert ready.xexp("redo").code == 1
    assert differing(before, everything(ready)) == []
    ready.xexp("tag", "-m", "another").good()
    assert "nothing to redo" in ready.xexp("redo").err


def test_a_redo_whose_objects_git_has_removed(ready: Repo) -> None:
    """``git gc`` removes the object of a tag that was undone. A redo that was killed before is
    taken back: it must not end every command from then on."""
    log_run(ready, "mine")
    ready.xexp("tag", "--all", "-m", "one").good()
    ready.xexp("undo").good()
    before = everything(ready)
    assert killed(ready, "redo", moment=12)
    ready.git("gc", "-q", "--prune=now")
    done = ready.xexp("init").good()
    assert "the redo of 'tag'" in done.err and "it has been rolled back" in done.err
    assert differing(before, everything(ready)) == []
    assert ready.xexp("redo").code == 1
    ready.xexp("tag", "--all", "-m", "two").good()
    ready.xexp("undo").good()
    ready.git("gc", "-q", "--prune=now")
    done = ready.xexp("redo")
    assert done.code == 1 and "(git gc)" in done.err and ready.tags == []


def test_undo_does_not_pass_over_an_operation_that_changed_nothing(ready: Repo) -> None:
    ready.xexp("tag", "-m", "one").good()
    ready.xexp("merge", "e0.1.0").good()
    assert ready.xexp("log", "--json").good().json()[0]["status"] == "unchanged"
    done = ready.xexp("undo")
    assert done.code == 1
    assert "the last operation, 'merge'" in done.err and "changed nothing" in done.err
    assert "git xexp undo --yes" in done.err
    assert ready.tags == ["e0.1.0"]
    done = ready.xexp("undo", "--yes").good()
    assert re.fullmatch(r"undone: tag e0\.1\.0 .* \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\)\n", done.out)
    assert done.err == ""
    assert ready.tags == []


def test_a_refused_commit_leaves_every_byte(ready: Repo) -> None:
    log_run(ready, "mine")
    before = everything(ready)
    hook = ready.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert ready.xexp("tag", "--all", "-m", "one").code == 128
    assert differing(before, everything(ready)) == []


def test_forced_undo_keeps_a_newer_file_beside_the_former_one(ready: Repo) -> None:
    ready.git("checkout", "-q", "-b", "side")
    log_run(ready, "theirs")
    ready.dvc("add", DB)
    ready.commit("side")
    ready.git("checkout", "-q", "main")
    ready.dvc("checkout")
    ready.xexp("merge", "side", "--only", "results").good()
    log_run(ready, "mine")
    assert ready.xexp("undo").code == 1
    done = ready.xexp("undo", "--force").good()
    beside = ready / f"{DB}.xexp-{ready.xexp('log', '--json').json()[0]['id']}"
    assert str(beside) in done.err
    assert "theirs" not in runs(ready) and "mine" not in runs(ready)
    with closing(sqlite3.connect(beside)) as db:
        assert db.execute(
            "SELECT count(*) FROM predictions WHERE track_id = 'mine'"
        ).fetchone() == (1,)


# -- killed, then the user works -----------------------------------------------------------------


def killed(repo: Repo, *words: str, moment: int) -> bool:
    """Run a command that dies at the ``moment``-th of the times before and after a step is recorded
    or a file replaced; False when it ended before."""
    steps = ((OpLog, "record"), (OpLog, "amend"), (OpLog, "finish"), (Path, "replace"))
    return dies(*words, cwd=repo.path, moment=moment, around=steps) == -signal.SIGKILL


#: XEXP_TEST_STRIDE=1 dies at every moment.
STRIDE = int(os.environ.get("XEXP_TEST_STRIDE", "21"))


def copies(
    repo: Repo, tmp_path: Path, *words: str, by: Callable[..., bool] = killed
) -> Iterator[Repo]:
    """Copies of the repository in which the command was killed, one moment later each time."""
    moment = min(5, STRIDE)
    while True:
        place = tmp_path / f"at-{moment}"
        place.mkdir()
        for name in ("repo", "remote"):
            copy_tree(repo.path.parent / name, place / name)
        copy = Repo(place / "repo")
        if not by(copy, *words, moment=moment):
            return
        yield copy
        moment += STRIDE


def has_bytes(folder: Path, data: bytes) -> bool:
    """Whether a file in or below the folder holds these bytes."""
    return any(p.is_file() and p.read_bytes() == data for p in folder.rglob("*"))


@pytest.mark.parametrize("verb", ["tag", "merge", "rebase"])
def test_killed_then_the_user_trains_then_again(ready: Repo, tmp_path: Path, verb: str) -> None:
    ready.git("checkout", "-q", "-b", "side")
    log_run(ready, "theirs")
    ready.dvc("add", DB)
    ready.commit("side")
    ready.git("checkout", "-q", "main")
    ready.dvc("checkout")
    words = {
        "tag": ("tag", "--all", "-m", "one"),
        "merge": ("merge", "side", "--only", "results", "--commit", "-m", "mm"),
        "rebase": ("rebase", "side", "--only", "results", "--yes"),
    }[verb]
    if verb == "tag":
        log_run(ready, "before")
    times = 0
    for repo in copies(ready, tmp_path, *words):
        log_run(repo, "newer")
        done = repo.xexp(*words)
        assert runs(repo) >= {"newer", "run-lr-0.1"}, (repo.path, done.err)
        assert "Traceback" not in done.err
        if verb != "tag" and done.code == 0:
            assert "theirs" in runs(repo), (repo.path, done.err)
        times += 1
    assert times >= 2


@pytest.mark.parametrize(
    "words",
    [
        ("promote", "--best", "f1"),
        ("prune", "--keep", "0", "--force", "--yes"),
        ("worktree", "new", "a"),
    ],
    ids=lambda words: words[0],
)
def test_killed_then_the_user_writes_files_then_again(
    modelled: Repo, tmp_path: Path, words: tuple[str, ...]
) -> None:
    times = 0
    for repo in copies(modelled, tmp_path, *words):
        repo.write("models/production/model.bin", b"new model")
        repo.write("models/candidates/run-lr-0.01_model.bin", b"new candidate")
        tree = repo.path.parent / "exp-a"
        noted = tree.is_dir()
        if noted:
            (tree / "notes.txt").write_bytes(b"my notes")
        repo.xexp("candidates")
        done = repo.xexp(*words)
        assert "Traceback" not in done.err
        for mine in (b"new model", b"new candidate", b"my notes"):
            there = noted or mine != b"my notes"
            assert not there or has_bytes(repo.path.parent, mine), (repo.path, mine, done.err)
        times += 1
    assert times >= 1


def test_killed_then_again_without_a_word_from_the_user(modelled: Repo, tmp_path: Path) -> None:
    """The first retry works, and what it makes is what an undisturbed command makes."""
    for repo in copies(modelled, tmp_path, "promote", "--best", "f1"):
        last = repo.xexp("log", "--json").good().json()[0]
        if (last["verb"], last["status"]) == ("promote", "done"):
            continue  # killed after its end
        done = repo.xexp("promote", "--best", "f1").good()
        assert "already" not in done.out, repo.path
        assert repo.git("status", "--porcelain") == ""
        assert repo.xexp("log", "--json").good().json()[0]["status"] == "done"


def test_a_read_names_what_is_half_done_and_changes_nothing(ready: Repo) -> None:
    log_run(ready, "mine")
    assert killed(ready, "tag", "--all", "-m", "one", moment=8)
    before = everything(ready)
    for words in (["log"], ["explore", "list"], ["worktree", "list"], ["tag", "--dry-run"]):
        done = ready.xexp(*words)
        assert "'tag' (operation 2) was interrupted: the next command" in done.err, words
        assert differing(before, everything(ready)) == []
    done = ready.xexp("tag", "--all", "-m", "again").good()
    assert "it has been rolled back" in done.err
    assert "interrupted" not in ready.xexp("log").good().err


def test_half_a_lock_of_dvc_is_removed_when_nobody_holds_it(ready: Repo) -> None:
    log_run(ready, "mine")
    torn = ready.write(".dvc/tmp/rwlock", '{"write": {"/tmp')
    with (ready / ".dvc/tmp/rwlock.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ready.xexp("tag", "--all", "-m", "one").code == 128
    assert torn.read_text() == '{"write": {"/tmp'
    done = ready.xexp("tag", "--all", "-m", "one").good()
    assert "removed an incomplete .dvc/tmp/rwlock" in done.err
    assert ready.dvc("status").startswith("Data and pipelines are up to date")


# -- the power goes -------------------------------------------------------------------------------


def cut(repo: Repo, *words: str, moment: int) -> bool:
    """:func:`killed`, and of every file written since then only what was synced is on the disk: the
    others are empty, as ext4 leaves them. False when the command ended before.

    Files of git's and DVC's own object stores are as those leave them; SQLite syncs by itself.
    """
    synced = repo.path.parent / "synced"
    begun = time.time_ns()
    in_place = (repo / DB).stat().st_ino
    fsync = os.fsync

    def noted(handle: int) -> None:
        fsync(handle)
        info = os.fstat(handle)
        with synced.open("a") as log:
            log.write(f"{info.st_ino} {info.st_mtime_ns} {info.st_size}\n")

    os.fsync = noted
    try:
        died = killed(repo, *words, moment=moment)
    finally:
        os.fsync = fsync
    kept = set(synced.read_text().splitlines()) if synced.exists() else set()
    apart = (repo / ".git/objects", repo / ".dvc/cache", repo / ".dvc/tmp")
    for path in repo.path.rglob("*"):
        own = path.is_relative_to(repo / ".git/xexp") and not path.name.startswith("oplog.db")
        worked = not path.is_relative_to(repo / ".git")
        if path.is_file() and not path.is_symlink() and (own or worked):
            info = path.stat()
            written = info.st_mtime_ns > begun and info.st_nlink == 1 and info.st_ino != in_place
            is_kept = f"{info.st_ino} {info.st_mtime_ns} {info.st_size}" in kept
            if written and not is_kept and not any(path.is_relative_to(p) for p in apart):
                os.truncate(path, 0)
    return died


@pytest.mark.parametrize("verb", ["tag", "merge", "promote"])
def test_what_was_not_synced_is_lost_with_the_power(
    modelled: Repo, tmp_path: Path, verb: str
) -> None:
    """At any moment, rows and models are there, or come back with the next command."""
    if verb == "merge":
        modelled.git("checkout", "-q", "-b", "side")
        log_run(modelled, "theirs")
        modelled.dvc("add", DB)
        modelled.commit("side")
        modelled.git("checkout", "-q", "main")
        modelled.dvc("checkout")
    else:
        log_run(modelled, "mine")
    words = {
        "tag": ("tag", "--all", "-m", "one"),
        "merge": ("merge", "side", "--only", "results", "--commit", "-m", "mm"),
        "promote": ("promote", "--best", "f1", "-y"),
    }[verb]
    before = runs(modelled)
    times = 0
    for repo in copies(modelled, tmp_path, *words, by=cut):
        done = repo.xexp(*words)
        assert done.code in (0, 1), (repo.path, done.err)  # 1: it was done already
        assert runs(repo) >= before, (repo.path, done.err)
        repo.xexp("candidates").good()
        for run_id in RUNS:
            assert has_bytes(repo.path, content(run_id)), (repo.path, run_id, done.err)
        times += 1
    assert times >= 2


# -- logs of older versions ----------------------------------------------------------------------


def as_version_1(repo: Repo) -> set[str]:
    """Rewrite the log as the first version wrote it; the kinds of steps that it holds."""
    kinds = set()
    with closing(sqlite3.connect(repo / ".git/xexp/oplog.db")) as db, db:
        for operation, seq, kind, text in db.execute("SELECT * FROM steps").fetchall():
            data = json.loads(text)
            for name in ("v", "found", "left", "known", "old_log", "deleted", "made"):
                data.pop(name, None)
            if "undo_too" in data:
                data["undo"] = data.pop("undo_too")
            if kind == "worktree":
                for name in ("name", "of", "links", "fetch"):
                    data.pop(name)
            if kind in ("database", "objects"):  # there were none
                db.execute("DELETE FROM steps WHERE operation = ? AND seq = ?", (operation, seq))
                continue
            kinds.add(kind)
            db.execute(
                "UPDATE steps SET data = ? WHERE operation = ? AND seq = ?",
                (json.dumps(data), operation, seq),
            )
    return kinds


def test_a_log_of_the_first_version_is_undone(modelled: Repo) -> None:
    repo = modelled
    repo.xexp("drivers", "uninstall").good()
    repo.commit("without drivers")
    before = everything(repo)
    config = repo.git("config", "--local", "--list")
    repo.xexp("drivers", "install").good()
    repo.xexp("promote", "--best", "f1", "--no-commit").good()
    repo.xexp("worktree", "new", "a").good()
    repo.xexp("worktree", "remove", "a", "--force").good()
    kinds = as_version_1(repo)
    assert kinds >= {
        "file",
        "placed",
        "worktree",
        "removed",
        "sections",
        "configured",
        "stamp",
        "ref",
    }
    repo.xexp("undo", "4").good()
    changed = differing(before, everything(repo))
    assert [name for name in changed if not name.startswith(".dvc/cache/")] == []
    assert repo.git("config", "--local", "--list") == config
    assert not (repo.path.parent / "exp-a").exists()
