"""``git worktree list``, with what git itself gets wrong or could not do in the past put right."""

from __future__ import annotations

from pathlib import Path

from gitxexp.gitio import Git, GitError, decode

_LIST = ("worktree", "list", "--porcelain")


def worktrees(git: Git) -> list[dict[str, str]]:
    """``git worktree list`` as dicts: worktree (path), HEAD, branch, detached, locked, prunable.

    The main worktree comes first.
    """
    found: list[dict[str, str]] = []
    for field in _fields(git):
        name, _, value = field.partition(" ")
        if name == "worktree":
            found.append({})
        if name:
            found[-1][name] = value
    main = Path(found[0]["worktree"])
    if "bare" not in found[0] and (main / "objects").is_dir() and (main / "HEAD").is_file():
        found[0]["worktree"] = str(_top_of(git, main))
    return found


def _fields(git: Git) -> list[str]:
    try:
        return git.fields(*_LIST, "-z")
    except GitError as error:
        if error.returncode != 129:
            raise
        return git.lines(*_LIST)  # git < 2.36 has no -z there


def _top_of(git: Git, git_dir: Path) -> Path:
    """The work tree of a git folder that is not inside it (a submodule's), for which git lists that
    folder itself."""
    asked = ("rev-parse", "--path-format=absolute", "--git-dir", "--show-toplevel")
    here = decode(git.call(*asked).stdout).splitlines()
    if len(here) == 2 and Path(here[0]) == git_dir:
        return Path(here[1])
    there = Git(git_dir, foreign=True).call("rev-parse", "--show-toplevel")
    return Path(decode(there.stdout).removesuffix("\n") or git_dir)
