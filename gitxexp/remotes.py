"""Which git remote to push to."""

from __future__ import annotations

from gitxexp.errors import XexpError, suggestion
from gitxexp.gitio import Git


def choose_remote(git: Git, branch: str | None, wanted: str | None, configured: str) -> str:
    """The git remote to push to: asked for, configured, the branch's own, or the only one.

    Raises XexpError when there is none, or several and no reason to prefer one.
    """
    remotes = git.lines("remote")
    if wanted or configured:
        name = wanted or configured
        if name in remotes or "/" in name or ":" in name:
            return name
        hint = suggestion(name, remotes, f"git remote add {name} URL")
        raise XexpError(f"there is no git remote '{name}'", hint)
    if branch:
        tracked = git.config(rf"^branch\.{_escaped(branch)}\.(pushremote|remote)$")
        for values in tracked.values():
            if values[-1] in remotes:
                return values[-1]
    if "origin" in remotes or len(remotes) == 1:
        return "origin" if "origin" in remotes else remotes[0]
    if not remotes:
        raise XexpError("this repository has no git remote to push to", "git remote add origin URL")
    raise XexpError(f"several git remotes: {', '.join(remotes)}", "choose one: --remote NAME")


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if not char.isalnum() else char for char in text)
