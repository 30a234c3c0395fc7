"""Paths in pointers and manifests that leave the work tree or go where git and DVC keep theirs."""

from __future__ import annotations

import pytest

from tests.security.hostile import Evil, git

PATHS = [
    "../outside/new", "{out}/new", ".git/hooks/post-merge", ".GIT/hooks/x", ".git./x", "sub/../.git/x",
    ".dvc/config", ".xexp/registry.db", "git~1/hooks/x", ".g\u200cit/x", "a\nb", "a\x1b[2J", "..",
    "a/../../outside/x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_of_an_output(evil: Evil, path: str) -> None:
    evil.pointer("p", evil.store(b"hacked"), path.format(out=evil.outside))
    evil.commit()
    before = git(evil.clone, "ls-files", "-s", ".dvc", ".xexp")
    evil.refused("worktree", "new", "x")
    evil.xexp("get", "HEAD", path.format(out=evil.outside))
    evil.xexp("get", "HEAD", ".", "-f")
    assert git(evil.clone, "ls-files", "-s", ".dvc", ".xexp") == before
    assert not (evil.clone / ".git/hooks/post-merge").exists()
    assert "hacked" not in (evil.clone / ".dvc/config").read_text()


@pytest.mark.parametrize("path", [*PATHS, ""])
def test_of_a_manifest(evil: Evil, path: str) -> None:
    evil.pointer("data", evil.folder(path.format(out=evil.outside), "good"), "data", 12)
    evil.commit()
    evil.refused("get", "HEAD", "data")
    evil.refused("worktree", "new", "x")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a", "./a/"), ("a/b/c", "a"), ("a//b", "a/b")])
def test_two_files_of_a_manifest_in_one_place(evil: Evil, names: tuple[str, str]) -> None:
    evil.pointer("data", evil.folder(*names), "data", 12)
    evil.commit()
    for verb in (["get", "HEAD", "data"], ["worktree", "new", "x"]):
        assert "twice" in evil.refused(*verb).err
    assert not (evil.base / "exp-x").exists()


def test_names_of_a_manifest_that_are_spelled_oddly(evil: Evil) -> None:
    evil.pointer("data", evil.folder("a//b", "./c", "d/"), "data", 18)
    evil.commit()
    assert evil.xexp("worktree", "new", "x").code == 0
    assert evil.xexp("get", "HEAD", "data").code == 0
    for tree in (evil.base / "exp-x", evil.clone):
        assert sorted(p.name for p in (tree / "data").rglob("*") if p.is_file()) == ["b", "c", "d"]


@pytest.mark.parametrize("wdir", ["../outside", "{out}", ".git", "sub/../../outside", ".git/hooks"])
def test_a_working_directory(evil: Evil, wdir: str) -> None:
    evil.pointer("p", evil.store(b"hacked"), "new", wdir=wdir.format(out=evil.outside))
    evil.commit()
    evil.refused("worktree", "new", "x")
    evil.refused("get", "HEAD", "new")
    assert not (evil.clone / ".git/new").exists()


def test_a_good_output_beside_a_bad_one(evil: Evil) -> None:
    """DVC is given pointers by name and would write all of their outputs."""
    oid = evil.store(b"hacked")
    evil.write(
        "p.dvc",
        f"outs:\n- md5: {oid}\n  size: 6\n  hash: md5\n  path: good\n"
        f"- md5: {oid}\n  size: 6\n  hash: md5\n  path: {evil.outside}/new\n",
    )
    evil.commit()
    evil.xexp("get", "HEAD", "good", "--strategy", "worktree")
    evil.xexp("worktree", "new", "x")


def test_an_import_of_a_local_file(evil: Evil) -> None:
    evil.write("p.dvc", f"deps:\n- path: {evil.outside}/id_rsa\nouts:\n- path: p\n  hash: md5\n")
    evil.commit()
    evil.refused("get", "HEAD", "p")
    evil.refused("worktree", "new", "x")


def test_outputs_that_stay_inside(evil: Evil) -> None:
    oid = evil.store(b"hacked")
    evil.pointer("sub/p", oid, "data/x", wdir="..")
    evil.pointer("q", oid, "sub/../y")
    evil.commit()
    assert evil.xexp("worktree", "new", "x").code == 0
    assert (evil.base / "exp-x/data/x").read_bytes() == b"hacked"
    assert (evil.base / "exp-x/y").read_bytes() == b"hacked"
