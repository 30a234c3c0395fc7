"""What git is asked: once where nothing changes, anew where something may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gitxexp.repository import prefetch
from gitxexp.repository.repository import Project
from gitxexp.storage.git import (
    BRANCHES,
    CHANGES,
    CONFIG,
    HEAD,
    PROJECTS,
    SETTINGS,
    TREE,
    Git,
    asked_anew,
    asked_once,
    begun,
    boolean,
    settings_read_once,
)
from gitxexp.storage.git_write import GitWriter
from tests.helpers import Repo, run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The arguments of each git process that is started."""
    found: list[tuple[str, ...]] = []
    start = Git.start

    def noted(self: Git, args: Any, *rest: Any) -> Any:
        found.append(tuple(args))
        return start(self, args, *rest)

    monkeypatch.setattr(Git, "start", noted)
    return found


def test_a_question_is_asked_once_where_nothing_changes(repo: Repo, started: list[Any]) -> None:
    git, again = Git(repo.path), Git(repo.path)
    with asked_once():
        assert git.head() == again.head()
        assert git.refs("refs/heads") == again.refs("refs/heads")
        assert started == [
            HEAD,
            ("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads"),
        ]
        assert Git(repo.path, foreign=True).head() == git.head()
        assert git.raw("cat-file", "--batch-check", stdin=b"HEAD\n") != git.raw(
            "cat-file", "--batch-check", stdin=b"HEAD^{tree}\n"
        )
    git.head()
    assert started.count(HEAD) == 3


def test_what_is_written_and_what_follows_is_asked_anew(repo: Repo) -> None:
    git = Git(repo.path)
    project = Project.open(repo.path)
    with begun(git, [CHANGES]), asked_once():
        assert git.head()[1] == repo.head
        with project.locked():
            assert git.fields(*CHANGES) == []  # not that of before the lock
            (repo / "new").write_text("new")
            assert git.fields(*CHANGES) == ["? new"]
            for _ in range(2):
                GitWriter(git).raw("commit", "-q", "--allow-empty", "-m", "another")
        assert git.text("rev-list", "--count", "HEAD") == str(
            int(repo.git("rev-list", "--count", "HEAD"))
        )
        assert git.head()[1] == repo.git("rev-parse", "HEAD")
        with asked_anew():
            repo.git("commit", "-q", "--allow-empty", "-m", "one more")
        assert git.head()[1] == repo.git("rev-parse", "HEAD")


def test_a_begun_question_is_used_once_and_what_is_left_ends(
    repo: Repo, started: list[Any]
) -> None:
    git = Git(repo.path)
    with begun(git, [HEAD, CHANGES]):
        assert started == [HEAD, CHANGES]
        first = git.head()
        assert len(started) == 2
        repo.git("commit", "-q", "--allow-empty", "-m", "another")
        assert git.head() != first
    (repo / "new").write_text("new")
    assert git.fields(*CHANGES) == ["? new"]


def test_another_thread_uses_nothing_that_was_begun_or_answered_here(
    repo: Repo, started: list[Any]
) -> None:
    git = Git(repo.path)
    with begun(git, [CHANGES]), asked_once(), ThreadPoolExecutor(1) as pool:
        git.head()
        pool.submit(lambda: (git.fields(*CHANGES), git.head())).result()
        assert started == [CHANGES, HEAD, CHANGES, HEAD]


def test_settings_are_read_once_in_a_command_until_it_writes_some(
    repo: Repo, started: list[Any]
) -> None:
    asked = (*CONFIG, SETTINGS)
    git = Git(repo.path)
    assert git.setting("color.xexp") is None
    with settings_read_once():
        assert git.setting("color.xexp") is git.setting("advice.xexp") is None
        with asked_anew():
            assert Git(repo.path).setting("color.xexp") is None
        assert started.count(asked) == 2
        git.configure("color.xexp", "always")
        assert git.setting("color.xexp") == "always"
    repo.git("config", "color.xexp", "never")
    assert git.setting("color.xexp") == "never"


def test_tag_asks_git_once_what_does_not_change(set_up: Repo, started: list[Any]) -> None:
    assert set_up.xexp("tag").code == 0
    for question in (CHANGES, (*CONFIG, SETTINGS), PROJECTS, BRANCHES):
        assert started.count(question) == 1, question
    trees = [args for args in started if args[: len(TREE)] == TREE]
    assert len(trees) == len(set(trees)) == 1


def test_no_question_is_in_a_list_twice() -> None:
    for name in ("FIRST", "QUERY", "MODELS", "STATUS", "RUN_BEFORE", "RUN_AFTER"):
        questions = getattr(prefetch, name)
        assert len(questions) == len(set(questions))


TRUTHS = ("true", "Yes", "ON", "", "false", "no", "oFF", "0", "1", "-1", "00", "0k", "1k", "010", "08",
          "0x0", "0x1", "maybe", "1 k", "k")  # fmt: skip


def test_truth_values_are_those_of_git(repo: Repo) -> None:
    """And a key without a value is true."""
    repo.git("config", "include.path", str(repo / "settings"))
    for value in (*TRUTHS, None):
        setting = "xexp" if value is None else f'xexp = "{value}"'
        (repo / "settings").write_text(f"[advice]\n{setting}\n")
        done = run("git", "config", "--type=bool", "advice.xexp", cwd=repo.path)
        known = {"true": True, "false": False}.get(done.out.strip())
        found = Git(repo.path).setting("advice.xexp")
        assert found == ("true" if value is None else value)
        assert boolean(found) is known, value
