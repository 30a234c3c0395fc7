"""Add changed outputs to the cache and write their new hashes to the pointers.

Also writes pointers for files whose hash is known, and for single files of a tracked directory.

DVC's own ``add`` does the work; known hashes are stored in its state database first (keyed by path,
inode, time and size), so that it does not hash again. A file of a directory output is added or
dropped individually, so that files that are not checked out stay in the list.

Progress is estimated from the bytes that this process has read, because DVC's own ``add`` does not
report any.

Linux counts them (proc(5), ``/proc/PID/io``: rchar). On other systems nothing is reported.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.processes import every
from gitxexp.storage.dvc.databases import databases_in, held_still, own_copy
from gitxexp.storage.dvc.places import cache_dir, is_dvc_repo, work_file
from gitxexp.storage.dvc.pointers import Output, check_pointers, definitions_in, outputs_by
from gitxexp.storage.dvc.session import check_project, opened
from gitxexp.storage.objects import (
    CorruptObject,
    Progress,
    hash_file,
    matches,
    object_path,
    take_in,
)
from gitxexp.storage.paths import inside


@dataclass(frozen=True, slots=True)
class Added:
    """The outputs with their new hashes, and the pointer and ``.gitignore`` files that changed;
    ``every`` lists all outputs of the work tree afterwards."""

    outputs: tuple[Output, ...]
    touched: tuple[str, ...]  #: relative to the top of the work tree
    every: tuple[Output, ...] = ()


def add(
    top: Path,
    paths: Iterable[str],
    progress: Progress | None = None,
    timeout: float = 30.0,
    tracked: Tracked | None = None,
) -> Added:
    """Add the content of ``paths`` (relative to ``top``) to the DVC cache.

    Works for ``.dvc`` outputs, for pipeline outputs (their own line of ``dvc.lock`` is updated, not
    the parameters and dependencies that their stage ran with) and for new paths (a ``.dvc`` file is
    created). Files in the work tree are not replaced by links, and not read where their hash is
    ``tracked``. Databases are locked meanwhile (see :mod:`.databases`). Raises XexpError if one is
    still being written after ``timeout`` seconds, or if DVC refuses.
    """
    definitions = definitions_in(top)
    known = {out.path: out for out in outputs_by(top, definitions)}
    wanted = list(dict.fromkeys(_owner(path, known) for path in paths))
    for path in wanted:
        _check(top, path, known)
    before = _ignore_files(top, wanted)
    groups: dict[Path, list[str]] = {}
    for path in wanted:
        groups.setdefault(_root(top, path, known), []).append(path)
    with counted((top / path for path in wanted), progress):
        for root, members in groups.items():
            _unlink(top, root, members, known)
            with held_still((top / path for path in members), timeout), opened(root, "add") as repo:
                _remember(repo, tracked)
                _add_here(repo, top, members, known)
    made = (f"{path}.dvc" for path in wanted if path not in known)
    every = outputs_by(top, (*definitions, *made), left_out=True)
    fresh = {out.path: out for out in every}
    added = tuple(fresh[path] for path in wanted if path in fresh)
    ignores = [name for name, text in _ignore_files(top, wanted).items() if before[name] != text]
    pointers = [out.pointer for out in added if out != known.get(out.path)]
    return Added(added, tuple(sorted({*pointers, *ignores})), tuple(fresh.values()))


def _check(top: Path, path: str, known: dict[str, Output]) -> None:
    """Raise Refused if DVC would read, or write for this path, through a link that leaves the work
    tree."""
    if path in known:
        check_pointers(top, [known[path]])
    for beside in (f"{path}.dvc", posixpath.join(posixpath.dirname(path), ".gitignore")):
        inside(top, beside)
    place = work_file(top, path)
    for folder, folders, files in os.walk(place) if place.is_dir() else ():
        for name in (*folders, *files):
            file = Path(folder, name)
            if file.is_symlink():
                work_file(top, file.relative_to(top).as_posix())


def _owner(path: str, known: dict[str, Output]) -> str:
    """The output that a path belongs to, or the path itself."""
    if path in known:
        return path
    return next((out for out in known if path.startswith(out + "/")), path)


def _root(top: Path, path: str, known: dict[str, Output]) -> Path:
    """The DVC project that a path belongs to."""
    if path in known:
        return top / known[path].root
    for folder in (top / path).parents:
        if is_dvc_repo(folder):
            return folder
        if folder == top:
            break
    raise XexpError(f"cannot add {path}: this is not a DVC project", "git xexp init")


def _ignore_files(top: Path, paths: Iterable[str]) -> dict[str, bytes | None]:
    """Return the content of every ``.gitignore`` that adding these paths could change."""
    found: dict[str, bytes | None] = {}
    for path in paths:
        name = posixpath.join(posixpath.dirname(path), ".gitignore")
        file = inside(top, name)
        found[name] = file.read_bytes() if file.is_file() else None
    return found


def _add_here(repo: Any, top: Path, paths: list[str], known: dict[str, Output]) -> None:
    """Add all paths of one DVC project: ``.dvc`` outputs at once, then stage by stage."""
    made = [known[path] for path in paths if path in known and known[path].stage]
    stages = {out.addressing for out in made if out.hash is None}
    plain = [path for path in paths if path not in known or known[path].stage is None]
    if plain:
        repo.add([str(top / path) for path in plain], relink=False)
    for stage in sorted(stages):  # according to dvc.lock it has never run
        with chdir(repo.root_dir):  # DVC checks the run cache's paths against the current folder
            repo.commit(str(top / stage), force=True, allow_missing=True, relink=False)
    for out in made:
        if out.addressing not in stages:
            _commit_output(repo, top, out)


def _commit_output(repo: Any, top: Path, out: Output) -> None:
    """Add one output of a stage to the cache and ``dvc.lock``, and nothing else from the stage.

    ``dvc commit -f`` would also record the current parameters and code, and DVC would believe that
    the stage ran with them.
    """
    from dvc.repo import lock_repo
    from dvc.utils.serialize import modify_yaml

    with lock_repo(repo):
        stage = repo.stage.load_one(str((top / out.pointer).with_name("dvc.yaml")), out.stage)
        path = os.path.realpath(top / out.path)
        (output,) = (o for o in stage.outs if os.path.realpath(o.fs_path) == path)
        output.save()
        output.commit(relink=False)
        with modify_yaml(str(top / out.pointer)) as document:
            written = document["stages"][out.stage]["outs"]
            (entry,) = (e for e in written if e["path"] == output.def_path)
            entry["md5"] = output.hash_info.value
            for key, value in (("size", output.meta.size), ("nfiles", output.meta.nfiles)):
                if value is not None:
                    entry[key] = value


def _unlink(top: Path, root: Path, paths: list[str], known: dict[str, Output]) -> None:
    """Replace linked databases, and files written through a link to the cache, by real files.

    A write through a hard link (root may, whatever the mode) changes the cache object under its old
    hash: that object is removed, so that it can be fetched again.
    """
    cache = cache_dir(root)
    for path in paths:
        out = known.get(path)
        kept, oid = None, out.oid if out is not None and not out.is_dir else None
        if out is not None and oid:
            kept = object_path(cache, oid, out.legacy)
        linked = {file for file, _ in databases_in(top / path) if _is_link(file)}
        if kept is not None and kept.exists() and (top / path).samefile(kept):
            linked.add(top / path)
        for file in linked:
            own_copy(file)
        if linked and kept is not None and kept.is_file() and hash_file(kept) != oid:
            kept.unlink()


def _is_link(path: Path) -> bool:
    return path.is_symlink() or path.stat().st_nlink > 1


@dataclass(frozen=True, slots=True)
class Tracked:
    """Hashes to pass to DVC: absolute path → md5 as hex, of files in their current state."""

    hashes: Mapping[Path, str]


def _remember(repo: Any, tracked: Tracked | None) -> None:
    """Store file hashes in DVC's state, so that it does not read the files again."""
    from dvc.fs import localfs
    from dvc_data.hashfile.hash_info import HashInfo

    for path, digest in (tracked.hashes if tracked else {}).items():
        repo.state.save(str(path), localfs, HashInfo("md5", digest))


