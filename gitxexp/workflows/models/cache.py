"""``prune --cache``: delete unreferenced objects from the DVC cache.

``dvc gc`` considers one worktree and deletes what the others need; its ``-A -p`` reads every
commit. Here every object that could still be checked out is found first: in the trees of all refs,
every stash, each worktree's HEAD and unfinished merges or rebases, the indexes, the files of every
worktree, and whatever ``git xexp undo`` may restore. Any hash in a ``.dvc`` file or ``dvc.lock``
counts, whatever its meaning, so a pointer that cannot be parsed (conflict markers, a later format)
still protects what it names.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository.commit import RefMoved
from gitxexp.repository.operation import Changed, Step, UndoContext, Undoing
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc.add import exclusively
from gitxexp.storage.dvc.places import cache_dir, cache_dirs, is_dvc_repo
from gitxexp.storage.dvc.pointers import Output, outputs_in
from gitxexp.storage.git import Git, GitError, asked_once, decode
from gitxexp.storage.objects import Objects, hash_file, object_path, parse_manifest
from gitxexp.storage.sources import Stores, Strategy

_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{30}(\.dir)?")


@dataclass(frozen=True)
class FreedCache:
    """What was removed from the caches, or would be. ``size``: bytes freed on disk."""

    caches: tuple[Path, ...]
    objects: int
    size: int
    kept: int


def prune_cache(
    project: Project,
    others: Sequence[Path] = (),
    *,
    dry_run: bool = False,
    force: bool = False,
    wait: bool = True,
) -> FreedCache:
    """Delete every cached object that no tag, branch, stash or worktree refers to.

    ``others`` are other projects that use the cache. Raises NoAnswer if the cache is outside the
    repository and none is named, or (unless ``force``) if a referenced manifest cannot be found;
    XexpError while another DVC command runs.
    """
    projects = [project, *(Project.open(path) for path in others)]
    with project.locked(wait=wait):
        project.recover()
        places = list(dict.fromkeys(root for one in projects for root in dvc_roots(one)))
        caches = _caches(project, places, named=bool(others))
        with exclusively(places):
            keep = _used(projects, force=force)
            return _sweep(caches, keep, dry_run=dry_run)


def _caches(project: Project, places: Sequence[Path], *, named: bool) -> list[Path]:
    """The caches of these projects. A cache that others may share requires naming them."""
    caches = cache_dirs(places[0], places[1:]) if places else []
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
        used = used_objects(project)
        if used.lost and not force:
            more = f" and {len(used.lost) - 1} more" if len(used.lost) > 1 else ""
            raise NoAnswer(
                f"the list of files {used.lost[0]}{more} is in no cache and on no remote,"
                " so the objects that it needs are unknown",
                "bring it back: dvc fetch --all-tags --all-branches; or continue without: --force",
            )
        keep |= used.oids
    return keep


def _sweep(caches: Sequence[Path], keep: frozenset[str], *, dry_run: bool) -> FreedCache:
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
    return FreedCache(tuple(caches), objects, size, kept)


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


# -- objects that an operation adds ----------------------------------------------------------------

_COARSE = 20_000_000  #: ns; a file system's clock may lag this far behind


@contextmanager
def objects_noted(
    project: Project, running: Running, paths: Iterable[str]
) -> Iterator[list[Output]]:
    """Record what DVC adds to the cache for the outputs at ``paths`` during the block, so that it
    is removed if the operation is undone.

    A block that knows the outputs afterwards puts them into the list; else they are read.
    """
    names = sorted(set(paths))
    step = ObjectsAdded(str(project.top), names, time.time_ns() - _COARSE)
    seq = running.record(step)
    outputs: list[Output] = []
    yield outputs
    named = [out for out in outputs or outputs_in(project.top) if out.path in names and out.oid]
    known = [CachedObject(out.root, out.oid or "", out.legacy) for out in named]
    running.amend(seq, replace(step, objects=known))


@dataclass(frozen=True, slots=True)
class CachedObject:
    """One object of the cache of the DVC project at ``root``."""

    root: str
    oid: str
    legacy: bool


@dataclass(frozen=True, slots=True)
class ObjectsAdded(Step):
    """The content of the outputs ``paths`` added to the cache since the time ``since`` (ns).

    ``objects`` are the outputs' objects, None until known.
    """

    kind: ClassVar[str] = "objects"

    top: str
    paths: list[str]
    since: int
    objects: list[CachedObject] | None = None

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        objects = data.pop("objects")
        known = None if objects is None else [CachedObject(**item) for item in objects]
        return cls(**data, objects=known)

    def check(self, at: UndoContext) -> Changed | None:
        return None  # a referenced object stays

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        """Removed objects are kept under a second name for a redo."""
        folder, kept = keep / "objects", {}
        for path in self._unused(at):
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{path.parent.name}{path.name}"
            with suppress(FileExistsError):
                link_or_copy(path, folder / name)
            kept[str(path)] = str(folder / name)
        return (ObjectsTaken(kept, asdict(self)),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        """Remove unreferenced objects that the operation added."""
        for path in self._unused(at):
            path.unlink(missing_ok=True)

    def _unused(self, at: UndoContext) -> list[Path]:
        project = Project(at.git, at.places, at.notify)
        with asked_once():
            fresh = {oid: path for oid, path in self._candidates(project) if self._is_fresh(path)}
            keep = used_objects(project).oids if fresh else frozenset()
        return [path for oid, path in fresh.items() if oid not in keep]

    def _is_fresh(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            return path.stat().st_ctime_ns >= self.since
        return False

    def _candidates(self, project: Project) -> Iterator[tuple[str, Path]]:
        """Return the objects that may have been added, in this repository's own caches."""
        top = Path(self.top)
        inside = [*project.tops(), project.places.common_dir]
        for item in self.objects if self.objects is not None else self._as_it_is(top):
            cache = Path(os.path.realpath(cache_dir(top / item.root)))
            if not any(cache.is_relative_to(os.path.realpath(place)) for place in inside):
                continue  # other repositories may use it
            path = object_path(cache, item.oid, item.legacy)
            if item.oid.endswith(".dir") and path.is_file():
                for entry in parse_manifest(path.read_bytes()) or ():
                    oid = (entry.hash or "")[4:]
                    yield oid, object_path(cache, oid, item.legacy)
            yield item.oid, path

    def _as_it_is(self, top: Path) -> Iterator[CachedObject]:
        """Return the work tree's objects, if the operation died before recording them."""
        outputs = [out for out in outputs_in(top) if out.path in self.paths]
        for out in outputs:
            place = top / out.path
            files = [p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place]
            for file in files:
                if file.is_file() and not file.is_symlink():
                    yield CachedObject(out.root, hash_file(file), out.legacy)


