"""``git xexp get``: every kind of file, every place it can come from, and the user's own tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitxexp.storage.dvc.add import add
from gitxexp.storage.dvc.pointers import outputs_in
from gitxexp.storage.dvc.remote import push
from gitxexp.storage.dvc.session import init
from gitxexp.storage.objects import find_object
from tests.conftest import copy_template
from tests.helpers import Clock, Repo, run, xexp_inside

STRATEGIES = ["auto", "cache", "dvc", "worktree"]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def own(path: Path) -> bool:
    """A regular file of the user's own: writable, and no link of any kind."""
    return not path.is_symlink() and path.stat().st_nlink == 1 and os.access(path, os.W_OK)


def tree(repo: Repo) -> str:
    """What must never change: refs, index, status, stash, worktrees."""
    commands = (["for-each-ref"], ["ls-files", "-s"], ["status", "--porcelain"], ["stash", "list"],
                ["worktree", "list"])  # fmt: skip
    return "\n".join(repo.git(*command) for command in commands)


@pytest.fixture(scope="session")
def past_template(dvc_template: Path, sealed: Path) -> Path:
    """The folder that ``past`` copies."""
    Clock()
    folder = sealed / "past-template"
    made = copy_template(dvc_template, folder)
    for i in range(12):
        made.write(f"data/raw/{i % 3}/f{i}.txt", f"old {i}")
    made.write("models/m.bin", b"old weights" * 1000)
    made.write("src/train.sh", "#!/bin/sh\necho old\n").chmod(0o755)
    add(made.path, ["data/raw", "models/m.bin"])
    made.commit("old")
    push(made.path, outputs_in(made.path))
    made.git("tag", "-a", "-m", "old", "old")
    made.write("models/m.bin", b"new")
    made.write("src/train.sh", "new")
    add(made.path, ["models/m.bin"])
    made.commit("new")
    return folder


@pytest.fixture
def past(past_template: Path, tmp_path: Path) -> Repo:
    """Tag ``old`` with a model, a directory and a script; then all of it changed and committed."""
    return copy_template(past_template, tmp_path)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_gives_the_old_model(past: Repo, tmp_path: Path, strategy: str) -> None:
    before = tree(past)
    target = tmp_path / "m.bin"
    done = past.xexp("get", "old", "models/m.bin", "-o", target, "--strategy", strategy).good()
    assert target.read_bytes() == b"old weights" * 1000 and own(target)
    place = {"auto": "cache", "dvc": "remote store", "worktree": "temporary worktree"}
    assert done.out == f"{target}  11 kB  from {place.get(strategy, strategy)}\n"
    assert done.err == ""
    assert tree(past) == before
    assert (past / "models/m.bin").read_bytes() == b"new"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_gives_a_folder_a_part_of_it_and_one_file(
    past: Repo, tmp_path: Path, strategy: str
) -> None:
    def get(path: str, out: str) -> None:
        past.xexp("get", "old", path, "-o", tmp_path / out, "--strategy", strategy).good()

    get("data/raw", "all")
    assert sorted(p.name for p in (tmp_path / "all").rglob("*.txt")) == sorted(
        f"f{i}.txt" for i in range(12)
    )
    get("data/raw/1", "part")
    assert {p.name for p in (tmp_path / "part").iterdir()} == {
        "f1.txt",
        "f4.txt",
        "f7.txt",
        "f10.txt",
    }
    get("data/raw/2/f5.txt", "one")
    assert (tmp_path / "one").read_text() == "old 5"


def test_git_files_keep_their_mode_and_are_served_by_git(past: Repo, tmp_path: Path) -> None:
    target = tmp_path / "t.sh"
    done = past.xexp("get", "old", "src/train.sh", "-o", target).good()
    assert done.out.endswith("from git\n") and target.read_text() == "#!/bin/sh\necho old\n"
    assert os.access(target, os.X_OK) and own(target)


def test_a_mixed_folder_and_the_whole_tree(past: Repo, tmp_path: Path) -> None:
    past.xexp("get", "old", "data", "-o", tmp_path / "data").good()
    assert (tmp_path / "data/train.csv").is_file() and (tmp_path / "data/train.csv.dvc").is_file()
    done = past.xexp("get", "old", ".", "-o", tmp_path / "whole").good()
    assert (tmp_path / "whole/models/m.bin").stat().st_size == 11000
    assert len(done.out.splitlines()) == 2 and "files" in done.out


