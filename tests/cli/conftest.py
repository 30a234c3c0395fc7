"""The demo, which takes a good part of a minute: it is run once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitxexp.cli.shell.demo import run_demo
from tests.conftest import seal
from tests.helpers import WITHOUT_XETRACK, Repo, copy_tree, run

#: The demo is made by nobody in particular, today.
WHO_AND_WHEN = [
    f"GIT_{role}_{field}" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL", "DATE")
]


class Demo:
    """A demo that has run: its repository, the lines that it printed."""

    def __init__(self, repo: Repo, lines: list[str]) -> None:
        self.repo = repo
        self.lines = lines

    def copied(self, folder: Path) -> Path:
        """A copy, with its remotes, below ``folder``: its project."""
        copy_tree(self.repo.path.parent, folder)
        run("git", "update-index", "-q", "--refresh", cwd=folder / "project")
        return folder / "project"

    def output(self, command: str) -> str:
        """What the first command that starts so printed."""
        start = next(i for i, line in enumerate(self.lines) if line.startswith(f"$ {command}"))
        rest = self.lines[start + 1 :]
        end = next((i for i, line in enumerate(rest) if line.startswith(("$ ", "# "))), len(rest))
        return "\n".join(rest[:end])


@pytest.fixture(scope="session")
def demo(sealed: Path) -> Demo:
    """The demo run once, without an identity, in a folder with a space in its name, its trainings
    with the script's own small tracker."""
    before = dict(os.environ)
    seal(sealed / "demo-home")
    if not os.environ.get("XEXP_TEST_WRITE"):  # the README shows xetrack's names of runs
        os.environ["PYTHONPATH"] = os.pathsep.join((WITHOUT_XETRACK, os.environ["PYTHONPATH"]))
    for name in WHO_AND_WHEN:
        os.environ.pop(name, None)
    lines: list[str] = []
    try:
        path = run_demo(sealed / "my demo", lines.append)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Demo(Repo(path), lines)
