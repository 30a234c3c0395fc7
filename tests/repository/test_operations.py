"""Operations: undo, the log, the lock, and a process that dies at any step."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository import commit, operation, undo
from gitxexp.repository.registry import Registry
from gitxexp.repository.repository import Project
from gitxexp.storage.git import Git
from gitxexp.workflows.experiments import stamp, tag
from tests.conftest import copy_template
from tests.helpers import Clock, Forked, Repo, dies
from tests.workflows.models.model_tools import recover

#: At the moments before and after each of these the program dies, one moment later each time.
AROUND = (
    (operation.OpLog, "begin"), (operation.OpLog, "record"), (operation.OpLog, "amend"),
    (operation.OpLog, "finish"), (stamp, "stamp"), (tag, "add"), (tag, "_register"),
    (commit, "_own_index"), (commit, "_follow"), (commit, "commit"), (commit, "tag"),
    (Git, "raw"), (undo, "forget_old"), (shutil, "copy2"),
)  # fmt: skip


@pytest.fixture(scope="session")
def ready_template(set_up_template: Path, sealed: Path) -> Path:
    """``set_up``, its best run tagged."""
    Clock()
    folder = sealed / "operations-template"
    copy_template(set_up_template, folder).xexp("tag", "--best", "f1").good()
    return folder


@pytest.fixture
def ready(ready_template: Path, tmp_path: Path) -> Repo:
    """A private copy of it, as if its operations had run here: their log has absolute paths."""
    made = copy_template(ready_template, tmp_path)
    old, new = str(ready_template / "repo"), str(made.path)
    with closing(sqlite3.connect(made / ".git/xexp/oplog.db")) as db, db:
        db.execute("UPDATE operations SET worktree = replace(worktree, ?, ?)", (old, new))
        db.execute("UPDATE steps SET data = replace(data, ?, ?)", (old, new))
    return made


def database_rows(repo: Repo) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db:
        return db.execute(
            "SELECT track_id, timestamp, epoch, loss, f1, accuracy FROM predictions ORDER BY 1, 2"
        ).fetchall()


def test_undo_takes_the_tag_the_commit_and_the_row(ready: Repo) -> None:
    before = ready.head
    registry = (ready / ".xexp/registry.db").read_bytes()
    ready.write("train.py", "print('new')\n")
    ready.xexp("tag", "-a", "-m", "to be undone").good()
    done = ready.xexp("undo").good()
    assert done.out.startswith("undone: tag e0.2.0 ")
    assert (ready.tags, ready.head) == (["e0.1.0"], before)
    assert (ready / ".xexp/registry.db").read_bytes() == registry
    assert (ready / "train.py").read_text() == "print('new')\n"
    assert ready.git("status", "--porcelain") == " M train.py"
    ready.xexp("tag", "-a").good()
    assert ready.tags == ["e0.1.0", "e0.2.0"]


def test_undo_keeps_what_was_staged_as_it_was(ready: Repo) -> None:
    ready.write("new.txt", "staged")
    ready.git("add", "new.txt")
    ready.xexp("tag").good()
    ready.xexp("undo").good()
    assert "A  new.txt" in ready.git("status", "--porcelain")
    ready.git("reset", "-q")
    ready.write("empty.txt", "")
    ready.git("add", "-N", "new.txt", "empty.txt")  # announced, without content
    before = ready.git("status", "--porcelain=v2")
    ready.xexp("tag", "-a").good()
    ready.xexp("undo").good()
    assert ready.git("status", "--porcelain=v2") == before


def test_undo_several(ready: Repo) -> None:
    ready.xexp("tag").good()
    ready.xexp("tag").good()
    ready.xexp("undo", "2").good()
    assert ready.tags == ["e0.1.0"]
    done = ready.xexp("undo", "9")
    assert done.code == 1
    assert ready.tags == ["e0.1.0"]


def test_undo_refuses_where_later_work_stands_on_it(ready: Repo) -> None:
    ready.write("later.py", "x = 1\n")
    ready.commit("later work")
    done = ready.xexp("undo")
    assert done.code == 1
    assert done.err.startswith("error: main has moved on since: later work is based on it\nhint: ")
    assert ready.tags == ["e0.1.0"]
    head = ready.head
    ready.xexp("undo", "--force").good()
    assert (ready.tags, ready.head) == ([], head)


def test_undo_refuses_what_was_pushed(ready: Repo, tmp_path: Path) -> None:
    ready.git("init", "-q", "--bare", str(tmp_path / "git remote"))
    ready.git("remote", "add", "origin", str(tmp_path / "git remote"))
    ready.xexp("tag", "--push").good()
    done = ready.xexp("undo")
    assert done.code == 1
    assert "pushed" in done.err
    assert len(ready.tags) == 2


def test_the_log_lists_operations(ready: Repo) -> None:
    ready.xexp("undo").good()
    lines = ready.xexp("log").good().out.splitlines()
    assert lines[0].split("\t") == ["id", "when", "operation", "status", "what"]
    assert [line.split("\t")[2:4] for line in lines[1:]] == [["tag", "undone"], ["init", "done"]]
    assert ready.xexp("log", "--json", "-n", "1").good().json()[0]["verb"] == "tag"


def test_no_wait_fails_at_once(ready: Repo) -> None:
    with Project.open(ready.path).locked():
        done = ready.xexp("tag", "--no-wait")
    assert done.code == 128
    assert "another git xexp operation is running" in done.err


def test_it_waits_for_the_lock_and_says_so(ready: Repo) -> None:
    command = ["flock", ready / ".git/xexp/lock", "sh", "-c", "echo held; read line"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        waiting = ready.forked("tag")
        try:
            waiting.wait_until(lambda: "waiting for another git xexp operation" in waiting.said())
        finally:
            holder.communicate("go\n")
        waiting.done(timeout=60).good()


def test_eight_at_once_in_one_repository_and_its_worktrees(ready: Repo, tmp_path: Path) -> None:
    places = [ready.path]
    for name in "ab":
        place = tmp_path / name
        ready.git("worktree", "add", "-q", "-b", name, str(place))
        places.append(place)
    calls = [Forked("tag", "--json", cwd=places[n % 3]) for n in range(8)]
    versions = [call.done().good().json()["version"] for call in calls]
    assert len(set(versions)) == 8
    assert set(ready.tags) == {"e0.1.0", *versions}
    rows = [set(Registry(place / ".xexp/registry.db").rows()) for place in places]
    assert set.union(*rows) == set(ready.tags)
    for version in versions:
        assert ready.git("cat-file", "-t", version) == "tag"
        (ready / "check.db").write_bytes(_blob(ready, f"{version}:.xexp/registry.db"))
        assert version in Registry(ready / "check.db").rows()


def _blob(repo: Repo, name: str) -> bytes:
    command = ["git", "cat-file", "blob", name]
    return subprocess.run(command, cwd=repo.path, capture_output=True, check=True).stdout


def state_of(repo: Repo) -> list[object]:
    """What an operation that died must leave as it was; last, whether git's index is locked."""
    status = repo.git("status", "--porcelain").splitlines()
    kept = sorted(path.name for path in (repo / ".git/xexp/ops").iterdir())
    return [
        repo.head, repo.tags, database_rows(repo), [s for s in status if "experiments.db" not in s],
        sorted(Registry(repo / ".xexp/registry.db").rows()), kept,
        (repo / ".git/index.lock").exists(),
    ]  # fmt: skip


