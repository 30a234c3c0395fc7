"""What a remote has, by a full listing; pushing what it lacks, fetching what we lack.

``dvc push`` and ``dvc status -c`` trust an index of what was pushed before: after an interrupted
push both called an incomplete remote complete (12 of 18 kills). Here every object of every output,
each entry of each directory manifest included, is asked for; manifests are sent last, so that a
manifest on a remote means its files are there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitxexp.dvcio.objects import find_object, manifest, object_path, parse_manifest
from gitxexp.dvcio.places import cache_dirs, local_remote_dir, remote_name
from gitxexp.dvcio.session import opened
from gitxexp.errors import XexpError
from gitxexp.pointers import File, Output


@dataclass(frozen=True, slots=True)
class MissingObject:
    """One object that a remote lacks. ``path`` is the file's (or directory's) path."""

    oid: str
    path: str
    remote: str
    output: Output
    cached: Path | None  #: where a local cache has it; None: neither here nor there
    damaged: bool = False  #: the remote has something of another size under this name


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object that an output needs. ``size`` in bytes where the pointer or manifest says so."""

    oid: str
    path: str
    size: int | None
    output: Output


def pushable(output: Output) -> bool:
    """Whether the output's objects belong on a remote under their hash."""
    imported = output.source is not None and output.source.repo
    return (
        output.cached and output.push and bool(output.oid) and not imported and not output.versioned
    )


def objects_of(output: Output, entries: Sequence[File] | None) -> Iterator[Wanted]:
    """Every object of an output, files before the manifest; each once."""
    assert output.oid
    seen = set()
    for entry in entries or ():
        oid = (entry.hash or "")[4:]
        if oid and oid not in seen:
            seen.add(oid)
            yield Wanted(oid, f"{output.path}/{entry.path}", entry.size, output)
    yield Wanted(output.oid, output.path, None if output.is_dir else output.size, output)


def missing_on_remote(
    top: Path,
    outputs: Iterable[Output],
    remote: str | None = None,
    siblings: Iterable[Path] = (),
) -> list[MissingObject]:
    """Every object of these outputs that its remote lacks, by full listing.

    ``siblings`` are other worktrees' tops, whose caches may hold manifests and objects. A remote
    that is a local directory is asked without importing DVC. A directory whose manifest is nowhere
    is reported by its manifest alone. XexpError when there is no remote or it cannot be reached.
    """
    siblings = list(siblings)
    found: list[MissingObject] = []
    for (root, name), group in _by_remote(top, outputs, remote).items():
        caches = cache_dirs(top / root, (place / root for place in siblings))
        folder = local_remote_dir(top / root, name)
        if folder is not None:
            found += _missing_in_folder(folder, name, group, caches)
        else:
            found += _missing_by_dvc(top / root, name, group, caches)
    return found


def on_local_remote(top: Path, output: Output, remote: str | None = None) -> bool | None:
    """Whether the output's own object is on its remote, without DVC and without looking into
    manifests; None when the remote is not a local directory (then only DVC can tell)."""
    if not pushable(output):
        return None
    folder = local_remote_dir(top / output.root, output.remote or remote)
    return object_path(folder, output.oid or "", output.legacy).is_file() if folder else None


def _by_remote(
    top: Path, outputs: Iterable[Output], remote: str | None
) -> dict[tuple[str, str], list[Output]]:
    """Outputs grouped by project and remote; what the pointer says wins over ``remote``."""
    groups: dict[tuple[str, str], list[Output]] = {}
    for out in outputs:
        if pushable(out):
            name = out.remote or remote_name(top / out.root, remote)
            if name is None:
                raise XexpError("no DVC remote is set", "dvc remote add -d NAME URL")
            groups.setdefault((out.root, name), []).append(out)
    return groups


def _missing_in_folder(
    folder: Path, name: str, group: list[Output], caches: list[Path]
) -> Iterator[MissingObject]:
    if not folder.parent.is_dir():
        raise XexpError(f"remote {name!r} cannot be reached: no such folder: {folder}", "mount it")
    seen: set[tuple[str, bool]] = set()
    for out in group:
        entries = manifest(out, [*caches, folder]) if out.is_dir else ()
        for want in objects_of(out, entries):
            key = (want.oid, out.legacy)
            if key in seen:
                continue
            seen.add(key)
            there = _size(object_path(folder, want.oid, out.legacy))
            cached = find_object(caches, want.oid, out.legacy)
            size = want.size if cached is None or want.size is not None else _size(cached)
            if there is None or (size is not None and there != size):
                yield MissingObject(want.oid, want.path, name, out, cached, there is not None)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _missing_by_dvc(
    root: Path, name: str, group: list[Output], caches: list[Path]
) -> Iterator[MissingObject]:
    with opened(root, f"ask remote {name!r}") as repo:
        for legacy in (False, True):
            members = [out for out in group if out.legacy is legacy]
            if members:
                odb = remote_odb(repo, name, legacy)
                wants = _all_objects(odb, members, caches)
                present = set(odb.oids_exist(list(wants)))
                for oid, want in wants.items():
                    if oid not in present:
                        cached = find_object(caches, oid, legacy)
                        yield MissingObject(oid, want.path, name, want.output, cached)


def _all_objects(odb: Any, outputs: list[Output], caches: list[Path]) -> dict[str, Wanted]:
    """Every object by hash; a manifest that no cache has is read from the remote."""
    wants: dict[str, Wanted] = {}
    for out in outputs:
        entries = manifest(out, caches) if out.is_dir else ()
        if entries is None and out.oid and odb.exists(out.oid):
            entries = parse_manifest(odb.fs.cat_file(odb.oid_to_path(out.oid)), out.oid)
        for want in objects_of(out, entries):
            wants.setdefault(want.oid, want)
    return wants


def remote_odb(repo: Any, name: str | None, legacy: bool) -> Any:
    """DVC's object database of a remote; raises what DVC raises when it cannot be opened."""
    return repo.cloud.get_remote_odb(name, hash_name="md5-dos2unix" if legacy else "md5")
