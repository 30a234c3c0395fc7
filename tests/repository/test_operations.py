"""Operations: undo, the log, the lock, and a process that dies at any step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.repository.registry import Registry
from gitxexp.repository.repository import Project
from tests.helpers import Repo, run, xexp_process

#: Runs the program again and again, each time dying by SIGKILL one moment later than before: at the
#: Nth of the moments before and after something is recorded or changed. After each death another
#: process recovers, and what is there then is printed.
DIES = """
import json, os, pathlib, shutil, signal, sqlite3, subprocess, sys
import dvc.repo  # every child has it, so that a death costs little
from gitxexp.repository import commit, operation, registry, repository, undo
from gitxexp.storage import git as storage_git
from gitxexp.workflows.experiments import stamp, tag
from gitxexp.entry import main

left = 0

def moment():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def around(module, name):
    function = getattr(module, name)
    def wrapped(*args, **kwargs):
        moment()
        result = function(*args, **kwargs)
        moment()
        return result
    setattr(module, name, wrapped)

def child(step, action):
    global left
    pid = os.fork()
    if pid == 0:
        left = step
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 70
        try:
            code = action()
        finally:
            os._exit(code or 0)
    return os.waitpid(pid, 0)[1]

def recover():
    opened = repository.Project.open(".")
    with opened.locked():
        opened.recover()

def state():
    git = lambda *args: subprocess.run(["git", *args], capture_output=True, text=True).stdout
    with sqlite3.connect("results/experiments.db") as db:
        rows = db.execute("SELECT track_id, timestamp, epoch, loss, f1, accuracy FROM predictions"
                          " ORDER BY 1, 2").fetchall()
    status = [line for line in git("status", "--porcelain").splitlines() if "experiments.db" not in line]
    rows_known = sorted(registry.Registry(pathlib.Path(".xexp/registry.db")).rows())
    return [git("rev-parse", "HEAD"), git("tag"), rows, status, rows_known, os.listdir(".git/xexp/ops"),
            os.path.exists(".git/index.lock")]

for module, name in (
    (operation.OpLog, "begin"), (operation.OpLog, "record"), (operation.OpLog, "amend"),
    (operation.OpLog, "finish"), (stamp, "stamp"), (tag, "add"), (tag, "_register"),
    (commit, "_own_index"), (commit, "_follow"), (commit, "commit"), (commit, "tag"),
    (storage_git.Git, "raw"), (undo, "forget_old"), (shutil, "copy2"),
):
    around(module, name)
first, stride = int(sys.argv.pop(1)), int(sys.argv.pop(1))
step = first
print(json.dumps(state()))
while True:
    status = child(step, lambda: main(sys.argv[1:]))
    if not os.WIFSIGNALED(status):
        break
    child(0, recover)
    print(json.dumps([step, *state()]))
    step += stride
print(json.dumps(os.waitstatus_to_exitcode(status)))
"""


@pytest.fixture
def ready(set_up: Repo) -> Repo:
    """``set_up``, its best run tagged."""
    set_up.xexp("tag", "--best", "f1").good()
    return set_up


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
    with Project.open(ready.path).locked():
        waiting = subprocess.Popen(
            [sys.executable, "-m", "gitxexp", "tag"], cwd=ready.path, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert waiting.stderr is not None
        assert "waiting for another git xexp operation" in waiting.stderr.readline()
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0


def test_eight_at_once_in_one_repository_and_its_worktrees(ready: Repo, tmp_path: Path) -> None:
    places = [ready.path]
    for name in "ab":
        place = tmp_path / name
        ready.git("worktree", "add", "-q", "-b", name, str(place))
        places.append(place)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(xexp_process, "tag", "--json", cwd=places[n % 3]) for n in range(8)]
        versions = [call.result().good().json()["version"] for call in calls]
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


def test_killed_at_any_step_nothing_is_lost(ready: Repo, tmp_path: Path) -> None:
    """XEXP_TEST_STRIDE=1 dies at every step; the way back is exact up to the end of the operation."""
    (tmp_path / "dies.py").write_text(DIES)
    ready.write("notes.txt", "staged")
    ready.git("add", "notes.txt")
    ready.write("scratch.py", "print('mine')\n")
    rows = database_rows(ready)
    stride = os.environ.get("XEXP_TEST_STRIDE", "31")
    done = run(
        sys.executable, tmp_path / "dies.py", "1", stride, "tag", "-m", "dies",
        cwd=ready.path, timeout=1200,
    ).good()  # fmt: skip
    before, *after, code = map(json.loads, done.out.splitlines())
    assert code == 0, done.err[-3000:]
    assert after[-1][0] > 60, "it was not killed late enough for this to mean anything"
    for step, *found in after:
        tagged = found[1] == "e0.1.0\ne0.2.0\n"  # killed after the last step: nothing to remove
        assert not tagged or step > after[-1][0] - 10
        assert found[2:4] == before[2:4], f"killed at step {step}"
        assert not found[-1]
        if not tagged:
            assert found[:6] == before[:6], f"killed at step {step}"
    assert "e0.2.0" in ready.tags
    assert database_rows(ready) == rows
    assert (ready / "scratch.py").read_text() == "print('mine')\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_rolls_back(ready: Repo, number: signal.Signals) -> None:
    """A hook that waits gives time for Ctrl-C in the middle."""
    hook = ready.write(".git/hooks/pre-commit", "#!/bin/sh\ntouch .git/waiting\nsleep 5\n")
    hook.chmod(0o755)
    head = ready.head
    process = subprocess.Popen(
        [sys.executable, "-m", "gitxexp", "tag"], cwd=ready.path, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (ready / ".git/waiting").exists():
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=30)
    hook.unlink()
    assert process.returncode == 130
    assert "interrupted" in err
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