@dataclass(frozen=True, slots=True)
class ObjectsTaken(Step):
    """Objects removed from the cache: path → where each is ``kept``. ``added``: the step that added
    them (:class:`ObjectsAdded`)."""

    kind: ClassVar[str] = "objects taken"

    kept: dict[str, str]
    added: dict[str, Any]

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (ObjectsAdded.load(dict(self.added)),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        for path, kept in self.kept.items():
            if Path(kept).exists() and not Path(path).exists():
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(Path(kept), Path(path))


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link an object, which is read-only; copy it if that is impossible."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(source, target)


_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
_GREP = ("-c", "grep.lineNumber=false", "-c", "grep.column=false", "grep", "-h", "-a", "-E",
         "--no-color", "--no-recurse-submodules", "-e", "[0-9a-f]{32}")  # fmt: skip
_SPEC = ("--", "*.dvc", "*dvc.lock")
_HEADS = ("HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD")
_AT_ONCE = 500


@dataclass(frozen=True)
class UsedObjects:
    """Hashes without their algorithm; ``lost``: manifests (``.dir``) that cannot be found."""

    oids: frozenset[str]
    lost: tuple[str, ...]


def used_objects(project: Project) -> UsedObjects:
    """Return every object that this repository references, including members of directories.

    Raises XexpError if git cannot read something: then the references are unknown.
    """
    with asked_once():
        trees = [path for path in project.tops() if path.is_dir()]
        hashes: set[bytes] = set()
        commits = {*_refs(project.git), *_undoable(project)}
        for tree in trees:
            git = Git(tree, foreign=True)
            commits |= {*_refs(git), *_heads(git)}
            hashes |= _in_files(tree, git)
        commits |= {tree["HEAD"] for tree in project.worktrees() if "HEAD" in tree}
        hashes |= _in_trees(project, _tree_ids(project.git, commits))
        for index in _indexes(project):
            hashes |= _in_index(project, index)
        hashes |= _in_keeps(project)
        oids = {oid.decode() for oid in hashes}
        members, lost = _members(project, trees, sorted(o for o in oids if o.endswith(".dir")))
        return UsedObjects(frozenset(oids | members), tuple(lost))


def dvc_roots(project: Project) -> list[Path]:
    """Return every DVC project of every existing worktree."""
    roots: dict[Path, None] = {}
    for tree in project.tops():
        if tree.is_dir():
            git = Git(tree, foreign=True)
            for name in git.fields(
                "ls-files", "-z", "--full-name", "--", ".dvc/config", "*/.dvc/config"
            ):
                roots[tree / name.removesuffix(".dvc/config").rstrip("/")] = None
            if is_dvc_repo(tree):
                roots[tree] = None
    return [root for root in roots if is_dvc_repo(root)]


# -- commits ---------------------------------------------------------------------------------------


def _refs(git: Git) -> set[str]:
    """Every ref's object, and every stash's."""
    refs = git.refs()
    return {*refs.values(), *(_stashes(git) if "refs/stash" in refs else ())}


def _stashes(git: Git) -> set[str]:
    """Every stash with its parents: the index and the untracked files are commits of their own."""
    return {
        oid
        for line in git.lines("log", "-g", "--format=%H %P", "refs/stash")
        for oid in line.split()
    }


def _heads(git: Git) -> Iterator[str]:
    yield from _peeled(git, _HEADS, "commit")
    folder = git.places().git_dir
    for name in ("rebase-merge/orig-head", "rebase-merge/onto", "rebase-apply/orig-head"):
        if (folder / name).is_file():
            yield (folder / name).read_text().strip()


def _undoable(project: Project) -> Iterator[str]:
    """Return the objects that undo would move branches and tags back to."""
    for operation in project.log.operations("done"):
        for step in project.log.steps(operation.id):
            if isinstance(step, RefMoved):
                yield from (oid for oid in (step.old, step.new) if oid)


def _tree_ids(git: Git, oids: Iterable[str]) -> list[str]:
    """The trees of commits and tags, each once; an object without one is skipped."""
    return sorted(_peeled(git, sorted(oids), "tree"))


def _peeled(git: Git, names: Iterable[str], kind: str) -> set[str]:
    """The ids of the objects of this kind that the names lead to; one without is skipped."""
    asked = "".join(f"{name}^{{{kind}}}\n" for name in names)
    lines = git.text("cat-file", "--batch-check", stdin=asked.encode()) if asked else ""
    return {line.split()[0] for line in lines.splitlines() if line.endswith(tuple("0123456789"))}


def _in_trees(project: Project, trees: list[str]) -> set[bytes]:
    hashes: set[bytes] = set()
    at_top = Git(project.commits.cwd)
    for start in range(0, len(trees), _AT_ONCE):
        hashes |= _grep(at_top, *trees[start : start + _AT_ONCE])
    return hashes


def _grep(git: Git, *args: str, env: dict[str, str] | None = None) -> set[bytes]:
    done = git.call(*_GREP, *args, *_SPEC, env=env)
    if done.returncode not in (0, 1) or (done.returncode == 1 and done.stderr):
        raise GitError(("grep",), done.returncode, decode(done.stderr))
    return set(_HASH.findall(done.stdout))


# -- uncommitted content --------------------------------------------------------------------------


def _indexes(project: Project) -> list[Path]:
    """The index of every worktree, including those whose folder is gone."""
    common = project.places.common_dir
    indexes = [common / "index", *common.glob("worktrees/*/index")]
    return [path for path in indexes if path.is_file()]


def _in_index(project: Project, index: Path) -> set[bytes]:
    git = Git(project.commits.cwd, foreign=True)
    return _grep(git, "--cached", env={"GIT_INDEX_FILE": str(index)})


def _in_files(tree: Path, git: Git) -> set[bytes]:
    flags = ("-z", "--cached", "--others", "--exclude-standard", "--full-name")
    names = git.fields("ls-files", *flags, "--", "*.dvc", "*dvc.lock")
    return _in_texts(tree / name for name in names)


def _in_keeps(project: Project) -> set[bytes]:
    """Pointers among the backups of operations, which undo would restore."""
    done = [project.state / "ops" / str(o.id) for o in project.log.operations("done")]
    files = (path for keep in done for path in keep.rglob("*"))
    return _in_texts(path for path in files if path.name.endswith((".dvc", "dvc.lock")))


def _in_texts(paths: Iterable[Path]) -> set[bytes]:
    hashes: set[bytes] = set()
    for path in paths:
        if path.is_file():
            hashes |= set(_HASH.findall(path.read_bytes()))
    return hashes


# -- members of directories --------------------------------------------------------------------


def _members(project: Project, trees: list[Path], folders: list[str]) -> tuple[set[str], list[str]]:
    """The hashes in these manifests, and the manifests that are in no cache or remote."""
    hashes: set[str] = set()
    lost = []
    names = {root.relative_to(tree).as_posix() for root in dvc_roots(project) for tree in trees
             if root.is_relative_to(tree)}  # fmt: skip
    siblings = [tree for tree in trees if tree != project.places.top]
    stores = Stores(Objects(project.store, lambda: siblings), Strategy.AUTO)
    places = [
        ("" if name == "." else name, legacy) for name in sorted(names) for legacy in (False, True)
    ]
    for folder in folders:
        for root, legacy in places:
            out = Output(
                path=folder, hash=f"md5:{folder}", size=None, nfiles=None, remote=None, pointer="",
                stage=None, legacy=legacy, root=root,
            )  # fmt: skip
            entries = None
            with suppress(XexpError):  # the remote of one project does not answer
                entries = stores.manifest(out)
            if entries is not None:
                hashes |= {(entry.hash or "")[4:] for entry in entries}
                break
        else:
            lost.append(folder)
    return hashes, lost
