"""Repair cache objects from the files of work trees.

A file in a work tree has the bytes of its object until somebody changes it, so it can replace an
object that was damaged (written through a link, a bad disk) or is gone. Nothing is trusted:
everything is hashed before it is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import atomic_write
from gitxexp.storage import paths
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import walk
from gitxexp.storage.dvc.places import cache_dir, cache_dirs
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.objects import (
    hash_file,
    is_object,
    manifest,
    manifest_hash,
    matches,
    object_path,
    objects_of,
)


@dataclass
class WorkTreeFiles:
    """The outputs of several work trees, by the objects that their pointers name."""

    tops: tuple[Path, ...]

    @cached_property
    def _paths(self) -> dict[str, list[tuple[Path, str]]]:
        by_oid: dict[str, list[tuple[Path, str]]] = {}
        for top in self.tops:
            for out in _outputs(top):
                if out.is_dir:
                    caches = cache_dirs(top / out.root, (other / out.root for other in self.tops))
                    for entry in manifest(out, caches) or ():
                        oid = (entry.hash or "")[4:]
                        by_oid.setdefault(oid, []).append((top, f"{out.path}/{entry.path}"))
                if out.oid:
                    by_oid.setdefault(out.oid, []).append((top, out.path))
        return by_oid

    def copies(self, oid: str) -> Iterator[Path]:
        """Return files (for a manifest: folders) that had the object's bytes when they were placed."""
        for top, name in self._paths.get(oid, ()):
            with suppress(paths.Refused, OSError):
                path = paths.inside(top, name)
                if path.is_dir() if oid.endswith(".dir") else is_object(path):
                    yield path


def _outputs(top: Path) -> list[Output]:
    """Return the outputs of a work tree; none if its pointers are unreadable now (during a merge)."""
    with suppress(XexpError, OSError):
        return pointers.outputs_in(top)
    return []


def restore(
    top: Path,
    outputs: Iterable[Output],
    trees: WorkTreeFiles,
    damaged: Collection[Path] = (),
) -> list[Path]:
    """Restore objects of these outputs that the cache of ``top`` lacks, or that are ``damaged``,
    from work trees; return the repaired objects."""
    restored = []
    for out in outputs:
        if not out.oid or out.versioned:
            continue
        caches = cache_dirs(top / out.root, (other / out.root for other in trees.tops))
        own = cache_dir(top / out.root)
        entries = manifest(out, caches) if out.is_dir else ()
        if entries is None and restore_object(own, out.oid, trees):
            restored.append(object_path(own, out.oid))
            entries = manifest(out, [own])
        for want in objects_of(out, entries):
            places = [object_path(cache, want.oid, out.legacy) for cache in caches]
            present = [path for path in places if is_object(path)]
            if any(path not in damaged or path in restored for path in present):
                continue
            for path in present or [object_path(own, want.oid, out.legacy)]:
                cache = path.parents[1 if out.legacy else 3]
                if restore_object(cache, want.oid, trees, legacy=out.legacy):
                    restored.append(path)
    return restored


def restore_object(cache: Path, oid: str, trees: WorkTreeFiles, *, legacy: bool = False) -> bool:
    """Restore one object from the first work tree that has its bytes; return whether there was one."""
    return any(write_object(cache, oid, path, legacy=legacy) for path in trees.copies(oid))


def write_object(cache: Path, oid: str, source: Path, *, legacy: bool = False) -> bool:
    """Write the object from a file (a manifest from a folder), replacing what is there. Returns
    False, with nothing changed, if the bytes differ or the cache is not writable."""
    target = object_path(cache, oid, legacy)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        below = target.relative_to(cache).as_posix()
        with (
            paths.held(cache, below, create=True) as place,
            atomic_write(place, mode=0o444) as temporary,
        ):
            if source.is_dir():
                temporary.write_bytes(_manifest(source))
                valid = manifest_hash(temporary.read_bytes()) == oid
            else:
                shutil.copyfile(source, temporary)
                valid = matches(temporary, oid, legacy)
            if not valid:
                raise _OtherBytes
    except (OSError, paths.Refused, _OtherBytes):
        return False
    return True


class _OtherBytes(Exception):
    pass


def _manifest(folder: Path) -> bytes:
    """Return the manifest of a folder as DVC writes it (dvc_data/hashfile/tree.py, ``as_bytes``)."""
    names = sorted(name for name, _ in walk(os.fspath(folder)))
    entries = [{"md5": hash_file(folder / name), "relpath": name} for name in names]
    return json.dumps(entries, sort_keys=True).encode()
