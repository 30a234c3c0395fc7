"""Version arithmetic: ``eX.Y.Z`` and ``exp-NAME-vN``.

A project that shares its repository with others may have its own prefix: ``ranker/e1.2.0``.

A tag name that is neither parses to ``None``: a foreign tag is not an error, just not an
experiment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

#: A number of at most 18 digits; longer ones are a date or hash, not a version.
_NUMBER = "(0|[1-9][0-9]{0,17})"
_PREFIX = "((?:[^/]+/)*)"
_VERSION = re.compile(rf"{_PREFIX}e{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_NAMED = r"((?:.+?/)??)exp-(.+)-v([1-9][0-9]{0,17})"  # compiled only if needed

#: Ref patterns that may be versions, for a project without a prefix.
PATTERNS = ("refs/tags/e[0-9]*", "refs/tags/exp-*")


def patterns(prefix: str | None = "") -> tuple[str, str]:
    """Return the ref patterns for versions of the project with this prefix; None: of any project."""
    where = "**/" if prefix is None else prefix
    return f"refs/tags/{where}e[0-9]*", f"refs/tags/{where}exp-*"


class Level(StrEnum):
    """Which number of a version goes up."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


class Version(NamedTuple):
    """``e{major}.{minor}.{patch}``, ordered by its three numbers."""

    major: int
    minor: int
    patch: int
    prefix: str = ""  #: the project's prefix, with its slash

    def __str__(self) -> str:
        return f"{self.prefix}e{self.major}.{self.minor}.{self.patch}"

    def bump(self, level: Level) -> Version:
        """The next version at ``level``; the numbers to its right start again at 0."""
        if level is Level.MAJOR:
            return Version(self.major + 1, 0, 0, self.prefix)
        if level is Level.MINOR:
            return Version(self.major, self.minor + 1, 0, self.prefix)
        return Version(self.major, self.minor, self.patch + 1, self.prefix)


class NamedVersion(NamedTuple):
    """``exp-NAME-vN``, the version of an experiment that lives in a worktree."""

    name: str
    number: int
    prefix: str = ""  #: the project's prefix, with its slash

    def __str__(self) -> str:
        return f"{self.prefix}exp-{self.name}-v{self.number}"


AnyVersion = Version | NamedVersion

FIRST = Version(0, 1, 0)


def parse(text: str) -> AnyVersion | None:
    """The version that ``text`` (a tag's short name) spells, or ``None`` if it is not one."""
    match = _VERSION.fullmatch(text)
    if match:
        major, minor, patch = map(int, match.groups()[1:])
        return Version(major, minor, patch, match[1])
    match = re.fullmatch(_NAMED, text, re.DOTALL)
    if match:
        return NamedVersion(match[2], int(match[3]), match[1])
    return None


def numbers(text: str) -> tuple[int, ...] | None:
    """The three numbers of an ``eX.Y.Z``; fast for very many."""
    match = _VERSION.fullmatch(text)
    return tuple(map(int, match.groups()[1:])) if match else None


def spelled(text: str) -> bool:
    """Whether ``text`` is a version; fast for very many."""
    return _VERSION.fullmatch(text) is not None or parse(text) is not None


def latest(versions: Iterable[AnyVersion], prefix: str = "") -> Version | None:
    """The highest ``eX.Y.Z`` of ``versions`` with the prefix, or ``None`` if there is none."""
    own = (v for v in versions if isinstance(v, Version) and v.prefix == prefix)
    return max(own, default=None)


def highest(names: Iterable[str], prefix: str = "") -> Version | None:
    """The highest ``eX.Y.Z`` spelled in ``names``, as :func:`latest`; fast for very many."""
    own = rf"^{re.escape(prefix)}e{_NUMBER}\.{_NUMBER}\.{_NUMBER}$"
    found = re.findall(own, "\n".join(names), re.MULTILINE)  # at once: there may be very many
    return max((Version(int(x), int(y), int(z), prefix) for x, y, z in found), default=None)


def following(taken: Iterable[AnyVersion], level: Level, prefix: str = "") -> Version:
    """The version after the highest one taken, at ``level``; the first one is ``e0.1.0``."""
    highest = latest(taken, prefix)
    return FIRST._replace(prefix=prefix) if highest is None else highest.bump(level)


def following_named(taken: Iterable[AnyVersion], name: str, prefix: str = "") -> NamedVersion:
    """The next ``exp-NAME-vN`` for ``name``; counting starts at 1."""
    numbers = (
        v.number
        for v in taken
        if isinstance(v, NamedVersion) and (v.name, v.prefix) == (name, prefix)
    )
    return NamedVersion(name, max(numbers, default=0) + 1, prefix)
