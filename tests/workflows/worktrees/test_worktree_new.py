"""``worktree new`` against real git and real DVC."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import Repo
from tests.workflows.worktrees.worktree_tools import CACHE, cached, state, tree_of

DB = "results/experiments.db"


def test_ready_shared_and_clean(trained: Repo) -> None:
    before = trained.git("status", "--porcelain", "--ignored")
    done = trained.xexp("worktree", "new", "a").good()
    assert done.out == (
        f"exp-a on branch exp/a, from HEAD ({trained.head[:7]})\n"
        "3 outputs ready: 3 copied\n"
        "cd ../exp-a\n"
    )
    tree = tree_of(trained)
    for path in ("data/train.csv", "models/production/model.bin", DB):
        file = tree / path
        assert file.stat().st_nlink == 1 and file.stat().st_mode & 0o600 == 0o600
        assert file.read_bytes() == (trained / path).read_bytes()
    assert tree.git("symbolic-ref", "HEAD") == "refs/heads/exp/a"
    assert tree.git("status", "--porcelain") == ""
    assert trained.git("status", "--porcelain", "--ignored") == before
    assert "up to date" in tree.dvc("status")


def test_dvc_works_in_it(trained: Repo) -> None:
    trained.xexp("worktree", "new", "a").good()
    tree = tree_of(trained)
    assert tree.dvc("checkout").strip() == ""
    with sqlite3.connect(tree / DB) as db:
        db.execute("DELETE FROM predictions")
    db.close()
    tree.write("new.bin", b"new" * 100)
    tree.write(
        "dvc.yaml", "stages:\n  s:\n    cmd: cp data/train.csv out.csv\n    outs: [out.csv]\n"
    )
    tree.dvc("add", "new.bin")
    tree.dvc("repro")
    assert cached(tree, "new.bin").exists() is False
    assert len(list((trained / CACHE).rglob(cached(tree, "new.bin").name))) == 1
    tree.dvc("checkout", "--force", DB)
    assert (tree / DB).read_bytes() == (trained / DB).read_bytes()
    tree.git("checkout", "-q", "--detach", "HEAD~1")
    tree.dvc("checkout")
    assert not (tree / "models/production/model.bin").exists()


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_link_types(trained: Repo, link: str) -> None:
    done = trained.xexp("worktree", "new", "a", "--link", link, "--json").good().json()
    tree = tree_of(trained)
    data, model = tree / "data/train.csv", tree / "models/production/model.bin"
    assert done["files"] == ({"copy": 3} if link == "copy" else {link: 1, "copy": 2})
    assert data.is_symlink() == (link == "symlink")
    assert (data.stat().st_ino == cached(trained, "data/train.csv").stat().st_ino) == (
        link != "copy"
    )
    for file in (model, tree / DB):
        assert not file.is_symlink() and file.stat().st_nlink == 1
        assert file.stat().st_mode & 0o200
    assert "up to date" in tree.dvc("status")


def test_a_link_type_that_is_not_possible(trained: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reflink where the file system has none is an error if asked for, else the next is taken."""
    from gitxexp.storage.dvc import place

    def none(*_args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(place, "reflink", none)
    before = state(trained)
    done = trained.xexp("worktree", "new", "a", "--link", "reflink")
    assert done.code == 128 and "reflink is not possible" in done.err
    assert "hint: --link auto takes the best that is possible" in done.err
    assert state(trained) == before
    monkeypatch.setattr(place.os, "link", none)
    monkeypatch.setattr(place, "COPIED_BYTES", 0)
    assert trained.xexp("worktree", "new", "a", "--json").good().json()["files"] == {
        "symlink": 1,
        "copy": 2,
    }


def test_small_data_is_copied_and_large_data_linked(
    trained: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs of the least bytes first, as far as the limit reaches."""
    from gitxexp.storage.dvc import place

    trained.write("data/large.bin", b"x" * 5000)
    trained.dvc("add", "data/large.bin")
    trained.commit("large")
    monkeypatch.setattr(place, "COPIED_BYTES", 4999)
    done = trained.xexp("worktree", "new", "a").good()
    tree = tree_of(trained)
    assert (tree / "data/large.bin").samefile(cached(trained, "data/large.bin"))
    assert (tree / "data/train.csv").stat().st_nlink == 1
    assert "4 outputs ready: 1 hard links, 3 copied" in done.out
    assert "note: large data files are links into the DVC cache" in done.err


def test_writing_in_place_reaches_no_cache(trained: Repo) -> None:
    """``open(path, "wb")`` and ``"r+b"``, as training scripts do, by whoever may write anything."""
    trained.write("models/candidates/a.pkl", b"a model" * 100)
    trained.write("eval/scores.json", '{"f1": 0.5}')
    trained.write("plots/loss.csv", "step,loss\n1,0.5\n")
    trained.write(
        "dvc.yaml",
        "stages:\n  prepare:\n    cmd: cp data/train.csv clean.csv\n    outs: [clean.csv]\n",
    )
    trained.dvc("repro", "-q")
    trained.dvc("add", "models/candidates", "eval", "plots")
    trained.commit("outputs of all kinds")
    trained.xexp("worktree", "new", "a").good()
    tree = tree_of(trained)
    objects = {path: path.read_bytes() for path in (trained / CACHE).rglob("*") if path.is_file()}
    mine = [
        "models/candidates/a.pkl", "models/production/model.bin", "eval/scores.json", "plots/loss.csv",
        "clean.csv", "data/train.csv", DB,
    ]  # fmt: skip
    for name in mine:
        with (tree / name).open("r+b") as file:
            file.write(b"in place")
        (tree / name).write_bytes(b"from the start")
    assert {path: path.read_bytes() for path in objects} == objects


def test_objects_are_restored_from_work_trees(trained: Repo) -> None:
    """One gone, one damaged, and the list of a folder: the files of this work tree have the bytes."""
    trained.write("models/candidates/a.pkl", b"a model" * 100)
    trained.dvc("add", "models/candidates")
    trained.commit("candidates")
    model, folder = "models/production/model.bin", cached(trained, "models/candidates")
    cached(trained, model).unlink()
    for path in (folder, cached(trained, "data/train.csv")):
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    done = trained.xexp("worktree", "new", "a", "--no-fetch").good()
    tree = tree_of(trained)
    for name in (model, "models/candidates/a.pkl", "data/train.csv"):
        assert (tree / name).read_bytes() == (trained / name).read_bytes()
    assert done.err.count("a cache object was restored from a work tree") == 3
    assert "up to date" in tree.dvc("status")


def test_data_comes_from_the_remote_of_today(trained: Repo, tmp_path: Path) -> None:
    """HEAD names another remote than the version, whose remote is gone."""
    old = trained.head
    assert trained.remote
    trained.remote.rename(tmp_path / "moved")
    trained.dvc("remote", "add", "-f", "-d", "fresh", str(tmp_path / "moved"))
    trained.dvc("remote", "remove", "store")
    trained.commit("the remote moved")
    for path in ("models/production/model.bin", "data/train.csv", DB):
        cached(trained, path).unlink()
        (trained / path).unlink()
    done = trained.xexp("worktree", "new", "a", "--at", old).good()
    assert (tree_of(trained) / "models/production/model.bin").is_file(), done.err


def test_from_a_version_and_an_existing_branch(trained: Repo) -> None:
    first = trained.git("rev-parse", "HEAD~1")
    trained.git("tag", "e0.1.0", first)
    done = trained.xexp("worktree", "new", "a", "e0.1.0", "--json").good().json()
    assert done["commit"] == first and done["outputs"] == 1
    trained.git("branch", "mine", first)
    done = trained.xexp("worktree", "new", "b", "--branch", "mine", "--json").good().json()
    assert (done["branch"], done["commit"]) == ("mine", first)
    done = trained.xexp("worktree", "new", "c", "--branch", "fresh", "--json").good().json()
    assert (done["branch"], done["commit"]) == ("fresh", trained.head)


def test_refusals_leave_nothing_behind(trained: Repo) -> None:
    trained.git("branch", "taken")
    trained.git("branch", "exp/b")
    trained.write("../exp-folder/file", "mine")
    trained.xexp("worktree", "new", "a").good()
    before = state(trained)
    for args, code, message in (
        (("a",), 128, "branch exp/a is checked out in"),
        (("b",), 128, "branch exp/b exists already"),
        (("folder",), 128, "exp-folder exists already"),
        (("x..y",), 129, "is not a name that a branch can have"),
        (("",), 129, "an argument is empty"),
        (("c", "--at", "nowhere"), 128, "nowhere"),
        (("c", "HEAD", "--at", "HEAD"), 129, "HEAD and --at HEAD cannot be used together"),
        (("c", "--branch", "main"), 128, "branch main is checked out in"),
        (("c", "--branch", "taken", "--at", "HEAD~1"), 128, "is not at HEAD~1"),
        (("c", "--branch", "taken/below"), 128, "git worktree add refused"),
        (("c", "--path", "/proc/nope"), 128, ""),
    ):
        done = trained.xexp("worktree", "new", *args)
        assert (done.code, message in done.err) == (code, True), (args, done.err)
        assert "hint:" in done.err and state(trained) == before, args


def test_without_commits_and_without_dvc(tmp_path: Path, repo: Repo) -> None:
    empty = Repo(tmp_path / "empty")
    empty.path.mkdir()
    empty.git("init", "-q")
    done = empty.xexp("worktree", "new", "a")
    assert done.code == 128 and "no commits yet" in done.err
    done = repo.xexp("worktree", "new", "a").good()
    assert "no data is tracked by DVC there" in done.out


def test_missing_objects_are_fetched_or_named(trained: Repo) -> None:
    model = cached(trained, "models/production/model.bin")
    model.unlink()
    (trained / "models/production/model.bin").unlink()
    done = trained.xexp("worktree", "new", "a", "--no-fetch")
    assert done.code == 1
    assert (
        "missing: models/production/model.bin\nerror: worktree created, but it lacks 1 file"
        in done.err
    )
    assert "3 outputs incomplete" in done.out and (tree_of(trained) / "data/train.csv").exists()
    done = trained.xexp("worktree", "new", "b", "--json").good().json()
    assert (done["fetched"], done["missing"]) == (1, [])
    assert model.exists()


def test_objects_that_nobody_has(trained: Repo) -> None:
    name = "models/production/model.bin"
    cached(trained, name).unlink()
    (trained / name).unlink()
    assert trained.remote
    trained.remote.rename(trained.remote.with_name("unplugged"))
    done = trained.xexp("worktree", "new", "a")
    assert done.code == 1 and f"missing: {name}\n" in done.err
    trained.dvc("remote", "modify", "--local", "store", "url", "s3://no-such-bucket/x")
    trained.dvc("remote", "modify", "--local", "store", "endpointurl", "http://127.0.0.1:9")
    done = trained.xexp("worktree", "new", "b")
    assert done.code == 128 and f"missing: {name}\n" in done.err and "note: " in done.err


def test_damaged_objects_are_replaced_from_the_remote(dvc_repo: Repo) -> None:
    for name in ("one", "two"):
        dvc_repo.write(f"many/{name}.txt", name * 50)
    dvc_repo.dvc("add", "many")
    dvc_repo.dvc("push")
    dvc_repo.commit("many")
    single = cached(dvc_repo, "data/train.csv")
    manifest = cached(dvc_repo, "many")
    entry = json.loads(manifest.read_bytes())[0]["md5"]
    inside = dvc_repo / CACHE / "files/md5" / entry[:2] / entry[2:]
    contents = {path: path.read_bytes() for path in (single, manifest, inside)}
    for path in ("data/train.csv", "many/one.txt", "many/two.txt"):
        (dvc_repo / path).unlink()
    for damage in (single, inside, manifest):
        damage.chmod(0o644)
        damage.write_bytes(contents[damage][:-7])
        done = dvc_repo.xexp("worktree", "new", f"x{damage.name[:6]}", "--no-fetch")
        assert done.code == 1 and damage.read_bytes() == contents[damage][:-7]
        done = dvc_repo.xexp("worktree", "new", f"y{damage.name[:6]}").good()
        assert "a damaged cache object was replaced" in done.err
        assert damage.read_bytes() == contents[damage]
        for path in dvc_repo.path.parent.glob("exp-*/*/*.*"):
            if path.suffix in (".csv", ".txt"):
                path.unlink()


def test_a_database_written_through_a_link_is_not_handed_on(trained: Repo) -> None:
    """Same size, same mode, other content: only a hash shows it."""
    kept = cached(trained, DB)
    content = kept.read_bytes()
    (trained / DB).unlink()
    kept.chmod(0o644)
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = trained.xexp("worktree", "new", "a").good()
    assert "a damaged cache object was replaced" in done.err
    assert (tree_of(trained) / DB).read_bytes() == content


def test_undo_of_new(trained: Repo) -> None:
    before = state(trained)
    trained.xexp("worktree", "new", "a").good()
    trained.xexp("undo").good()
    assert state(trained) == before
    trained.xexp("worktree", "new", "a").good()
    tree_of(trained).write("notes.txt", "mine")
    done = trained.xexp("undo")
    assert done.code == 1 and "has changes" in done.err
    trained.xexp("undo", "--force").good()
    assert state(trained) == before
    assert (trained / ".git/xexp/rescued/exp-a/notes.txt").read_text() == "mine"


def test_undo_of_one_with_relative_paths(trained: Repo) -> None:
    """As git 2.48 makes it with worktree.useRelativePaths."""
    trained.xexp("worktree", "new", "a").good()
    tree = tree_of(trained)
    admin = (tree / ".git").read_text().removeprefix("gitdir: ").strip()
    tree.write(".git", f"gitdir: {os.path.relpath(admin, tree.path)}\n")
    trained.xexp("undo").good()
    assert not tree.path.exists() and trained.git("worktree", "list").count("\n") == 0


def test_undo_does_not_pull_the_floor_away(trained: Repo) -> None:
    trained.xexp("worktree", "new", "a").good()
    done = tree_of(trained).xexp("undo")
    assert done.code == 1 and "you are in" in done.err and (tree_of(trained) / DB).exists()


def test_executables_and_empty_files(dvc_repo: Repo) -> None:
    dvc_repo.write("tool.sh", "#!/bin/sh\n").chmod(0o755)
    dvc_repo.write("empty/nothing", "")
    dvc_repo.write("empty/something", "x")
    dvc_repo.dvc("add", "tool.sh", "empty")
    dvc_repo.commit("tool")
    dvc_repo.xexp("worktree", "new", "a").good()
    tree = tree_of(dvc_repo)
    assert (tree / "tool.sh").stat().st_mode & 0o111 == 0o111
    assert (tree / "empty/nothing").read_bytes() == b""
    assert "up to date" in tree.dvc("status")


def test_progress_on_a_terminal_only(trained: Repo) -> None:
    """Drawn on standard error where that is a terminal, wiped at the end; paths stay clean."""
    main, other = pty.openpty()
    command = [sys.executable, "-m", "gitxexp", "worktree", "new", "a", "--print-path"]
    env = {**os.environ, "TERM": "xterm", "GIT_PROGRESS_DELAY": "0"}
    done = subprocess.run(command, cwd=trained.path, stdout=subprocess.PIPE, stderr=other, env=env)
    os.close(other)
    shown = os.read(main, 10_000).decode()
    os.close(main)
    assert done.stdout.decode() == f"{tree_of(trained).path}\n"
    assert "\ra: " in shown and shown.endswith(" \r")
    assert trained.xexp("worktree", "new", "b", "--print-path").good().err == ""


def test_several_names_make_several(trained: Repo) -> None:
    made = trained.xexp("worktree", "new", "a", "b", "c", "--at", "HEAD", "--json").good().json()
    assert [tree["name"] for tree in made] == ["a", "b", "c"]
    assert all((Path(tree["path"]) / ".dvc" / "config.local").is_file() for tree in made)
    out = trained.xexp("worktree", "new", "wide", "deep").good().out
    assert "exp-wide on branch exp/wide" in out and "exp-deep on branch exp/deep" in out
    before = state(trained)
    for words, code, message in (
        (("d", "e0.9.0"), 128, "e0.9.0"),  # a version that is not there is no name
        (("d", "exp/wie"), 128, "exp/wie"),
        (("d", "f", "g", "--path", "x"), 129, "of one worktree"),
        (("d", "b", "f", "--json"), 128, "exp/b is checked out"),  # the one before it is not made
        (("d", "f", "d"), 129, "'d' is given twice"),
    ):
        done = trained.xexp("worktree", "new", *words)
        assert (done.code, message in done.err) == (code, True), (words, done.err)
        assert state(trained) == before


def test_dvc_knows_each_of_several(trained: Repo) -> None:
    """Its own records are what its own checkout would write: no file is hashed again, and all of
    its outputs are its own to remove."""
    from gitxexp.storage.dvc.session import opened
    from gitxexp.storage.dvc.stat_cache import StatCache, key_of

    trained.write("images/a.txt", "a").with_name("b.txt").write_text("b")
    trained.dvc_add("images")
    trained.commit("a folder")
    for path in (trained / ".dvc/cache").rglob("*"):
        os.utime(path, (1e9, 1e9))  # our own cache trusts no file that has just changed
    trained.xexp("worktree", "new", "a", "b", "c", "--link", "hardlink").good()
    trained.write(".dvcignore", "*.tmp\n")
    trained.commit("rules, which DVC itself follows")
    trained.xexp("worktree", "new", "d").good()
    stats = StatCache(trained / ".git/xexp/stat.db")
    for name in "abc":
        linked = trained.path.parent / f"exp-{name}/images/a.txt"
        known = stats.get(str(linked), key_of(linked.stat()))
        assert known == "0cc175b9c0f1b6a831c399e269772661" and linked.stat().st_nlink > 3
    stats.close()
    outputs = {"data/train.csv", "models/production/model.bin", DB, "images"}
    for name in "abcd":
        tree = trained.path.parent / f"exp-{name}"
        with opened(tree, "look") as dvc:
            paths = [out.fs_path for out in dvc.index.outs]
            listed = [file for path in paths for file in [*dvc.fs.find(path)] or [path]]
            assert len(listed) == 5
            for file in listed:
                assert dvc.state.get(file, dvc.fs)[1] is not None, file
            unused = dvc.state.get_unused_links([], dvc.fs)
            assert set(unused) == outputs and len(dvc.state.links) == 4
            assert len(dvc.state.hashes) == 5 and not dvc.state.hashes.check()


def test_a_file_that_git_has_is_not_dvcs_to_remove(trained: Repo) -> None:
    from gitxexp.storage.dvc.session import opened

    trained.write("data/train.csv", "another\n")
    trained.git("add", "-f", "data/train.csv")
    trained.commit("in git, too")
    trained.xexp("worktree", "new", "a", "b").good()
    for name in "ab":
        tree = trained.path.parent / f"exp-{name}"
        assert (tree / "data/train.csv").read_text() == "another\n"
        with opened(tree, "look") as dvc:
            (changed,) = dvc.status().values()
            assert changed == [{"changed outs": {"data/train.csv": "modified"}}]
            assert "data/train.csv" not in dvc.state.links
