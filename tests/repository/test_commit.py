"""Commits leave the user's index as git itself would."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitxexp.repository import commit
from gitxexp.repository.repository import Project
from tests.helpers import Repo


def committed(repo: Repo, paths: Sequence[str], *, everything: bool = False) -> None:
    project = Project.open(repo.path)
    with project.operation("test") as running:
        commit.commit(project, running, paths, "one\n", verbatim=True, everything=everything)


def listed(repo: Repo) -> dict[str, str]:
    """The letter and the mode of each entry, by path, and whether it is HEAD's blob."""
    fields = repo.git("ls-files", "-s", "-v", "-z").split("\0")
    entries = (field.partition("\t") for field in fields if field)
    found = {}
    for meta, _, path in entries:
        letter, mode, oid, stage = meta.split(" ")
        head = "=" if oid in repo.git("ls-tree", "-r", "HEAD", "--", path) else "≠"
        found[path] = f"{letter} {mode} {stage} {head}"
    return found


@pytest.fixture
def files(repo: Repo) -> Repo:
    for name in "abcde":
        repo.write(f"src/{name}", f"{name}\n")
    repo.commit("files")
    return repo


def test_what_is_staged_stays_and_the_rest_is_as_the_commit(files: Repo) -> None:
    files.write("src/a", "changed")
    (files / "src/b").unlink()
    (files / "src/c").chmod(0o755)
    files.write("src/d", "staged").with_name("new").write_text("n")
    files.git("add", "src/d", "src/new")
    files.write("src/d", "later")
    files.git("add", "-N", files.write("src/intended", "i"))
    files.write("with\ttab\n", "odd")
    committed(files, ["src/a", "src/b", "src/c", "with\ttab\n"])
    assert files.git("status", "--porcelain").split("\n") == [
        "MM src/d", " A src/intended", "A  src/new",
    ]  # fmt: skip
    assert files.git("diff-files", "--name-only") == "src/d\nsrc/intended"  # no other is read anew
    assert "src/b" not in listed(files) and listed(files)["src/c"] == "H 100755 0 ="
    committed(files, [], everything=True)
    assert files.git("diff", "--name-only", "HEAD") == "src/intended\nsrc/new"
    files.xexp("undo", "--yes").good()
    assert files.git("diff", "--cached", "--name-only") == "src/d\nsrc/new"
    assert (files / "src/d").read_text() == "later"


def test_a_deleted_file_among_all_changes(files: Repo) -> None:
    (files / "src/a").unlink()
    committed(files, ["src/a"], everything=True)
    assert files.git("status", "--porcelain") == "" and "src/a" not in listed(files)


def test_a_split_index_a_sparse_one_and_flags_stay(files: Repo) -> None:
    """A hook changes entries of files that are not checked out, and adds one."""
    hook = 'for f in src/e out/f; do git update-index --add --cacheinfo 100644,"$b",$f; done'
    top = files.write("top", "t")
    files.git("add", "-A")
    files.git("commit", "-q", "-m", "top")
    files.git("sparse-checkout", "set", "--no-cone", "/top", "/src/a", "/src/b")
    files.git("update-index", "--assume-unchanged", "src/b")
    path = files.write(".git/hooks/pre-commit", f"#!/bin/sh\nb=$(git rev-parse :top)\n{hook}\n")
    path.chmod(0o755)
    for number, split in enumerate(("--no-split-index", "--split-index")):
        files.git("update-index", split)
        top.write_text(f"t{number}")
        committed(files, ["top"])
        assert (b"link\0" in (files / ".git/index").read_bytes()) is (split == "--split-index")
        assert files.git("status", "--porcelain") == ""
        assert listed(files) == {
            "README.md": "S 100644 0 =", "out/f": "S 100644 0 =", "src/a": "H 100644 0 =",
            "src/b": "h 100644 0 =", "src/c": "S 100644 0 =", "src/d": "S 100644 0 =",
            "src/e": "S 100644 0 =", "top": "H 100644 0 =",
        }  # fmt: skip
    assert not (files / "src/e").exists()


def test_a_file_that_is_only_renamed_over_is_its_own_backup(
    files: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for linked in (True, False):
        if not linked:

            def refused(*_: object, **__: object) -> None:
                raise OSError

            monkeypatch.setattr(os, "link", refused)
        path = files.write("file", "before")
        project = Project.open(files.path)
        with project.operation("test") as running:
            running.save_file(path, renamed=True)
            (backup,) = running.keep.iterdir()
            assert backup.samefile(path) is linked
            other = files.write("other", "after")
            running.about_to_replace(path, other)
            other.replace(path)
        assert (backup.read_text(), path.read_text()) == ("before", "after")
        files.xexp("undo", "--yes").good()
        assert path.read_text() == "before" and path.stat().st_nlink == 1


def test_a_link_of_what_was_never_replaced_is_removed(files: Repo) -> None:
    path: Path = files.write("file", "before")
    project = Project.open(files.path)
    with pytest.raises(KeyError), project.operation("test") as running:
        running.save_file(path, renamed=True)
        raise KeyError
    assert path.read_text() == "before" and path.stat().st_nlink == 1
