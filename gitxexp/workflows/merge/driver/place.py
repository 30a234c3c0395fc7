"""The paths of the repository around the current folder, without running git.

The driver starts once per file, so saving a process matters. Layout: gitrepository-layout(5).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitxexp.common.processes import alive


class GitPlace:
    """The ``git_dir`` of this work tree, the ``common_dir`` of all, and this one's ``top``."""

    def __init__(self, top: Path, git_dir: Path, common_dir: Path) -> None:
        self.top, self.git_dir, self.common_dir = top, git_dir, common_dir

    @classmethod
    def here(cls) -> GitPlace:
        """The place around the current folder; git runs drivers at the top of the work tree."""
        top = Path.cwd()
        given = os.environ.get("GIT_DIR")
        if given:
            git_dir = Path(given).absolute()
        else:
            while not (top / ".git").exists() and top != top.parent:
                top = top.parent
            git_dir = _followed(top / ".git")
        common = git_dir / "commondir"
        if not common.is_file():
            return cls(top, git_dir, git_dir)
        text = common.read_text("utf-8").strip()
        return cls(top, git_dir, Path(os.path.normpath(git_dir / text)))

    def siblings(self) -> list[Path]:
        """The tops of the other work trees."""
        found = [self.common_dir.parent] if self.common_dir.name == ".git" else []
        for file in sorted(self.common_dir.glob("worktrees/*/gitdir")):
            named = file.parent / file.read_text("utf-8").strip()  # or relative: git 2.48 and later
            found.append(Path(os.path.normpath(named)).parent)
        return [path for path in found if path != self.top and path.is_dir()]

    @contextmanager
    def private(self, what: str) -> Iterator[Path]:
        """Yield a private folder, removed afterwards; leftovers of killed processes are removed
        first."""
        state = self.common_dir / "xexp"
        state.mkdir(parents=True, exist_ok=True)
        for old in state.glob(f"{what}-*"):
            pid = old.name.split("-")[1]
            if not (pid.isdigit() and alive(int(pid))):
                shutil.rmtree(old, ignore_errors=True)
        folder = tempfile.mkdtemp(prefix=f"{what}-{os.getpid()}-", dir=state)
        try:
            yield Path(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _followed(path: Path) -> Path:
    """A ``.git`` folder, or the one that a ``.git`` file names."""
    if not path.is_file():
        return path
    text = path.read_text("utf-8").strip().removeprefix("gitdir: ")
    return Path(os.path.normpath(path.parent / text))
