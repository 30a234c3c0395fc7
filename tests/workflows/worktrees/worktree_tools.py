"""What the worktree tests share: the whole state of a repository, and a process that dies."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gitxexp.storage.dvc.pointers import outputs_in
from gitxexp.storage.objects import object_path
from tests.helpers import Repo, xexp_inside

CACHE = ".dvc/cache"


def tree_of(repo: Repo, name: str = "a") -> Repo:
    """The worktree ``exp-NAME`` beside the repository."""
    return Repo(repo.path.parent / f"exp-{name}", repo.remote)


def cached(repo: Repo, path: str) -> Path:
    """The cache object of a file output, in the main worktree's cache."""
    out = next(out for out in outputs_in(repo.path) if out.path == path)
    assert out.oid
    return object_path(repo / CACHE, out.oid)


def state(repo: Repo) -> tuple[Any, ...]:
    """What an operation that failed must leave alone: refs, worktrees, folders, status, excludes."""
    exclude = repo / ".git/info/exclude"
    return (
        repo.refs(),
        repo.git("worktree", "list", "--porcelain"),
        sorted(p.name for p in repo.path.parent.iterdir()),
        sorted(p.name for p in (repo / ".git/worktrees").glob("*")),
        repo.git("status", "--porcelain"),
        exclude.read_text() if exclude.exists() else "",
    )


def dies(repo: Repo, *args: str, at: str, call: int = 1) -> None:
    """Run ``git xexp ARGS`` in a child that kills itself (-9) after the ``call``-th run of a
    function, given as ``module:name`` or ``module:Class.name``; asserts that it did."""
    pid = os.fork()
    if pid == 0:
        gc.freeze()  # a collection would copy every page
        with suppress(BaseException):
            _arm(at, call, lambda: os.kill(os.getpid(), signal.SIGKILL))
            xexp_inside(*args, cwd=repo.path)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"{args} ended before {at} was called {call} times"


def _arm(at: str, call: int, action: Callable[[], Any]) -> None:
    module, _, name = at.partition(":")
    __import__(module)
    holder: Any = sys.modules[module]
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    original = getattr(holder, last)
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        result = original(*args, **kwargs)
        calls += 1
        if calls == call:
            action()
        return result

    setattr(holder, last, wrapped)


def interrupt(
    monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, error: BaseException
) -> None:
    """Let ``holder.name`` raise ``error`` instead of running."""

    def raises(*_args: Any, **_kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(holder, name, raises)