def test_several_paths_globs_and_default_names(past: Repo, tmp_path: Path) -> None:
    (past / "out").mkdir()
    done = xexp_inside("get", "old", "../models/m.bin", "params.yaml", cwd=past / "out")
    assert done.code == 0, done.err
    assert {p.name for p in (past / "out").iterdir()} == {"m.bin", "params.yaml"}
    past.xexp("get", "old", "data/raw/**/f1*.txt", "-o", tmp_path / "g").good()
    assert sorted(p.relative_to(tmp_path / "g").as_posix() for p in (tmp_path / "g").rglob("*.txt")) == [
        "1/f1.txt", "1/f10.txt", "2/f11.txt"]  # fmt: skip
    past.xexp("get", "old", "data/raw/[0]/*", "-o", tmp_path / "h").good()
    assert {p.name for p in (tmp_path / "h").rglob("*.txt")} == {
        "f0.txt",
        "f3.txt",
        "f6.txt",
        "f9.txt",
    }


def test_standard_output_carries_nothing_else(past: Repo) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gitxexp", "get", "old", "models/m.bin", "-o", "-"],
        cwd=past.path, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b"old weights" * 1000
    assert done.stderr == b"models/m.bin  11 kB  from cache\n"
    many = past.xexp("get", "old", "data/raw", "-o", "-")
    assert many.code == 129 and "only one file" in many.err


def test_an_existing_file_is_safe_without_force(past: Repo, tmp_path: Path) -> None:
    target = tmp_path / "m.bin"
    target.write_text("mine")
    refused = past.xexp("get", "old", "models/m.bin", "-o", target)
    assert refused.code == 128 and target.read_text() == "mine"
    assert refused.err.startswith(
        f"fatal: {target} exists already and differs\nhint: replace it: -f"
    )
    past.xexp("get", "old", "models/m.bin", "-o", target, "-f").good()
    assert target.stat().st_size == 11000
    again = past.xexp("get", "old", "models/m.bin", "-o", target).good()
    assert again.out.endswith("already there\n")


@pytest.mark.parametrize("link", ["hard", "symbolic"])
def test_a_link_into_the_cache_is_replaced_not_written_through(
    past: Repo, tmp_path: Path, link: str
) -> None:
    (out,) = [o for o in outputs_in(past.path) if o.path == "models/m.bin"]
    kept = find_object([past / ".dvc/cache"], out.oid or "")
    assert kept
    target = tmp_path / "m.bin"
    os.link(kept, target) if link == "hard" else target.symlink_to(kept)
    past.xexp("get", "old", "models/m.bin", "-o", target, "-f").good()
    assert own(target) and target.stat().st_size == 11000
    assert md5(kept) == out.oid


def test_a_folder_resumes_and_repairs_only_with_force(past: Repo, tmp_path: Path) -> None:
    past.xexp("get", "old", "data/raw", "-o", tmp_path / "d").good()
    kept = (tmp_path / "d/0/f0.txt").stat().st_ino
    (tmp_path / "d/1/f1.txt").unlink()
    facts = past.xexp("get", "old", "data/raw", "-o", tmp_path / "d", "--json").good().json()
    assert [f["path"] for f in facts["files"] if f["source"] != "there"] == ["data/raw/1/f1.txt"]
    assert (tmp_path / "d/0/f0.txt").stat().st_ino == kept
    (tmp_path / "d/1/f1.txt").write_text("old x")
    assert past.xexp("get", "old", "data/raw", "-o", tmp_path / "d").code == 128
    past.xexp("get", "old", "data/raw", "-o", tmp_path / "d", "-f").good()
    assert (tmp_path / "d/1/f1.txt").read_text() == "old 1"


def test_an_unknown_path_names_the_nearest(past: Repo, tmp_path: Path) -> None:
    wrong = past.xexp("get", "old", "model/m.bin", "-o", tmp_path / "x")
    assert wrong.code == 128 and "there is no 'model/m.bin' at " in wrong.err
    assert "hint:   models/m.bin" in wrong.err
    assert "data/raw/1/f1.txt" in past.xexp("get", "old", "f1.txt").err
    assert past.xexp("get", "old", "*.nothing").code == 128
    assert past.xexp("get", "nonsense", "x").code == 128
    assert not (tmp_path / "x").exists()


def test_links_in_git_lead_to_what_they_name(past: Repo, tmp_path: Path) -> None:
    (past / "latest").symlink_to("src/train.sh")
    (past / "loop").symlink_to("loop")
    (past / "best").symlink_to("models/m.bin")
    past.commit("links")
    past.xexp("get", "HEAD", "latest", "-o", tmp_path / "l").good()
    assert (tmp_path / "l").read_text() == "new" and own(tmp_path / "l")
    past.xexp("get", "HEAD", "best", "-o", tmp_path / "b").good()
    assert (tmp_path / "b").read_text() == "new"
    past.xexp("get", "HEAD", "loop", "-o", tmp_path / "loop").good()


