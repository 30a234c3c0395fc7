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
    assert "every commit of the submodules is elsewhere, too" in done.out
    tagged.xexp("worktree", "remove", "w", "--force").good()
    assert not tree.path.exists()
    tagged.xexp("undo").good()
    assert (tree / "libs/lib/lib.py").read_text() == "two = 2\n"
    assert sub.git("log", "--format=%s") == "two\none"
    # in the main work tree: what no commit can hold is not tagged, what nobody else has is said
    here = Repo(tagged / "libs/lib")
    here.write("lib.py", "three = 3\n")
    for verb in (("tag", "-a"), ("tag", "-a", "--dry-run"), ("run", "-a", "--", "true")):
        failed = tagged.xexp(*verb)
        assert failed.code == 128 and failed.err.startswith(
            "fatal: submodules have uncommitted changes, which no commit here can hold: libs/lib\n"
            "hint: commit them first: git -C libs/lib commit -a\n"
        )
    here.commit("three")
    tagged.xexp("tag", "-a").good()
    run("git", "init", "-q", "--bare", "-b", "main", tmp_path / "origin.git", cwd=tmp_path).good()
    tagged.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    said = f"note: commit {here.head[:7]} of submodule libs/lib is on no remote of it: git -C libs/lib push\n"
    assert said in tagged.xexp("push").good().err
    here.git("push", "-q", "origin", "HEAD:three")
    tagged.xexp("tag", "-a").good()
    assert "submodule" not in tagged.xexp("push").good().err


def test_a_commit_that_only_the_main_work_tree_has(tagged: Repo, tmp_path: Path) -> None:
    """In a submodule, one of a submodule, and in one that lies elsewhere by now."""
    for name in ("inner", "outer"):
        (tmp_path / name).mkdir()
        lib = Repo(tmp_path / name)
        lib.git("init", "-q", "-b", "main")
        if name == "outer":
            lib.git("submodule", "--quiet", "add", str(tmp_path / "inner"), "in")
        lib.write("lib.py", "of the remote\n")
        lib.commit("one")
    tagged.git("submodule", "--quiet", "add", str(lib.path), "lib")
    tagged.git("submodule", "--quiet", "update", "--init", "--recursive")
    for path in ("lib/in", "lib"):
        Repo(tagged / path).write("lib.py", "here\n")
        Repo(tagged / path).commit("here alone")
    tagged.commit("with submodules")
    tagged.git("mv", "lib", "vendor")
    tagged.commit("moved")
    for at, path in (("HEAD", "vendor"), ("HEAD~1", "lib")):
        done = tagged.xexp("worktree", "new", path, "--at", at, "--recurse-submodules").good()
        tree = Repo(tagged.path.parent / f"exp-{path}")
        assert done.err == "" and tree.git("status", "--porcelain") == ""
        assert (tree / path / "lib.py").read_text() == "here\n"
        assert (tree / path / "in/lib.py").read_text() == "here\n"
    done = tagged.xexp("get", "HEAD", "vendor/lib.py")
    assert done.code == 128 and "'vendor' is a submodule at HEAD" in done.err
    assert "git -C vendor xexp get " in done.err and done.err.endswith(" lib.py\n")
    checks = tagged.xexp("worktree", "remove", "vendor", "--json").json()["checks"]
    assert {each["name"]: each["ok"] for each in checks}["submodules"]
