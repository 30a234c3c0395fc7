"""What a push must not publish: pointers in conflict, and commits without their artifacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo, copy_tree, run

DB = "results/experiments.db"


@pytest.fixture(scope="session")
def shared_template(set_up_template: Path, sealed: Path) -> Path:
    """The folder that ``shared`` copies."""
    Clock().tick(180)
    folder = sealed / "shared-template"
    made = copy_template(set_up_template, folder)
    made.git("init", "-q", "--bare", "-b", "main", "../origin")
    made.git("remote", "add", "origin", "../origin")
    made.git("push", "-q", "-u", "origin", "main")
    return folder


@pytest.fixture
def shared(shared_template: Path, tmp_path: Path) -> Repo:
    """``trained``, tagged, with a git remote that nothing was pushed to."""
    copy_tree(shared_template / "origin", tmp_path / "origin")
    made = copy_template(shared_template, tmp_path)
    made.xexp("tag", "-m", "first").good()  # here, because an operation is undone where it ran
    return made


def test_conflict_markers_in_a_pointer_are_not_pushed(shared: Repo) -> None:
    text = (shared / f"{DB}.dvc").read_text()
    shared.write(f"{DB}.dvc", f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    shared.commit("a merge gone wrong")
    done = shared.xexp("push")
    assert done.code == 128
    assert f"holds conflict markers in {DB}.dvc" in done.err
    assert shared.git("ls-remote", "--tags", "origin") == ""


def test_what_git_alone_pushed_is_noticed_and_completed(shared: Repo) -> None:
    assert "incomplete" not in shared.xexp().good().out
    shared.git("push", "-q", "--follow-tags")
    done = shared.xexp().good()
    assert "incomplete e0.1.0: pushed by git alone" in done.out
    assert "next       git xexp push e0.1.0" in done.out
    shared.xexp("push", "e0.1.0").good()
    assert shared.xexp("--json").good().json()["incomplete"] == []
    assert "in sync" in shared.dvc("status", "-c")


def test_the_hook_sends_artifacts_before_git_pushes(shared: Repo) -> None:
    shared.xexp("init", "--hooks").good()
    assert shared.xexp("init", "--hooks").good().out == "everything is already set up\n"
    assert shared.remote is not None
    before = {p for p in shared.remote.rglob("*") if p.is_file()}
    run("git", "push", "-q", "--follow-tags", cwd=shared.path).good()
    assert {p for p in shared.remote.rglob("*") if p.is_file()} > before
    assert "incomplete" not in shared.xexp().good().out
    shared.xexp("undo", "--force").good()
    shared.xexp("undo", "--force").good()
    assert not (shared / ".git/hooks/pre-push").exists()


def test_another_hook_stays(shared: Repo) -> None:
    hook = Path(shared.path / ".git/hooks/pre-push")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    done = shared.xexp("init", "--hooks")
    assert done.code == 128 and "there is another pre-push hook" in done.err
    assert hook.read_text() == "#!/bin/sh\nexit 0\n"