def test_pipeline_outputs_wdir_subrepos_and_the_old_layout(past: Repo, tmp_path: Path) -> None:
    stage = "wdir: ../q\n    cmd: echo piped > out.txt\n    outs: [out.txt]\n"
    past.write("p/dvc.yaml", f"stages:\n  s:\n    {stage}")
    past.write("q/.keep", "")
    past.dvc("repro", "-q", "p/dvc.yaml")
    (past / "sub").mkdir()
    init(past / "sub")
    past.write("sub/d.bin", b"inner")
    add(past.path, ["sub/d.bin"])
    content = b"a\r\nb\r\n"
    oid = hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest()
    past.write(f".dvc/cache/{oid[:2]}/{oid[2:]}", content)
    past.write("w/old.dvc", f"wdir: ..\nouts:\n- md5: {oid}\n  size: 6\n  path: older.txt\n")
    past.commit("kinds")
    for path, text in {
        "q/out.txt": b"piped\n",
        "sub/d.bin": b"inner",
        "older.txt": content,
    }.items():
        target = tmp_path / Path(path).name
        past.xexp("get", "HEAD", path, "-o", target).good()
        assert target.read_bytes() == text


def test_an_import_comes_from_its_source(past: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "user")
    other.path.mkdir()
    other.git("init", "-q", "-b", "main")
    init(other.path)
    other.commit("init")
    other.dvc("import", "-q", str(past.path), "models/m.bin", "--rev", "old")
    other.commit("import")
    other.xexp("get", "HEAD", "m.bin", "-o", tmp_path / "a").good()
    assert md5(tmp_path / "a") == md5(other / "m.bin")
    shutil.rmtree(other / ".dvc/cache")
    (other / "m.bin").unlink()  # a work tree that has the bytes is nearer than the source
    done = other.xexp("get", "HEAD", "m.bin", "-o", tmp_path / "b").good()
    assert done.out.endswith("from temporary worktree\n")
    assert (tmp_path / "b").stat().st_size == 11000 and own(tmp_path / "b")


def test_from_a_linked_worktree_and_from_a_siblings_cache(past: Repo, tmp_path: Path) -> None:
    past.git("worktree", "add", "-q", str(tmp_path / "wt"), "HEAD")
    done = xexp_inside("get", "old", "models/m.bin", "-o", tmp_path / "m", cwd=tmp_path / "wt")
    assert done.good().out.endswith(f"from cache {past.path}/.dvc/cache\n")
    linked = tmp_path / "wt"
    (linked / "only.bin").write_bytes(b"only here")
    add(linked, ["only.bin"])
    Repo(linked).commit("only in the worktree's cache")
    commit = Repo(linked).head
    past.xexp("get", commit, "only.bin", "-o", tmp_path / "only").good()
    assert (tmp_path / "only").read_bytes() == b"only here"


def test_a_bad_name_for_a_folder_and_strange_file_names(past: Repo, tmp_path: Path) -> None:
    name = "dätä/ein \"Name\" mit 'allem'.txt"
    past.write(f"raw2/{name}", "x")
    add(past.path, ["raw2"])
    past.commit("names")
    past.xexp("get", "HEAD", f"raw2/{name}", "-o", tmp_path / "x").good()
    assert (tmp_path / "x").read_text() == "x"
    (tmp_path / "d").mkdir()
    past.xexp("get", "HEAD", "params.yaml", "-o", tmp_path / "d").good()
    assert (tmp_path / "d/params.yaml").is_file()


def test_get_of_a_cached_file_imports_no_dvc(past: Repo, tmp_path: Path) -> None:
    code = (
        "import sys; from gitxexp.entry import main;"
        f"code = main(['get', 'old', 'models/m.bin', '-o', {str(tmp_path / 'm')!r}]);"
        "print(code, [m for m in ('dvc', 'git', 'duckdb', 'pandas') if m in sys.modules])"
    )
    assert past.python("-c", code).good().out.splitlines()[-1] == "0 []"


def test_submodules_of_a_folder_are_named(tagged: Repo, tmp_path: Path) -> None:
    run("git", "init", "-q", "-b", "main", tmp_path / "lib", cwd=tmp_path).good()
    lib = Repo(tmp_path / "lib")
    lib.write("lib.py", "one = 1\n")
    lib.commit("one")
    tagged.git("submodule", "--quiet", "add", str(tmp_path / "lib"), "libs/lib")
    tagged.commit("a submodule")
    done = tagged.xexp("get", "HEAD", "libs", "-o", tmp_path / "out")
    assert done.code == 128 and "'libs/lib' is a submodule at HEAD" in done.err
    tagged.write("libs/own.py", "")
    tagged.commit("more")
    done = tagged.xexp("get", "HEAD", "libs", "-o", tmp_path / "out").good()
    assert done.err == "note: 'libs/lib' is left out: it is a submodule\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["own.py"]


def test_a_path_above_the_repository_is_named_as_it_was_typed(tagged: Repo) -> None:
    done = xexp_inside("get", "e0.1.0", "../../x", cwd=tagged / "data")
    assert done.err == "fatal: '../../x' is outside the repository\nhint: name a file of it\n"
