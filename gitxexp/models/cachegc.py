"""``prune --cache``: the objects that nothing refers to any more, out of the DVC cache.

``dvc gc`` looks at one worktree and deletes what the others need; its ``-A -p`` reads every commit.
Here the used set is computed over all refs, stashes and worktrees first (:mod:`.references`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitxexp import dvcio
from gitxexp.errors import NoAnswer
from gitxexp.models import references
from gitxexp.project import Project

_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{30}(\.dir)?")


@dataclass(frozen=True)
class Freed:
    """What went from the caches, or would go. ``size``: bytes that the disk gets back."""

    caches: tuple[Path, ...]
    objects: int
    size: int
    kept: int


def free(
    project: Project,
    others: Sequence[Path] = (),
    *,
    dry_run: bool = False,
    force: bool = False,
    wait: bool = True,
) -> Freed:
    """Delete every cached object that no tag, branch, stash or worktree refers to.

    ``others`` are further projects that use the cache. Raises NoAnswer when the cache lies outside
    the repository and none is named, or (unless ``force``) when a list of files that something
    refers to is nowhere to be read; XexpError while another DVC command runs.
    """
    projects = [project, *(Project.open(path) for path in others)]
    with project.locked(wait=wait):
        project.recover()
        places = list(dict.fromkeys(root for one in projects for root in references.roots(one)))
        caches = _caches(project, places, named=bool(others))
        with dvcio.exclusively(places):
            keep = _used(projects, force=force)
            return _sweep(caches, keep, dry_run=dry_run)


def _caches(project: Project, places: Sequence[Path], *, named: bool) -> list[Path]:
    """The caches of these projects. One that others may share needs their names."""
    caches = dvcio.cache_dirs(places[0], places[1:]) if places else []
    inside = [Path(os.path.realpath(p)) for p in (*places, project.places.common_dir)]
    for cache in caches:
        if not named and not any(cache.is_relative_to(place) for place in inside):
            raise NoAnswer(
                f"the cache {cache} lies outside this repository: other projects may use it",
                "name each that does: --project PATH (this one alone: --project .)",
            )
    return caches


def _used(projects: Sequence[Project], *, force: bool) -> frozenset[str]:
    keep: frozenset[str] = frozenset()
    for project in projects:
        found = references.used(project)
        if found.lost and not force:
            more = f" and {len(found.lost) - 1} more" if len(found.lost) > 1 else ""
            raise NoAnswer(
                f"the list of files {found.lost[0]}{more} is in no cache and on no remote,"
                " so what it needs is not known",
                "bring it back: dvc fetch --all-tags --all-branches; or go on without: --force",
            )
        keep |= found.oids
    return keep


def _sweep(caches: Sequence[Path], keep: frozenset[str], *, dry_run: bool) -> Freed:
    objects = size = kept = 0
    for cache in caches:
        for oid, path in _objects(cache):
            if oid in keep:
                kept += 1
                continue
            info = path.stat()
            if not dry_run:
                path.unlink(missing_ok=True)
                with suppress(OSError):
                    path.parent.rmdir()
            objects += 1
            size += info.st_size if info.st_nlink == 1 else 0
    return Freed(tuple(caches), objects, size, kept)


def _objects(cache: Path) -> Iterator[tuple[str, Path]]:
    """Every object of both cache layouts, by hash."""
    for base in (cache / "files" / "md5", cache):
        with suppress(FileNotFoundError):
            for folder in sorted(base.iterdir()):
                if not _FOLDER.fullmatch(folder.name) or not folder.is_dir():
                    continue
                for path in sorted(folder.iterdir()):
                    if _REST.fullmatch(path.name) and path.is_file():
                        yield folder.name + path.name, path
