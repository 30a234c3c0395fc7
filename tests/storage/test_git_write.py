"""The door to GitPython: git as the user would run it, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitxexp.common.errors import GitError, PushRejected, XexpError
from gitxexp.storage.git import Git, encode
from gitxexp.storage.git_write import GitWriter
from tests.helpers import Repo


@pytest.fixture
def hub(repo: Repo, tmp_path: Path) -> Path:
    repo.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    return tmp_path / "hub.git"


def writer(repo: Repo, *, foreign: bool = False) -> GitWriter:
    return GitWriter(Git(repo.path, foreign=foreign))


def refs(hub: Path) -> list[str]:
    return Git(hub).lines("for-each-ref", "--format=%(refname)")


@pytest.mark.parametrize(
    "args",
    [
        ("push", "--receive-pack=touch pwned", "origin", "main"),
        ("push", "--rec=touch pwned", "--", "origin", "main"),
        ("push", "--exec=touch pwned", "--", "origin", "main"),
        ("push", "--", "ext::sh -c touch% pwned", "main"),
        ("fetch", "--upload-pack=touch pwned", "--", "origin"),
        ("fetch", "--", "ext::sh -c touch% pwned"),
        ("ls-remote", "--upload-pack=touch pwned", "origin"),
        ("ls-remote", "--exec=touch pwned", "--", "origin"),
        ("ls-remote", "--", "ext::sh -c touch% pwned"),
    ],
)
def test_what_could_run_a_program_is_refused(repo: Repo, hub: Path, args: tuple[str, ...]) -> None:
    os.environ["GIT_ALLOW_PROTOCOL"] = "file:ext"
    with pytest.raises(XexpError, match="refused"):
        writer(repo).raw(*args)
    assert not (repo / "pwned").exists()


def test_a_name_with_a_dash_is_no_option(repo: Repo, hub: Path) -> None:
    with pytest.raises(GitError):
        writer(repo).push("--receive-pack=touch pwned", ["refs/heads/main"])
    with pytest.raises(GitError):
        writer(repo).remote_tags("--upload-pack=touch pwned")
    assert not (repo / "pwned").exists()
    assert refs(hub) == []


def test_push_and_fetch_tell_their_progress(repo: Repo, hub: Path) -> None:
    for number in range(40):
        repo.write(f"{number}.txt", str(number) * 300)
    repo.commit("many")
    repo.git("tag", "-a", "-m", "x", "e0.1.0")
    told: list[tuple[int, int, str]] = []
    writer(repo).push("origin", ["refs/heads/main", "refs/tags/e0.1.0"], lambda *x: told.append(x))
    assert refs(hub) == ["refs/heads/main", "refs/tags/e0.1.0"]
    assert any(done == total > 40 for done, total, unit in told if unit == "objects")
    oid = repo.git("rev-parse", "e0.1.0")
    assert writer(repo).remote_tags("origin") == {"e0.1.0": oid}
    repo.git("tag", "-d", "e0.1.0")
    writer(repo).fetch("origin", ["refs/tags/e0.1.0:refs/tags/e0.1.0"])
    assert repo.git("rev-parse", "e0.1.0") == oid


def test_a_rejected_push_says_why_for_each_ref(repo: Repo, hub: Path, tmp_path: Path) -> None:
    writer(repo).push("origin", ["refs/heads/main"])
    repo.git("clone", "-q", str(hub), str(tmp_path / "other"))
    other = Repo(tmp_path / "other")
    other.commit("theirs")
    other.git("push", "-q")
    repo.commit("ours")
    repo.git("tag", "-a", "-m", "x", "e0.1.0")
    os.environ["LC_ALL"] = "de_DE.UTF-8"
    with pytest.raises(PushRejected) as rejected:
        writer(repo).push("origin", ["refs/heads/main", "refs/tags/e0.1.0"])
    assert rejected.value.refs == {"refs/heads/main": "fetch first"}
    assert refs(hub) == ["refs/heads/main"]


def test_a_hook_of_the_remote_is_heard_whatever_its_bytes(repo: Repo, hub: Path) -> None:
    hook = hub / "hooks" / "pre-receive"
    hook.write_bytes(b"#!/bin/sh\necho 'not to\xe9day' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(PushRejected) as rejected:
        writer(repo).push("origin", ["refs/heads/main"])
    assert rejected.value.refs == {"refs/heads/main": "pre-receive hook declined"}


def test_an_unreachable_remote_is_gits_own_error(repo: Repo, tmp_path: Path) -> None:
    repo.git("remote", "add", "gone", str(tmp_path / "nowhere"))
    for call in (
        lambda git: git.push("gone", ["refs/heads/main"]),
        lambda git: git.fetch("gone", ["refs/tags/e0.1.0"]),
        lambda git: git.remote_tags("gone"),
    ):
        with pytest.raises(GitError, match="does not appear to be a git repository"):
            call(writer(repo))


def test_hooks_see_the_users_environment(repo: Repo) -> None:
    hook = repo.write(".git/hooks/pre-commit", '#!/bin/sh\nenv > "$OUT"\n')
    hook.chmod(0o755)
    os.environ.update(LC_ALL="C.UTF-8", OUT=str(repo / "env"), GIT_DIR=str(repo / ".git"))
    repo.write("a", "1")
    repo.git("add", "a")
    index = {"GIT_INDEX_FILE": str(repo / ".git" / "index")}
    writer(repo).raw("commit", "-q", "-F", "-", stdin=encode("größer\n"), env=index)
    seen = dict(line.partition("=")[::2] for line in (repo / "env").read_text().splitlines())
    assert (seen["LC_ALL"], seen["GIT_INDEX_FILE"]) == ("C.UTF-8", index["GIT_INDEX_FILE"])
    del os.environ["GIT_DIR"]
    assert repo.git("log", "-1", "--format=%B").strip() == "größer"


def test_what_ties_git_to_another_repository_is_dropped(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Repo(tmp_path / "other")
    other.git("init", "-q")
    os.environ.update(
        GIT_DIR=str(other / ".git"), GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="user.name",
        GIT_CONFIG_VALUE_0="Grace",
    )  # fmt: skip
    found = writer(repo, foreign=True).text("rev-parse", "--show-toplevel")
    assert Path(found).resolve() == repo.path.resolve()
    assert writer(repo, foreign=True).text("config", "user.name") == "Grace"
    assert os.environ["GIT_DIR"] == str(other / ".git")


def test_the_folder_is_taken_literally(repo: Repo) -> None:
    odd = repo.path.parent / "$HOME ~"
    repo.path.rename(odd)
    assert GitWriter(Git(odd)).text("rev-parse", "--show-prefix") == ""
    with pytest.raises(XexpError, match="no such folder"):
        GitWriter(Git(odd / "gone")).raw("status")