def track_file(top: Path, path: str, tracked: Tracked) -> Added:
    """Run ``dvc add`` on a file or directory whose file hashes are known."""
    return add(top, [path], tracked=tracked)


def track_members(
    top: Path, output: Output, members: Iterable[str], tracked: Tracked
) -> tuple[str, ...]:
    """Update these paths (relative to the top) of a directory output in its pointer.

    Missing paths are dropped; the other files are neither read nor needed. Returns the changed
    pointer.
    """
    members = list(members)
    check_pointers(top, [output])
    for path in members:
        work_file(top, path)
    (top / output.path).mkdir(parents=True, exist_ok=True)  # DVC requires it, even if empty
    with opened(top / output.root, f"update {output.pointer}") as repo:
        _remember(repo, tracked)
        repo.add([str(top / path) for path in members], relink=False)
    return (output.pointer,)


def store(root: Path, path: Path, oid: str, *, legacy: bool = False) -> None:
    """Put the object ``oid``, with the bytes of ``path``, into the project's cache."""
    check_project(root)
    kept = object_path(cache_dir(root), oid, legacy)
    if kept.is_symlink() or (kept.exists() and not matches(kept, oid, legacy)):
        kept.unlink()
    try:
        take_in(cache_dir(root), path, oid, legacy)
    except CorruptObject as error:
        raise XexpError(f"cannot add {path.name} to the cache: {error}", "try again") from error


@contextmanager
def exclusively(roots: Iterable[Path]) -> Iterator[None]:
    """Keep other DVC commands from running in these projects, as a context manager.

    Raises XexpError if one is running.
    """
    with ExitStack() as stack:
        for root in roots:
            repo = stack.enter_context(opened(root, "lock the cache"))
            stack.enter_context(repo.lock)
        yield


_EVERY = 0.2
_TIMES = 2  #: DVC reads once to hash, once to copy


@contextmanager
def counted(paths: Iterable[Path], progress: Progress | None) -> Iterator[None]:
    """Report bytes while the block adds ``paths`` to the cache."""
    before = _read() if progress else None
    if progress is None or before is None:
        yield
        return
    report, start, total = progress, before, _TIMES * sum(map(_size, paths))

    def look() -> None:
        now = _read()
        if now is not None:
            report(min(now - start, total), total, "B")

    with every(_EVERY, look):
        yield


def _read() -> int | None:
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/io").read_text("ascii").splitlines():
            if line.startswith("rchar: "):
                return int(line[7:])
    return None


def _size(path: Path) -> int:
    with suppress(OSError):
        if not path.is_dir():
            return path.stat().st_size
        return sum(
            entry.stat().st_size
            for folder, _, names in os.walk(path)
            for entry in (Path(folder) / name for name in names)
        )
    return 0
