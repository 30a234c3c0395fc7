"""Which versions are taken: by a tag, or in the registry of any branch.

A clone without tags (CI, ``--no-tags``), a shallow one, and one whose tags were pruned have their
experiments only in the registry; reusing a number there would clash with an existing experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitxexp.common.errors import XexpError
from gitxexp.repository import config, version
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Tags
from gitxexp.repository.version import AnyVersion, Level, NamedVersion, Version
from gitxexp.storage.git import REGISTRY


class Taken:
    """Which versions are taken: those of the tags, and those named in ``more``, which stay text: there
    may be very many."""

    def __init__(self, tags: Tags, more: Iterable[str] = ()) -> None:
        self._tags, self._more = tags, set(more)

    @property
    def prefix(self) -> str:
        """The prefix of the project's versions."""
        return self._tags.prefix

    def __contains__(self, version: AnyVersion) -> bool:
        return str(version) in self._more or self._tags.holds(version)

    def add(self, version: AnyVersion) -> None:
        """Mark the version as taken."""
        self._more.add(str(version))

    @property
    def latest(self) -> Version | None:
        """The highest ``eX.Y.Z``; None if there is none."""
        highest = self._tags.latest
        return version.highest([*self._more, *([str(highest)] if highest else [])], self.prefix)

    def following(self, level: Level) -> Version:
        """The version after the highest one, at ``level``; the first one is ``e0.1.0``."""
        highest = self.latest
        first = version.FIRST._replace(prefix=self.prefix)
        return first if highest is None else highest.bump(level)

    def following_named(self, name: str) -> NamedVersion:
        """The next ``exp-NAME-vN``."""
        more = (version.parse(each) for each in self._more if "exp-" in each)
        known = [*(each for each in more if each is not None), *self._tags.of_name(name)]
        return version.following_named(known, name, self.prefix)


def taken(project: Project, tags: Tags, elsewhere: Iterable[AnyVersion] = ()) -> Taken:
    """Return the versions in tags, in the registry here, in that of any branch, local or remote as
    last seen, and ``elsewhere``."""
    names = [name for oid in _registries(project) for name in _versions_of(project, tags, oid)]
    if project.places.top is not None:
        names += _unheld(project, tags)
    return Taken(tags, [*names, *map(str, elsewhere)])


def is_of(name: str, prefix: str) -> bool:
    """Whether a version belongs to the project with this prefix."""
    if not prefix and "/" not in name:
        return True
    found = version.parse(name)
    return found is None or found.prefix == prefix


def _registries(project: Project) -> list[str]:
    """Return the registry blobs of all branches, except the one in the work tree."""
    branches = project.git.refs("refs/heads", "refs/remotes")
    wanted = "".join(
        f"{commit}:{config.REGISTRY}\n" for commit in ("HEAD", *dict.fromkeys(branches.values()))
    )
    listed = project.git.text("cat-file", "--batch-check", stdin=wanted.encode()).split("\n")
    blobs = dict.fromkeys(line.split(" ")[0] for line in listed if " blob " in line)
    if project.places.top is not None and blobs:
        listed = project.at_top.fields(*REGISTRY)
        if len(listed) == 1:
            blobs.pop(listed[0].split(" ")[1], None)
    return list(blobs)


def _versions_of(project: Project, tags: Tags, oid: str) -> Sequence[str]:
    """Return the versions in a registry blob that have no tag."""
    from gitxexp.repository.registry import versions_in

    def find() -> list[str]:
        item = next(iter(project.git.cat([oid])), None)
        return tags.lacking(sorted(versions_in(item[2]))) if item else []

    return tags.remembered(f"registry {tags.serial} {oid}", find)


def untagged(project: Project, tags: Tags) -> tuple[str, ...]:
    """Return the versions in this work tree's registry that have no tag; none if it is unreadable,
    which is reported by the command that needs it."""

    try:
        return _unheld(project, tags)
    except XexpError:
        return ()


def _unheld(project: Project, tags: Tags) -> tuple[str, ...]:
    def find() -> list[str]:
        every = tags.lacking(project.registry.versions())
        return [name for name in every if is_of(name, tags.prefix)]

    path = project.top / config.REGISTRY
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ()
    except OSError:
        return tuple(find())
    state = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino} {stat.st_ctime_ns}"
    return tags.remembered(f"untagged {tags.serial} {path} {state}", find)