def test_killed_at_any_step_nothing_is_lost(ready: Repo) -> None:
    """XEXP_TEST_STRIDE=1 dies at every step; the way back is exact up to the end of the operation."""
    ready.write("notes.txt", "staged")
    ready.git("add", "notes.txt")
    ready.write("scratch.py", "print('mine')\n")
    before = state_of(ready)
    step, stride, late = 1, int(os.environ.get("XEXP_TEST_STRIDE", "31")), list[int]()
    while code := dies("tag", "-m", "dies", cwd=ready.path, moment=step, around=AROUND):
        assert code == -signal.SIGKILL
        recover(ready)
        found = state_of(ready)
        assert found[2:4] == before[2:4], f"killed at step {step}"
        assert not found[-1]
        if found[1] == ["e0.1.0", "e0.2.0"]:  # killed after the last step: nothing to remove
            late.append(step)
        else:
            assert found[:6] == before[:6], f"killed at step {step}"
        step += stride
    last = step - stride
    assert last > 60, "it was not killed late enough for this to mean anything"
    assert all(step > last - 10 for step in late)
    assert "e0.2.0" in ready.tags
    assert database_rows(ready) == before[2]
    assert (ready / "scratch.py").read_text() == "print('mine')\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_rolls_back(ready: Repo, number: signal.Signals) -> None:
    """A hook that waits gives time for Ctrl-C in the middle."""
    hook = ready.write(".git/hooks/pre-commit", "#!/bin/sh\ntouch .git/waiting\nsleep 5\n")
    hook.chmod(0o755)
    head = ready.head
    process = ready.forked("tag", alone=True)
    process.wait_until((ready / ".git/waiting").exists)
    os.killpg(process.pid, number)
    done = process.done(timeout=30)
    hook.unlink()
    assert done.code == 130
    assert "interrupted" in done.err
    assert (ready.head, ready.tags) == (head, ["e0.1.0"])
    assert ready.xexp("tag").good().out.startswith(("added", "e0.2.0", "stamped"))


def test_rebuild_restores_all_that_tags_hold(ready: Repo) -> None:
    ready.xexp("tag", "-l", "keep", "-m", "hä?").good()
    path = ready / ".xexp/registry.db"
    registry = Registry(path)
    before = registry.rows()
    path.unlink()
    done = ready.xexp("registry", "rebuild").good()
    assert "0 up to date, 2 restored, 0 only in the registry" in done.out
    assert registry.rows() == before


def test_rebuild_deletes_nothing_that_only_the_registry_knows(ready: Repo) -> None:
    ready.xexp("tag").good()
    registry = Registry(ready / ".xexp/registry.db")
    before = registry.rows()
    with registry.rewrite() as db:
        db.execute(
            "INSERT INTO promotions VALUES ('p','m','e0.1.0','r','me','now','why','f1',1,'','')"
        )
    ready.git("tag", "-d", "e0.2.0")
    done = ready.xexp("registry", "rebuild").good()
    assert "1 up to date, 0 restored, 1 only in the registry" in done.out
    assert registry.rows() == before
    with registry.rewrite() as db:
        assert db.execute("SELECT count(*) FROM promotions").fetchone() == (1,)


def test_a_copy_leaves_the_repository_it_was_copied_from_alone(repo: Repo, tmp_path: Path) -> None:
    """The log of operations is copied too, and its paths are absolute."""
    repo.xexp("init", "--no-dvc").good()
    shutil.copytree(repo.path, tmp_path / "copy", symlinks=True)
    before = sorted(path for path in repo.path.rglob("*"))
    copy = Repo(tmp_path / "copy")
    for words in (["undo"], ["undo", "--force"]):
        done = copy.xexp(*words)
        assert done.code == 1
        assert done.err.startswith(
            f"error: 'init' ran in {repo.path}, which is not a worktree of this"
        )
    assert sorted(path for path in repo.path.rglob("*")) == before
    copy.commit("first")
    copy.xexp("tag").good()
    copy.xexp("undo").good()
    repo.xexp("undo").good()
