"""``worktree new`` against real git and real DVC."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import Repo, run


def test_new_is_ready_and_clean(trained: Repo) -> None:
    done = trained.xexp("worktree", "new", "a").good()
    print(done.out, done.err)
    tree = Repo(trained.path.parent / "exp-a", trained.remote)
    assert tree.git("status", "--porcelain") == ""
    assert "up to date" in tree.dvc("status")
