"""Worktrees of a repository with a submodule."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import Repo, run


def test_submodules(tagged: Repo, tmp_path: Path) -> None:
    run("git", "init", "-q", "--bare", "-b", "main", tmp_path / "lib.git", cwd=tmp_path).good()
    run("git", "clone", "-q", tmp_path / "lib.git", tmp_path / "lib", cwd=tmp_path).good()
    lib = Repo(tmp_path / "lib")
    lib.write("lib.py", "one = 1\n")
    lib.commit("one")
    lib.git("push", "-q", "origin", "HEAD:main")
    tagged.git("submodule", "--quiet", "add", str(tmp_path / "lib.git"), "libs/lib")
    tagged.commit("a submodule")
    done = tagged.xexp("worktree", "new", "empty").good()
    assert "note: empty submodules: libs/lib; to fill them: git -C " in done.err
    tagged.xexp("worktree", "remove", "empty", "--force").good()
    done = tagged.xexp("worktree", "new", "w", "--recurse-submodules").good()
    tree = Repo(tagged.path.parent / "exp-w")
    assert done.err == "" and (tree / "libs/lib/lib.py").read_text() == "one = 1\n"
    sub = Repo(tree / "libs/lib")
    sub.write("lib.py", "two = 2\n")
    done = tagged.xexp("worktree", "remove", "w")
    assert done.code == 1 and "uncommitted changes: libs/lib" in done.out
    sub.commit("two")
    tree.commit("two")
    done = tagged.xexp("worktree", "remove", "w")
    assert (
        done.code == 1 and "submodules 1 commit is on no remote of submodule libs/lib" in done.out
    )
    assert f"git -C {sub.path} push" in done.err
    sub.git("push", "-q", "origin", "HEAD:main")
    done = tagged.xexp("worktree", "remove", "w")
    assert "a remote holds every commit of the submodules" in done.out
    tagged.xexp("worktree", "remove", "w", "--force").good()
    assert not tree.path.exists()
    tagged.xexp("undo").good()
    assert (tree / "libs/lib/lib.py").read_text() == "two = 2\n"
    assert sub.git("log", "--format=%s") == "two\none"
