"""``git xexp tag --push``: artifacts, branch and tag reach the remote together or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import Repo
from tests.workflows.worktrees.worktree_tools import dies


@pytest.fixture
def ready(set_up: Repo, tmp_path: Path) -> Repo:
    """``set_up`` with a git remote that has its main branch."""
    set_up.git("init", "-q", "--bare", "-b", "main", str(tmp_path / "origin.git"))
    set_up.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    set_up.git("push", "-q", "-u", "origin", "main")
    return set_up


def origin_refs(repo: Repo) -> set[str]:
    return {line.split("\t")[1] for line in repo.git("ls-remote", "--refs", "origin").splitlines()}


def clone(repo: Repo, target: Path) -> Repo:
    """A colleague's clone, with the same DVC remote."""
    repo.git("clone", "-q", repo.git("remote", "get-url", "origin"), str(target))
    return Repo(target)


def test_all_of_it_arrives(ready: Repo) -> None:
    ready.xexp("tag", "--push", "-m", "pushed").good()
    assert origin_refs(ready) == {"refs/heads/main", "refs/tags/e0.1.0"}
    assert ready.git("ls-remote", "origin", "refs/heads/main").split()[0] == ready.head
    pointer = (ready / "results/experiments.db.dvc").read_text()
    oid = pointer.split("md5: ")[1].split()[0]
    assert ready.remote is not None
    assert (ready.remote / "files/md5" / oid[:2] / oid[2:]).is_file()


def test_a_version_taken_on_the_remote_is_passed_over(ready: Repo, tmp_path: Path) -> None:
    other = clone(ready, tmp_path / "theirs")
    other.git("tag", "-a", "e0.7.0", "-m", "model=x | theirs")
    other.git("push", "-q", "origin", "e0.7.0")
    assert ready.xexp("tag", "--push", "--json").good().json()["version"] == "e0.8.0"
    assert origin_refs(ready) == {"refs/heads/main", "refs/tags/e0.7.0", "refs/tags/e0.8.0"}


def test_a_race_on_the_remote_renumbers(ready: Repo, tmp_path: Path) -> None:
    """The colleague's tag arrives between our look at the remote and our push."""
    other = clone(ready, tmp_path / "theirs")
    other.git("tag", "-a", "e0.1.0", "-m", "model=x | theirs")
    hook = ready.write(".git/hooks/pre-push", "#!/bin/sh\n[ -e .git/raced ] && exit 0\n"
                       f"touch .git/raced\ngit -C '{other.path}' push -q origin e0.1.0\n")  # fmt: skip
    hook.chmod(0o755)
    assert ready.xexp("tag", "--push", "--json").good().json()["version"] == "e0.2.0"
    assert ready.tags == ["e0.2.0"]
    assert origin_refs(ready) == {"refs/heads/main", "refs/tags/e0.1.0", "refs/tags/e0.2.0"}
    assert ready.git("log", "--format=%s", "-2").splitlines()[1] == "set up"


def test_a_hook_of_the_remote_that_wants_no_tags(ready: Repo, tmp_path: Path) -> None:
    """It is heard, once, and not taken for a colleague's tag."""
    hook = tmp_path / "origin.git/hooks/update"
    hook.write_text(
        f"#!/bin/sh\ncase $1 in refs/tags/*) echo x >>{tmp_path}/asked; echo 'ask Ada' >&2; exit 1;; esac\n"
    )
    hook.chmod(0o755)
    done = ready.xexp("tag", "--push")
    assert done.code == 128 and "; nothing was tagged\n  remote: ask Ada\n" in done.err
    assert "a hook or rule of 'origin' refuses this push" in done.err
    assert (tmp_path / "asked").read_text() == "x\n" and ready.tags == []
    ready.xexp("tag").good()
    done = ready.xexp("push")
    assert (
        done.code == 128 and "remote: ask Ada" in done.err and "another experiment" not in done.err
    )


def test_a_branch_that_is_behind_takes_everything_back(ready: Repo, tmp_path: Path) -> None:
    other = clone(ready, tmp_path / "theirs")
    other.write("theirs.py", "x = 1\n")
    other.commit("theirs")
    other.git("push", "-q", "origin", "main")
    before = ready.head, ready.git("status", "--porcelain")
    done = ready.xexp("tag", "--push")
    assert done.code == 128
    assert "hint: bring its work in first: git pull --rebase origin" in done.err
    assert (ready.head, ready.git("status", "--porcelain")) == before
    assert ready.tags == []
    assert origin_refs(ready) == {"refs/heads/main"}


def test_a_dvc_remote_that_is_gone_takes_everything_back(ready: Repo) -> None:
    assert ready.remote is not None
    shutil.rmtree(ready.remote)
    ready.remote.write_text("a file where the remote was")
    before = ready.head
    done = ready.xexp("tag", "--push")
    assert done.code != 0
    assert "hint: " in done.err
    assert (ready.head, ready.tags) == (before, [])
    assert origin_refs(ready) == {"refs/heads/main"}


def test_the_configuration_can_ask_for_it(ready: Repo) -> None:
    ready.git("config", "xexp.tag.push", "true")
    ready.xexp("tag").good()
    assert "refs/tags/e0.1.0" in origin_refs(ready)
    ready.xexp("tag", "--no-push").good()
    assert "refs/tags/e0.1.1" not in origin_refs(ready)


def test_a_detached_head_pushes_the_tag_alone(ready: Repo) -> None:
    ready.git("checkout", "-q", "--detach")
    before = ready.git("ls-remote", "origin", "refs/heads/main")
    ready.xexp("tag", "--push").good()
    assert ready.git("ls-remote", "origin", "refs/heads/main") == before
    assert "refs/tags/e0.1.0" in origin_refs(ready)


@pytest.mark.parametrize(
    ("at", "sent"),
    [
        ("gitxexp.storage.git_write:GitWriter.push", True),
        ("gitxexp.workflows.experiments.tag:push_artifacts", False),
    ],
)
def test_killed_around_the_push(ready: Repo, at: str, sent: bool) -> None:
    """What others have is not taken back here; what nobody has is."""
    dies(ready, "tag", "--push", "-m", "pushed", at=at)
    there = "refs/tags/e0.1.0" in origin_refs(ready)
    assert there is sent
    ready.xexp("worktree", "prune").good()
    assert ready.tags == (["e0.1.0"] if sent else [])
    assert ready.git("status", "--porcelain", "-uno") == ""
    if sent:
        assert ready.git("ls-remote", "origin", "refs/heads/main").split()[0] == ready.head
        done = ready.xexp("undo")
        assert done.code == 1
        assert "was pushed" in done.err
    else:
        ready.xexp("tag", "--push", "-m", "again").good()
