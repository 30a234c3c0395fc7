"""Passwords and tokens stay where they are: in no message, record or file that others read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gitxexp.common import secrets
from gitxexp.common.errors import GitError, XexpError
from gitxexp.storage.dvc.places import read_config
from gitxexp.storage.dvc.session import dvc_errors
from tests.helpers import Repo

TEXTS = [
    ("http://alice:SECRET-PW@example.org/x", "http://***@example.org/x"),
    ("https://SECRET-TOKEN@example.org/x", "https://***@example.org/x"),
    ("https://a:SECRET@PW@example.org/x", "https://***@example.org/x"),
    ("s3+ssh://a:SECRET@b and ftp://c:SECRET@d", "s3+ssh://***@b and ftp://***@d"),
    ("'https://a:SECRET@b'", "'https://***@b'"),
    ("ssh://git@example.org/x", "ssh://git@example.org/x"),
    ("git@example.org:x", "git@example.org:x"),
    ("see https://example.org/x or write to a@b", "see https://example.org/x or write to a@b"),
]


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_the_user_and_password_of_an_address(text: str, shown: str) -> None:
    assert secrets.masked(text) == shown
    assert XexpError(text, text).message == shown
    assert XexpError(text, text).hint == shown
    assert str(GitError(["push"], 128, f"fatal: unable to access '{text}'")).endswith(f"'{shown}'")


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("password", True), ("secret_access_key", True), ("sas_token", True), ("GITHUB_TOKEN", True),
        ("connection_string", True), ("AWS_SECRET_ACCESS_KEY", True), ("credentialpath", False),
        ("password_file", False), ("url", False), ("user", False), ("PATH", False),
    ],
)  # fmt: skip
def test_which_options_are_secrets(name: str, hidden: bool) -> None:
    assert secrets.is_secret(name) is hidden


def test_a_token_of_the_environment() -> None:
    os.environ["SOME_API_KEY"] = "sk-1234567890"
    assert str(XexpError("refused: sk-1234567890")) == "refused: ***"


def test_a_token_of_dvcs_configuration(dvc_repo: Repo) -> None:
    dvc_repo.write(".dvc/config.local", "['remote \"store\"']\n    password = SECRET-DVC-TOKEN\n")
    read_config(dvc_repo.path)
    with pytest.raises(XexpError) as refused, dvc_errors("push"):
        from dvc.exceptions import DvcException

        raise DvcException("server said: SECRET-DVC-TOKEN is wrong")
    assert "SECRET" not in str(refused.value)
    assert "***" in str(refused.value)


@pytest.fixture
def ready(trained: Repo) -> Repo:
    local = (
        "['remote \"web\"']\n    url = http://u@127.0.0.1:9/x\n    password = SECRET-DVC-TOKEN\n"
    )
    trained.write(".dvc/config.local", local)
    (trained / ".dvc/config.local").chmod(0o644)
    trained.git("remote", "add", "origin", "http://bob:SECRET-GIT@127.0.0.1:9/repo.git")
    trained.xexp("init").good()
    trained.commit("set up")
    return trained


def test_no_command_shows_or_records_one(ready: Repo) -> None:
    os.environ["GIT_ALLOW_PROTOCOL"] = "file:http"
    shown = []
    for args in (
        ["tag", "-m", "one"], [], ["--json"], ["push"], ["push", "--json"], ["-v", "push"],
        ["push", "-n"], ["tag", "--push"], ["log", "--json"], ["explore", "show", "e0.1.0", "--json"],
    ):  # fmt: skip
        done = ready.xexp(*args)
        shown.append(done.out + done.err)
    assert ready.tags == ["e0.1.0"], shown[0]
    assert "SECRET" not in "".join(shown)
    assert "SECRET" not in ready.git("log", "-p", "--all")
    assert "SECRET" not in ready.git("tag", "-l", "--format=%(contents)")
    for path in (*(ready / ".git/xexp").rglob("*"), ready / ".xexp/registry.db"):
        if path.is_file():
            assert b"SECRET" not in path.read_bytes(), path


@pytest.mark.parametrize("umask", [0o022, 0o002])
def test_the_credentials_of_a_worktree_are_its_owners_alone(ready: Repo, umask: int) -> None:
    before = os.umask(umask)
    try:
        ready.xexp("worktree", "new", "x").good()
    finally:
        os.umask(before)
    local = ready.path.parent / "exp-x" / ".dvc/config.local"
    assert "SECRET-DVC-TOKEN" in local.read_text()
    assert stat.S_IMODE(local.stat().st_mode) == 0o600
    assert "SECRET" not in Path(ready / ".dvc/config").read_text()
