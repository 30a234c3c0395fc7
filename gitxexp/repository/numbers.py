"""Which versions are taken: what a tag holds, or a registry of any branch.

A clone without tags (CI, ``--no-tags``), a shallow one, and one whose tags were pruned have their
experiments in the registry alone; a number given again there would be another experiment's.
"""

from __future__ import annotations

from gitxexp.common.errors import XexpError
from gitxexp.repository import config, version
from gitxexp.repository.repository import Project
from gitxexp.repository.version import AnyVersion


def registered(project: Project) -> set[str]:
    """Every version that the registry here, or of a branch, here or on a remote as last seen, has."""
    from gitxexp.repository.registry import versions_in

    names = set(project.registry.versions()) if project.places.top is not None else set()
    branches = project.git.refs("refs/heads", "refs/remotes")
    wanted = [
        f"{commit}:{config.REGISTRY}" for commit in ("HEAD", *dict.fromkeys(branches.values()))
    ]
    seen: set[str] = set()
    for item in project.git.cat(wanted):
        if item is not None and item[1] == "blob" and item[0] not in seen:
            seen.add(item[0])
            names |= versions_in(item[2])
    return names


def registered_versions(project: Project) -> list[AnyVersion]:
    """:func:`registered` as versions."""
    found = (version.parse(name) for name in registered(project))
    return [each for each in found if each is not None]


def untagged(project: Project, names: set[str]) -> tuple[str, ...]:
    """The versions of this work tree's registry that no tag in ``names`` holds; none where it cannot
    be read, which is for the verb that needs it to say."""
    try:
        return tuple(name for name in project.registry.versions() if name not in names)
    except XexpError:
        return ()
