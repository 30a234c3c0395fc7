"""``worktree new`` and ``remove`` killed, interrupted, raced and out of space."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitxexp.storage.dvc import place as dvc_place
from gitxexp.workflows.worktrees import remove
from tests.helpers import Repo, run, xexp_inside
from tests.workflows.worktrees.worktree_tools import dies, interrupt, state, tree_of

DB = "results/experiments.db"

KILLS_OF_NEW = [
    ("gitxexp.repository.operation:OpLog.begin", 1),
    ("gitxexp.repository.operation:OpLog.record", 1),
    ("gitxexp.workflows.worktrees.create:exclude", 1),
    ("gitxexp.workflows.worktrees.create:admin_of", 1),
    ("gitxexp.workflows.worktrees.records:write", 1),
    ("gitxexp.storage.dvc.share:share_cache", 1),
    ("gitxexp.storage.dvc.place:Linker.place", 1),
    ("gitxexp.storage.dvc.place:Linker.place", 3),
    ("gitxexp.storage.dvc.checkout_state:remember", 1),
    ("gitxexp.workflows.worktrees.records:write", 2),
    ("gitxexp.workflows.worktrees.create:_hook", 1),
]


@pytest.mark.parametrize(("at", "call"), KILLS_OF_NEW)
def test_new_killed(trained: Repo, at: str, call: int) -> None:
    """The next command finds what was half done, and takes it back; a checkout that is complete is
    made a whole worktree."""
    before = state(trained)
    dies(trained, "worktree", "new", "a", "--path", "trees/deep/a", at=at, call=call)
    tree = Repo(trained / "trees/deep/a")
    listed = trained.xexp("worktree", "list").good()
    assert "'worktree new' (operation 1) was interrupted: the next command" in listed.err
    done = trained.xexp("worktree", "new", "b").good()
    if (at, call) in KILLS_OF_NEW[5:]:
        assert f"was interrupted; it has been finished: a at {tree.path}" in done.err
        assert tree.git("status", "--porcelain") == ""
        assert (tree / DB).read_bytes() == (trained / DB).read_bytes()
        assert "up to date" in tree.dvc("status")
        trained.xexp("undo", "2").good()
    else:
        assert "was interrupted; it has been rolled back" in done.err
        trained.xexp("undo").good()
    assert state(trained) == before
    assert not (trained / "trees").exists()
    trained.xexp("worktree", "new", "a", "--path", "trees/deep/a").good()


def test_new_killed_and_run_again(trained: Repo) -> None:
    """The same command again has what it asked for, whether it was taken back or finished."""
    for name, at in (("a", KILLS_OF_NEW[3][0]), ("b", KILLS_OF_NEW[5][0])):
        dies(trained, "worktree", "new", name, at=at)
        made = trained.xexp("worktree", "new", name, "--json").good().json()
        tree = tree_of(trained, name)
        assert made["path"] == str(tree.path)
        assert (tree / DB).read_bytes() == (trained / DB).read_bytes()
        assert trained.xexp("worktree", "new", name).code == 128


def test_new_killed_in_git(trained: Repo) -> None:
    """git dies between making the folder and registering it: an empty folder is left."""
    before = state(trained)
    dies(trained, "worktree", "new", "a", at="gitxexp.repository.operation:OpLog.record")
    (trained.path.parent / "exp-a").mkdir()
    trained.xexp("worktree", "new", "b").good()
    trained.xexp("undo").good()
    assert state(trained) == before


def test_somebody_elses_folder_survives_the_rollback(trained: Repo) -> None:
    dies(trained, "worktree", "new", "a", at="gitxexp.repository.operation:OpLog.record")
    mine = trained.write("../exp-a/mine.txt", "mine")
    trained.xexp("worktree", "new", "b").good()
    assert mine.read_text() == "mine"


KILLS_OF_REMOVE = [
    ("gitxexp.repository.operation:OpLog.begin", 1),
    ("gitxexp.repository.operation:OpLog.record", 1),
    ("pathlib:Path.rename", 1),
    ("gitxexp.workflows.worktrees.remove:_thin", 1),
    ("pathlib:Path.rename", 2),
    ("gitxexp.workflows.worktrees.remove:exclude", 1),
]


@pytest.mark.parametrize(("at", "call"), KILLS_OF_REMOVE)
def test_remove_killed(trained: Repo, at: str, call: int) -> None:
    trained.xexp("worktree", "new", "a", "--link", "copy").good()
    trained.git("tag", "-a", "-m", "x", "e0.1.0", "exp/a")
    tree = tree_of(trained)
    tree.write(DB, b"changed")
    before = state(trained), contents(tree)
    dies(trained, "worktree", "remove", "a", "--force", at=at, call=call)
    first = trained.xexp("worktree", "prune").good()
    done = trained.xexp("worktree", "new", "b").good()
    trained.xexp("undo").good()
    assert "rolled back" in first.err + done.err
    assert (state(trained), contents(tree)) == before
    assert (tree / "models/production/model.bin").stat().st_nlink == 1
    trained.xexp("worktree", "remove", "a", "--force").good()
    trained.xexp("undo").good()
    assert (state(trained), contents(tree)) == before


@pytest.mark.parametrize(("at", "call"), KILLS_OF_REMOVE[1:5])
def test_remove_killed_then_the_user_works(trained: Repo, at: str, call: int) -> None:
    """Whatever is written where the worktree was, or still is, stays; so does what was in it."""
    trained.xexp("worktree", "new", "a", "--link", "copy").good()
    tree = tree_of(trained)
    tree.write("draft.txt", "mine")
    dies(trained, "worktree", "remove", "a", "--force", at=at, call=call)
    tree.write("later.txt", "later")
    trained.xexp("worktree", "prune")
    texts = {p.name: p.read_text() for p in tree.path.parent.glob("exp-a*/*.txt")}
    assert texts == {"draft.txt": "mine", "later.txt": "later"}
    assert trained.xexp("log", "--json").good().json()[0]["status"] != "running"


@pytest.mark.parametrize("call", [1, 2])
def test_undo_killed_where_the_place_is_taken(trained: Repo, call: int) -> None:
    trained.xexp("worktree", "new", "a").good()
    tree = tree_of(trained)
    tree.write("draft.txt", "mine")
    trained.xexp("worktree", "remove", "a", "--force").good()
    trained.git("worktree", "add", "-q", str(tree.path), "-b", "other")
    dies(trained, "undo", at="pathlib:Path.rename", call=call)
    trained.xexp("worktree", "new", "b").good()
    back = Repo(tree.path.with_name("exp-a-undone"))
    assert back.git("symbolic-ref", "HEAD") == "refs/heads/exp/a"
    assert back.git("status", "--porcelain") == "?? draft.txt"
    assert tree.git("symbolic-ref", "HEAD") == "refs/heads/other"
    assert str(back.path) in trained.git("worktree", "list")


def contents(tree: Repo) -> dict[str, bytes]:
    """Every file of a worktree but DVC's temporary ones."""
    files = (p for p in tree.path.rglob("*") if p.is_file() and ".dvc/tmp" not in str(p))
    return {str(p.relative_to(tree.path)): p.read_bytes() for p in files}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_new_interrupted(
    trained: Repo, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = state(trained)
    interrupt(monkeypatch, dvc_place.Linker, "copy", error)
    done = trained.xexp("worktree", "new", "a")
    assert done.code == (130 if isinstance(error, KeyboardInterrupt) else 128)
    assert "rolled back" in done.err or "No space left" in done.err
    assert state(trained) == before


def test_remove_interrupted(trained: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.xexp("worktree", "new", "a").good()
    before = state(trained), contents(tree_of(trained))
    interrupt(monkeypatch, remove, "_thin", KeyboardInterrupt())
    assert trained.xexp("worktree", "remove", "a").code == 130
    assert (state(trained), contents(tree_of(trained))) == before


@pytest.mark.parametrize("names", [("a", "a"), ("a", "b")])
def test_two_at_once(trained: Repo, names: tuple[str, str]) -> None:
    processes = [trained.forked("worktree", "new", name) for name in names]
    outputs = [process.done(timeout=60) for process in processes]
    codes = sorted(done.code for done in outputs)
    assert codes == ([0, 128] if names[0] == names[1] else [0, 0]), outputs
    for name in set(names):
        tree = tree_of(trained, name)
        assert tree.git("status", "--porcelain") == ""
        assert (tree / DB).read_bytes() == (trained / DB).read_bytes()
    if names[0] == names[1]:
        assert any(
            ("fatal: " in done.err and "exists" in done.err) or "checked out" in done.err
            for done in outputs
        )


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one megabyte; where nothing can be mounted, one that answers like it."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder, cwd=tmp_path).code == 0
    if not mounted:
        full = OSError(errno.ENOSPC, "No space left on device")
        interrupt(monkeypatch, dvc_place.Linker, "copy", full)
    yield folder
    if mounted:
        run("umount", folder, cwd=tmp_path).good()


def fill(disk: Path) -> None:
    """Leave no room on a disk of one megabyte."""
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(256):
            file.write(b"x" * 4096)


def test_disk_full(trained: Repo, small_disk: Path) -> None:
    trained.write("large.bin", os.urandom(1_100_000))
    trained.dvc("add", "large.bin")
    trained.commit("large")
    before = state(trained)
    for path in (small_disk / "a", small_disk / "b"):
        done = trained.xexp("worktree", "new", "a", "--path", path, "--link", "copy")
        assert done.code == 128 and "o space" in done.err and "hint: " in done.err, done.err
        fill(small_disk)
    assert state(trained) == before
    assert sorted(p.name for p in small_disk.iterdir()) == ["fill"]


def test_another_file_system(
    trained: Repo, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hard link is possible there: symbolic links; and a removed folder is kept beside."""
    monkeypatch.setattr(dvc_place, "COPIED_BYTES", 0)
    place = small_disk / "a"
    if not os.path.ismount(small_disk):
        place = trained.path.parent / "elsewhere"
        return_code = trained.xexp("worktree", "new", "a", "--path", place).code
        assert return_code == 128
        return
    done = trained.xexp("worktree", "new", "a", "--path", place, "--json").good().json()
    assert done["files"] == {"symlink": 1, "copy": 2}
    tree = Repo(place)
    assert "up to date" in tree.dvc("status")
    tree.write("more.txt", "more")
    assert trained.xexp("worktree", "remove", "a").code == 1
    trained.xexp("worktree", "remove", "a", "--force").good()
    assert [p.name for p in small_disk.iterdir()] == [".a.removed-2"]
    trained.xexp("undo").good()
    assert (tree / "more.txt").read_text() == "more" and "?? more.txt" in tree.git("status", "-s")
    assert [p.name for p in small_disk.iterdir()] == ["a"]


def test_as_an_ordinary_user(trained: Repo) -> None:
    """Without root's right to ignore permissions (dropped here when we are root): what is linked
    cannot be written to, everything else can."""
    drop = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()
    command = (*drop, sys.executable, "-m", "gitxexp", "worktree", "new", "a")
    run(*command, "--link", "hardlink", cwd=trained.path).good()
    tree = tree_of(trained)
    script = "open('data/train.csv', 'w')"
    done = run(*drop, sys.executable, "-c", script, cwd=tree.path)
    assert "PermissionError" in done.err
    for name in (DB, "models/production/model.bin"):
        run(*drop, sys.executable, "-c", f"open({name!r}, 'r+b').close()", cwd=tree.path).good()
    assert "up to date" in tree.dvc("status")
    locked = trained.path.parent / "locked"
    locked.mkdir(mode=0o500)
    done = run(*command[:-1], "b", "--path", locked / "b", cwd=trained.path)
    assert done.code == 128 and "ermission denied" in done.err
    assert xexp_inside("worktree", "list", "--json", cwd=trained.path).json()[-1]["name"] == "a"
