"""What git is asked: once where nothing changes, anew where something may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gitxexp.repository import prefetch
from gitxexp.repository.repository import Project
from gitxexp.storage.git import CHANGES, HEAD, Git, asked_anew, asked_once, begun
from gitxexp.storage.git_write import GitWriter
from tests.helpers import Repo


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


def test_no_question_is_in_a_list_twice() -> None:
    for name in ("FIRST", "QUERY", "MODELS", "STATUS", "RUN_BEFORE", "RUN_AFTER"):
        questions = getattr(prefetch, name)
        assert len(questions) == len(set(questions))
