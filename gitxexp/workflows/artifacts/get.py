"""``get``: restore any file of any past experiment from the nearest place that has it."""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import BinaryIO

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.files import atomic_write
from gitxexp.repository.repository import Project
from gitxexp.storage import paths
from gitxexp.storage.dvc.places import work_file
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.repair import write_object
from gitxexp.storage.filters import as_files
from gitxexp.storage.objects import CorruptObject, Objects, Progress, hash_file
from gitxexp.storage.sources import ObjectCopy, Stores, Strategy, temporary_worktree
from gitxexp.workflows.artifacts import write as artifacts_write
from gitxexp.workflows.artifacts.locate import CommitFile, CommitFiles, PathMatch
from gitxexp.workflows.artifacts.write import Target

_BLOBS = 200  #: read by one git process


@dataclass(frozen=True, slots=True)
class GetRequest:
    """What to get and how. ``out`` is a file, a directory, or None for the current folder."""

    commit: str  #: a full commit id
    paths: tuple[str, ...]
    called: str = ""  #: what the user called the commit, for messages
    out: Path | None = None
    strategy: Strategy = Strategy.AUTO
    force: bool = False
    verify: bool = True
    remote: str | None = None
    #: kept files, by path from the top, with their md5 as hex; they take precedence over the
    #: commit's
    own: Mapping[str, tuple[Path, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GotFile:
    """One file, where it was written and where it came from ("there" if it was already right)."""

    path: str
    target: Path
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class GetReport:
    """Every file in order, and notes (for example on a corrupt cache object)."""

    files: tuple[GotFile, ...]
    notes: tuple[str, ...] = ()


def get(project: Project, request: GetRequest, progress: Progress | None = None) -> GetReport:
    """Write the files that ``request`` names; the user's work tree, index and refs stay as they are.

    Every file is complete and verified, or absent; correct files are left alone, so an interrupted
    directory resumes where it stopped. Raises XexpError for an unknown path (with similar names), a
    file in the way, or content that is nowhere.
    """
    job = _Get(project, request, progress)
    own = {path: name for path in request.paths if (name := _own_name(project, request, path))}
    if own:
        several = len(request.paths) > 1
        for name in own.values():
            job.copy_own(name, _base_of(request, name.rpartition("/")[2], several=several))
        request = replace(request, paths=tuple(p for p in request.paths if p not in own))
    if not request.paths:
        return GetReport(tuple(job.done), tuple(job.notes))
    matches = [job.commit.find(path, project.places.prefix) for path in request.paths]
    for match, base in zip(matches, _bases(request, matches), strict=True):
        job.write(match, base)
    return GetReport(tuple(job.done), tuple(job.notes))


def _own_name(project: Project, request: GetRequest, path: str) -> str | None:
    """Return the kept file for a PATH: relative to the current folder, then to the top."""
    names = (posixpath.normpath(project.places.prefix + path), posixpath.normpath(path))
    return next((name for name in names if name in request.own), None)


def _base_of(request: GetRequest, name: str, *, several: bool) -> Path:
    out = request.out if request.out is not None else Path()
    return out / name if several or request.out is None or out.is_dir() else out


def stream(project: Project, request: GetRequest, out: BinaryIO) -> GetReport:
    """Write the one file that ``request`` names to an open stream, after verifying it."""
    job = _Get(project, request, None)
    if len(request.paths) == 1 and (name := _own_name(project, request, request.paths[0])):
        file = request.own[name][0]
        with file.open("rb") as stream:
            shutil.copyfileobj(stream, out)
        return GetReport((GotFile(name, Path("-"), file.stat().st_size, "kept"),))
    matches = [job.commit.find(path, project.places.prefix) for path in request.paths]
    files = [file for match in matches for file in match.files]
    if len(files) != 1 or any(match.opaque for match in matches):
        raise UsageError("only one file can go to standard output", "choose a folder: -o FOLDER")
    job.stream(files[0], out)
    return GetReport(tuple(job.done), tuple(job.notes))


def _bases(request: GetRequest, matches: Sequence[PathMatch]) -> list[Path]:
    """The file or directory that each PATH becomes."""
    out = request.out if request.out is not None else Path()
    several = len(matches) > 1
    if several and out.exists() and not out.is_dir():
        raise UsageError(
            f"{out} is not a folder, and there are several paths", "choose a folder: -o"
        )
    inside = several or request.out is None or (out.is_dir() and not matches[0].directory)
    return [out / match.name if inside and match.name != "." else out for match in matches]


@dataclass
class _Get:
    project: Project
    request: GetRequest
    progress: Progress | None
    done: list[GotFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    read: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self.stores = Stores(
            Objects(self.project.store, self.project.tops),
            self.request.strategy,
            self.request.remote,
            self.progress,
        )
        self.commit = CommitFiles(
            self.project.commits, self.request.commit, self.stores.manifest, self.request.called
        )

    def report(self, count: int) -> None:
        """Bytes written, for the progress."""
        self.read += count
        if self.progress:
            self.progress(self.read, self.total, "B")

    def copy_own(self, name: str, base: Path) -> None:
        """Return a file kept with the log of its run, or as its candidate, at ``base``."""
        file, md5 = self.request.own[name]
        target = Target.at(self.project.store, base)
        place, size = target.existing(), file.stat().st_size
        if place.is_file() and hash_file(place) == md5:
            self.done.append(GotFile(name, target.path, size, "there"))
            return
        if os.path.lexists(place) and not self.request.force:
            raise XexpError(f"{target.path} exists and differs", "overwrite it: --force")
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(place) as temporary:
            shutil.copyfile(file, temporary)
            if hash_file(temporary) != md5:
                raise XexpError(f"the kept copy of {name} has changed", "try again")
        self.done.append(GotFile(name, target.path, size, "kept"))

    # -- one PATH ------------------------------------------------------------------------------

    def write(self, match: PathMatch, base: Path) -> None:
        """Return everything that one PATH stands for, at ``base``."""
        targets = [
            (file, self.target(base, file.rel if match.directory else "")) for file in match.files
        ]
        place = base if base.is_dir() else base.absolute().parent
        paths.refuse_alike(place, (file.rel for file, _ in targets))
        if self.request.strategy is Strategy.WORKTREE:
            self.by_worktree([pair for pair in targets if pair[0].blob is None], match, base)
            targets = [pair for pair in targets if pair[0].blob is not None]
        elif match.opaque and self.request.strategy is Strategy.AUTO:
            self.by_worktree([], match, base)
        elif match.opaque:
            raise self.nowhere_at(match.opaque[0], match.opaque[0].path)
        todo = [pair for pair in targets if not self.is_there(*pair)]
        self.total += sum(file.size or 0 for file, _ in todo)
        self.stores.prefetch(
            (i.output, i.oid) for i, _ in todo if i.output and i.oid and len(todo) > 1
        )
        last: list[tuple[CommitFile, Target]] = []
        self.by_git([(file, target) for file, target in todo if file.blob is not None])
        for file, target in todo:
            if file.blob is None and not self.by_places(file, target):
                last.append((file, target))
        if last and self.request.strategy is Strategy.AUTO:
            self.refuse_known(last)
            self.by_worktree(last, None, base)
        elif last:
            raise self.nowhere(last[0][0])

    def refuse_known(self, last: Sequence[tuple[CommitFile, Target]]) -> None:
        """Raise XexpError for a file that DVC cannot find elsewhere: an ordinary output with a
        local remote, or none."""
        for file, _ in last:
            out = file.output
            if out is None or out.versioned or out.source is not None:
                continue
            asked = self.stores.asked(out)[0]
            known = asked.name is None or asked.folder is not None
            if known and not self.names_other_remotes(out.root):
                raise self.nowhere(file)

    def names_other_remotes(self, root: str) -> bool:
        """Whether the commit's DVC configuration differs from today's."""
        name = f"{root}/.dvc/config".lstrip("/")
        blob = next(self.project.commits.cat([f"{self.request.commit}:{name}"]), None)
        with suppress(OSError):
            return blob is not None and (self.project.store / name).read_bytes() != blob[2]
        return True

    def target(self, base: Path, rel: str) -> Target:
        """Return where a file is written."""
        return Target.at(self.project.store, base, rel)

    def is_there(self, file: CommitFile, wish: Target) -> bool:
        """Whether the target is already right; raises if it differs and must not be replaced."""
        target = wish.existing()
        if not target.exists() and not target.is_symlink():
            return False
        if target.is_dir() and not target.is_symlink():
            raise XexpError(f"{wish.path} is a folder", "choose another name: -o PATH")
        wanted = _expected(file)
        if file.blob is not None:
            content = self.contents([file])[0]
            wanted = artifacts_write.Expected(
                len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
            )
        if artifacts_write.matches(target, wanted):
            self.done.append(GotFile(file.path, wish.path, target.stat().st_size, "there"))
            return True
        if not self.request.force:
            raise artifacts_write.exists(wish.path)
        return False

    def by_git(self, pairs: Sequence[tuple[CommitFile, Target]]) -> None:
        """Write files that git tracks, from their blobs, some hundred at a time in one process."""
        for start in range(0, len(pairs), _BLOBS):
            batch = pairs[start : start + _BLOBS]
            contents = self.contents([file for file, _ in batch])
            for (file, target), content in zip(batch, contents, strict=True):
                with artifacts_write.new_file(
                    target, force=self.request.force, executable=file.executable
                ) as out:
                    out.write(content)
                self.report(len(content))
                self.done.append(GotFile(file.path, target.path, len(content), "git"))

    def contents(self, files: Sequence[CommitFile]) -> list[bytes]:
        """Yield files that git tracks, as a checkout writes them."""
        git = self.project.commits
        blobs = []
        for file, blob in zip(files, git.cat(file.blob or "" for file in files), strict=True):
            if blob is None:
                raise XexpError(f"git lacks the content of {file.path}", "git fsck")
            blobs.append((file.path, blob[0], blob[2]))
        return as_files(git, blobs)

    def by_places(self, file: CommitFile, target: Target) -> bool:
        """Write a DVC object from the first place with an intact copy; False if there is none."""

        def attempt(place: ObjectCopy) -> None:
            with artifacts_write.new_file(target, force=self.request.force) as out:
                self.copy(place, out, file)

        return self.first_sound(file, target, attempt)

    def first_sound(
        self, file: CommitFile, target: Target, attempt: Callable[[ObjectCopy], None]
    ) -> bool:
        """Try each copy in turn; a corrupt one is noted and the next is tried."""
        assert file.output is not None and file.oid is not None
        damaged: list[Path] = []
        for place in self.stores.places(file.output, file.oid):
            try:
                attempt(place)
            except CorruptObject as error:
                if place.name == "work tree":  # it changed meanwhile
                    continue
                if place.name.startswith("cache"):
                    damaged.append(place.file)
                self.notes.append(
                    f"{place.name} has a corrupt copy of {file.path} ({error}): {place.file}"
                )
                continue
            self.repair(file, place, damaged)
            self.done.append(GotFile(file.path, target.path, place.file.stat().st_size, place.name))
            return True
        return False

    def repair(self, file: CommitFile, valid: ObjectCopy, damaged: Iterable[Path]) -> None:
        """Replace damaged cache objects with a valid copy."""
        assert file.output is not None and file.oid is not None
        legacy = file.output.legacy
        for path in damaged:
            cache = path.parents[1 if legacy else 3]
            if write_object(cache, file.oid, valid.file, legacy=legacy):
                self.notes.append(f"{path} was repaired from the {valid.name}")

    def copy(self, place: ObjectCopy, out: BinaryIO, file: CommitFile) -> None:
        """Copy one object, verified unless the user disabled that."""
        artifacts_write.copy(
            place.file, out, _expected(file), verify=self.request.verify, report=self.report
        )

    def stream(self, file: CommitFile, out: BinaryIO) -> None:
        """Write one file to an open stream. It is verified first, because output cannot be taken
        back."""
        target = Target(Path(), "-", Path("-"))
        if file.blob is not None:
            content = self.contents([file])[0]
            out.write(content)
            self.done.append(GotFile(file.path, target.path, len(content), "git"))
            return

        def attempt(place: ObjectCopy) -> None:
            wanted = _expected(file)
            if self.request.verify and not artifacts_write.matches_object(place.file, wanted):
                raise CorruptObject("its content is not what its name says")
            with place.file.open("rb") as source:
                shutil.copyfileobj(source, out, artifacts_write.CHUNK)

        if self.first_sound(file, target, attempt):
            return
        if self.request.strategy is Strategy.AUTO:
            self.refuse_known([(file, target)])
        elif self.request.strategy is not Strategy.WORKTREE:
            raise self.nowhere(file)
        assert file.output is not None
        with self.pulled([file.output]) as tree:
            source = work_file(tree, file.path)
            if not source.is_file():
                raise self.nowhere(file)
            attempt(ObjectCopy(source, "temporary worktree"))
            self.done.append(
                GotFile(file.path, target.path, source.stat().st_size, "temporary worktree")
            )

    # -- the last resort -----------------------------------------------------------------------

    def by_worktree(
        self, pairs: Iterable[tuple[CommitFile, Target]], match: PathMatch | None, base: Path
    ) -> None:
        """``dvc pull`` in a temporary worktree, then copies of the files from there."""
        pairs = [pair for pair in pairs if not self.is_there(*pair)]
        opaque = match.opaque if match else ()
        outs = {*opaque, *(file.output for file, _ in pairs if file.output)}
        if not outs:
            return
        with self.pulled(outs) as tree:
            for file, target in pairs:
                self.take(tree, file, target)
            for out in opaque:
                for file, rel in _inside(tree, out, match):
                    self.take(tree, file, self.target(base, rel))

    @contextmanager
    def pulled(self, outs: Collection[Output]) -> Iterator[Path]:
        """A temporary worktree that has these outputs."""
        from gitxexp.storage.dvc.remote import pull  # the last place to look

        state, git, home = self.project.state, self.project.commits, self.project.store
        state.mkdir(parents=True, exist_ok=True)
        with temporary_worktree(git, state, self.request.commit, home) as tree:
            lost = pull(tree, outs, home, self.request.remote)
            for out in outs:
                if out.path in lost:
                    raise self.nowhere_at(out, out.path)
            yield tree

    def take(self, tree: Path, file: CommitFile, target: Target) -> None:
        """A file of the temporary worktree, as the user's own; DVC did not verify it."""
        assert file.output is not None
        source = work_file(tree, file.path)
        try:
            if not source.is_file():
                raise self.nowhere(file)
            with artifacts_write.new_file(target, force=self.request.force) as out:
                wanted = _expected(file)
                verify = self.request.verify
                artifacts_write.copy(source, out, wanted, verify=verify, report=self.report)
        except CorruptObject as error:
            self.notes.append(f"the cache or remote has a corrupt copy of {file.path} ({error})")
            raise self.nowhere(file) from error
        size = source.stat().st_size
        self.done.append(GotFile(file.path, target.path, size, "temporary worktree"))

    def nowhere(self, file: CommitFile) -> XexpError:
        assert file.output is not None
        return self.nowhere_at(file.output, file.path)

    def nowhere_at(self, out: Output, path: str) -> XexpError:
        """Raise an error that lists the places that were asked."""
        tried = [f"cache {cache}" for cache in self.stores.caches(out.root) if self.stores.cached]
        if self.stores.remotes:
            asked = self.stores.asked(out)
            folder = asked[0].folder
            gone = f" ({folder} does not exist)" if folder and not folder.is_dir() else ""
            names = [one.name for one in asked if one.name is not None]
            tried += [f"remote {name}{'' if at else gone}" for at, name in enumerate(names)]
            tried += [] if names else ["no remote is set"]
        hint = (
            "asked: "
            + ", ".join(tried or ["a temporary worktree"])
            + "".join(f"\n{note}" for note in self.notes)
        )
        return XexpError(
            f"no valid copy of {path} in any cache or remote ({out.hash or 'no hash'})", hint
        )


def other_worktrees(project: Project) -> list[Path]:
    """The tops of the repository's other worktrees, the main one first."""
    return [path for path in project.tops() if path != project.store]


def _expected(file: CommitFile) -> artifacts_write.Expected:
    legacy = file.output is not None and file.output.legacy
    return artifacts_write.Expected(file.size, file.oid, legacy)


def _inside(tree: Path, out: Output, match: PathMatch | None) -> Iterator[tuple[CommitFile, str]]:
    """Yield every file that DVC pulled for an output and ``match`` selects, and its path below the
    base."""
    assert match is not None
    asked = match.path if match.path.startswith(f"{out.path}/") else out.path
    root = tree / asked
    for file in sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]:
        path = file.relative_to(tree).as_posix()
        rel = path.removeprefix(f"{match.path}/") if match.path else path
        oid = out.oid if path == out.path else None
        size = out.size if path == out.path else None
        below = "" if path == match.path else rel
        yield CommitFile(path, rel, oid=oid, size=size, output=out), below
