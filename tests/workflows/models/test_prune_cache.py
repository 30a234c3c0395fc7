"""``git xexp prune --cache``, ``--worktrees`` and ``--explore``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import Repo
from tests.workflows.models.model_tools import (
    FOLDER,
    PRODUCTION,
    cache_object,
    candidate,
    content,
    models,
)


def junk(repo: Repo, data: bytes = b"nothing refers to this") -> Path:
    """An object in the cache that nothing refers to any more."""
    repo.write("junk.bin", data)
    repo.dvc("add", "junk.bin")
    (repo / "junk.bin").unlink()
    (repo / "junk.bin.dvc").unlink()
    shutil.move(repo / ".gitignore", repo / ".gitignore.was")
    repo.git("checkout", "-q", "--", ".gitignore")
    (repo / ".gitignore.was").unlink()
    return cache_object(repo, data)


def test_only_what_nothing_refers_to_goes(modelled: Repo) -> None:
    old = junk(modelled)
    size = old.stat().st_size
    done = modelled.xexp("prune", "--cache", "-n").good()
    assert done.out.startswith(f"would free {size} bytes")
    assert old.is_file()
    done = modelled.xexp("prune", "--cache", "--json").good().json()
    assert (done["objects"], done["freed"]) == (1, size)
    assert not old.exists()
    for run in ("run-lr-0.01", "run-lr-0.1", "run-lr-1.0"):
        assert cache_object(modelled, content(run)).is_file()
    assert "freed 0 bytes" in modelled.xexp("prune", "--cache").good().out
    modelled.dvc("checkout")


def tracked(repo: Repo, data: bytes) -> Path:
    """Data that DVC tracks as ``extra.bin``, with its pointer in the work tree; its cache object."""
    repo.write("extra.bin", data)
    repo.dvc("add", "extra.bin")
    return cache_object(repo, data)


def test_every_kind_of_reference_keeps_its_objects(modelled: Repo, tmp_path: Path) -> None:
    kept = []
    for name in ("tag", "branch", "remote branch", "note"):
        data = f"by a {name}".encode()
        modelled.git("checkout", "-q", "--detach", "main")
        kept.append(tracked(modelled, data))
        modelled.commit(name)
        refs = {"tag": "refs/tags/t", "branch": "refs/heads/b", "note": "refs/other/n",
                "remote branch": "refs/remotes/origin/x"}  # fmt: skip
        modelled.git("update-ref", refs[name], "HEAD")
    modelled.git("checkout", "-q", "-f", "main")
    modelled.git("clean", "-fdq")
    for data in (b"an old stash", b"a stash"):
        kept.append(tracked(modelled, data))
        modelled.git("stash", "-q", "-u")
    kept.append(tracked(modelled, b"only in the index"))
    modelled.git("add", "extra.bin.dvc", ".gitignore")
    kept.append(tracked(modelled, b"only a file"))
    modelled.xexp("worktree", "new", "w").good()
    tree = Repo(tmp_path / "exp-w", modelled.remote)
    tree.write("extra.bin", b"in a worktree")
    tree.dvc("add", "extra.bin")
    kept.append(cache_object(modelled, b"in a worktree"))
    modelled.git("worktree", "add", "-q", "--detach", str(tmp_path / "gone"), "main")
    gone = Repo(tmp_path / "gone")
    shutil.copy(modelled / ".dvc/config", gone / ".dvc/config")
    gone.write(".dvc/config.local", f"[cache]\n    dir = {modelled / '.dvc/cache'}\n")
    gone.write("extra.bin", b"in a detached worktree whose folder is gone")
    gone.dvc("add", "extra.bin")
    gone.git("add", "extra.bin.dvc")
    gone.git("commit", "-qm", "x")
    kept.append(cache_object(modelled, b"in a detached worktree whose folder is gone"))
    shutil.rmtree(gone.path)
    old = junk(modelled)
    assert all(path.is_file() for path in kept)
    modelled.xexp("prune", "--cache").good()
    assert [path.is_file() for path in kept] == [True] * len(kept)
    assert not old.exists()


def test_a_pointer_with_conflict_markers_still_keeps(modelled: Repo) -> None:
    kept = tracked(modelled, b"in conflict")
    text = (modelled / "extra.bin.dvc").read_text()
    modelled.write("extra.bin.dvc", f"<<<<<<< ours\n{text}=======\nouts:\n>>>>>>> theirs\n")
    modelled.git("add", "-A")
    modelled.git("commit", "-qm", "conflict")
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.models import cache

    used = cache.used_objects(Project.open(modelled.path))
    assert kept.parent.name + kept.name in used.oids


def test_what_undo_needs_stays(modelled: Repo) -> None:
    before = models(modelled)
    modelled.write(PRODUCTION, b"another")
    modelled.xexp("promote", "--best", "f1", "-y").good()
    modelled.xexp("prune", "--cache").good()
    modelled.xexp("undo").good()
    modelled.dvc("checkout", "-f")
    assert models(modelled) == before


def test_a_list_of_files_that_is_nowhere_stops_it(modelled: Repo) -> None:
    text = (modelled / f"{FOLDER}.dvc").read_text()
    oid = next(line.split()[-1] for line in text.splitlines() if ".dir" in line)
    (modelled / f".dvc/cache/files/md5/{oid[:2]}/{oid[2:]}").unlink()
    old = junk(modelled)
    (modelled / candidate("run-lr-0.01")).unlink()  # else the list is made anew from the files
    done = modelled.xexp("prune", "--cache")
    assert done.code == 1
    assert f"the list of files {oid} is in no cache" in done.err
    assert old.is_file()
    assert cache_object(modelled, content("run-lr-0.1")).is_file()
    modelled.xexp("prune", "--cache", "--force").good()
    assert not old.exists()


def test_a_list_of_files_is_read_from_the_remote(modelled: Repo) -> None:
    modelled.dvc("push")
    text = (modelled / f"{FOLDER}.dvc").read_text()
    oid = next(line.split()[-1] for line in text.splitlines() if ".dir" in line)
    (modelled / f".dvc/cache/files/md5/{oid[:2]}/{oid[2:]}").unlink()
    old = junk(modelled)
    modelled.xexp("prune", "--cache").good()
    assert not old.exists()
    assert cache_object(modelled, content("run-lr-0.1")).is_file()


def test_a_cache_that_others_may_share_needs_their_names(modelled: Repo, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shutil.copytree(modelled / ".dvc/cache", shared)
    modelled.dvc("cache", "dir", "--local", str(shared))
    other = Repo(tmp_path / "other")
    other.path.mkdir()
    other.git("init", "-q", "-b", "main")
    other.dvc("init")
    other.dvc("cache", "dir", "--local", str(shared))
    other.write("theirs.bin", b"theirs")
    other.dvc("add", "theirs.bin")
    other.commit("theirs")
    digest = next(line.split()[-1] for line in (other / "theirs.bin.dvc").read_text().splitlines()
                  if "md5:" in line)  # fmt: skip
    theirs = shared / "files/md5" / digest[:2] / digest[2:]
    done = modelled.xexp("prune", "--cache")
    assert done.code == 1
    assert "lies outside this repository: other projects may use it" in done.err
    modelled.xexp("prune", "--cache", "--project", str(other.path)).good()
    assert theirs.is_file()
    done = modelled.xexp("prune", "--cache", "--project", ".").good()
    assert "1 object unused" in done.out
    assert not theirs.exists()


def test_while_dvc_is_at_work_it_waits_for_another_time(modelled: Repo) -> None:
    old = junk(modelled)
    from gitxexp.storage.dvc.add import exclusively

    with exclusively([modelled.path]):
        done = modelled.forked("prune", "--cache", "-n").done()
    assert done.code == 128
    assert "another DVC process is at work" in done.err
    assert old.is_file()


# -- worktrees -----------------------------------------------------------------------------------------


def test_finished_worktrees_go_and_others_stay(modelled: Repo, tmp_path: Path) -> None:
    for name in ("done", "fresh"):
        modelled.xexp("worktree", "new", name).good()
    tree = Repo(tmp_path / "exp-done", modelled.remote)
    tree.write("train.py", "print('finished')\n")
    tree.xexp("tag", "-a", "-m", "finished").good()
    tree.dvc("push")
    done = modelled.xexp("prune", "--worktrees", "-n").good()
    rows = [line.split("\t") for line in done.out.splitlines()[1:]]
    assert {row[1]: row[0] for row in rows} == {"done": "remove", "fresh": "keep"}
    assert tree.path.exists()
    done = modelled.xexp("prune", "--worktrees", "--json").good().json()
    assert {row["name"]: row["removed"] for row in done} == {"done": True, "fresh": False}
    assert not tree.path.exists()
    assert (tmp_path / "exp-fresh").exists()
    modelled.xexp("undo").good()
    assert (tree / "train.py").read_text() == "print('finished')\n"


def test_unchanged_explorers_go_and_changed_ones_stay(modelled: Repo, tmp_path: Path) -> None:
    modelled.xexp("explore", "checkout", "e0.1.0").good()
    tree = tmp_path / "explore-e0.1.0"
    (tree / "notes.txt").write_text("mine")
    modelled.xexp("prune", "--explore").good()
    assert (tree / "notes.txt").read_text() == "mine"
    (tree / "notes.txt").unlink()
    done = modelled.xexp("prune", "--explore").good()
    assert "removed 1 of 1 worktree" in done.out
    assert not tree.exists()


@pytest.mark.parametrize("option", ["--worktrees", "--explore"])
def test_without_any_worktree(modelled: Repo, option: str) -> None:
    assert modelled.xexp("prune", option).good().out == "removed 0 of 0 worktrees\n"
    assert candidate("run-lr-0.1") in models(modelled)
