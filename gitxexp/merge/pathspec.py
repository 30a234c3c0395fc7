"""Paths on the command line, as the user stands, against paths from the top of the work tree."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from gitxexp.errors import UsageError
from gitxexp.project import Project


def choose(project: Project, wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Those of ``known`` at or below ``wanted`` (all without any); a database means its pointer too.

    Raises UsageError for one that is not known.
    """
    names = sorted(known)
    if not wanted:
        return names
    found: dict[str, None] = {}
    for given in wanted:
        candidates = (posixpath.normpath(project.places.prefix + given), posixpath.normpath(given))
        matching = [n for n in names if any(_is(n, path) for path in candidates)]
        if not matching:
            raise UsageError(f"'{given}' is none of: {', '.join(names) or 'nothing'}")
        found.update(dict.fromkeys(matching))
    return list(found)


def _is(name: str, path: str) -> bool:
    return path in (".", name, name.removesuffix(".dvc")) or name.startswith(path + "/")
