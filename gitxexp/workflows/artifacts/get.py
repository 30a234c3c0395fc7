"""``get``: any file of any past experiment, from the nearest place that has it.

What ``get`` is asked for, and its account afterwards.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.places import local_remote_dir, remote_name
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.remote import pull
from gitxexp.storage.objects import Progress
from gitxexp.storage.sources import Place, Stores, Strategy, temporary_worktree
from gitxexp.workflows.artifacts import write as artifacts_write
from gitxexp.workflows.artifacts.locate import Commit, Found, Item

_BLOBS = 200


def get(project: Project, request: Request, progress: Progress | None = None) -> Report:
    """Write the files that ``request`` names; the user's work tree, index and refs stay as they are.

    Every file is complete and verified or absent; files that are right already are left alone, so
    an interrupted directory goes on where it stopped. XexpError: unknown path (with the nearest
    names), a file in the way, content that no place has.
    """
    job = _Job(project, request, progress)
    found = [job.commit.find(path, project.places.prefix) for path in request.paths]
    for one, base in zip(found, _bases(request, found), strict=True):
        job.write(one, base)
    return Report(tuple(job.done), tuple(job.notes))


def stream(project: Project, request: Request, out: BinaryIO) -> Report:
    """Write the one file that ``request`` names to an open stream, after it was verified."""
    job = _Job(project, request, None)
    found = [job.commit.find(path, project.places.prefix) for path in request.paths]
    items = [item for one in found for item in one.items]
    if len(items) != 1 or any(one.opaque for one in found):
        raise UsageError("only one file can go to standard output", "choose a folder: -o FOLDER")
    job.stream(items[0], out)
    return Report(tuple(job.done), tuple(job.notes))


def _bases(request: Request, found: Sequence[Found]) -> list[Path]:
    """The file or directory that each PATH becomes."""
    out = request.out if request.out is not None else Path()
    several = len(found) > 1
    if several and out.exists() and not out.is_dir():
        raise UsageError(
            f"{out} is not a folder, and there are several paths", "choose a folder: -o"
        )
    inside = several or request.out is None or (out.is_dir() and not found[0].directory)
    return [out / one.name if inside and one.name != "." else out for one in found]


@dataclass
class _Job:
    project: Project
    request: Request
    progress: Progress | None
    done: list[Got] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    read: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self.stores = Stores(
            self.project.top,
            lambda: other_trees(self.project),
            self.request.strategy,
            self.request.remote,
            self.progress,
        )
        self.commit = Commit(
            self.project.at_top, self.request.commit, self.stores.manifest, self.request.called
        )

    def report(self, count: int) -> None:
        """Bytes written, for the progress."""
        self.read += count
        if self.progress:
            self.progress(self.read, self.total, "B")

    # -- one PATH ------------------------------------------------------------------------------

    def write(self, found: Found, base: Path) -> None:
        """Everything that one PATH stands for, at ``base``."""
        targets = [(item, base / item.rel if found.directory else base) for item in found.items]
        if self.request.strategy is Strategy.WORKTREE:
            self.by_worktree([pair for pair in targets if pair[0].blob is None], found, base)
            targets = [pair for pair in targets if pair[0].blob is not None]
        elif found.opaque and self.request.strategy is Strategy.AUTO:
            self.by_worktree([], found, base)
        elif found.opaque:
            raise self.nowhere_at(found.opaque[0], found.opaque[0].path)
        todo = [pair for pair in targets if not self.is_there(*pair)]
        self.total += sum(item.size or 0 for item, _ in todo)
        self.stores.prefetch(
            (i.output, i.oid) for i, _ in todo if i.output and i.oid and len(todo) > 1
        )
        last: list[tuple[Item, Path]] = []
        self.by_git([(item, target) for item, target in todo if item.blob is not None])
        for item, target in todo:
            if item.blob is None and not self.by_places(item, target):
                last.append((item, target))
        if last and self.request.strategy is Strategy.AUTO:
            self.by_worktree(last, None, base)
        elif last:
            raise self.nowhere(last[0][0])

    def is_there(self, item: Item, target: Path) -> bool:
        """Whether the target is right already; an error if it is something else and stays."""
        if not target.exists() and not target.is_symlink():
            return False
        if target.is_dir() and not target.is_symlink():
            raise XexpError(f"{target} is a folder", "choose another name: -o PATH")
        wanted = _wanted(item)
        if item.blob is not None:
            content = self.project.git.raw("cat-file", "blob", item.blob)
            wanted = artifacts_write.Wanted(
                len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
            )
        if artifacts_write.matches(target, wanted):
            self.done.append(Got(item.path, target, target.stat().st_size, "there"))
            return True
        if not self.request.force:
            raise artifacts_write.exists(target)
        return False

    def by_git(self, pairs: Sequence[tuple[Item, Path]]) -> None:
        """Files that git holds: the blobs are the answer. Some hundred at a time, one process."""
        for start in range(0, len(pairs), _BLOBS):
            batch = pairs[start : start + _BLOBS]
            blobs = self.project.git.cat(item.blob or "" for item, _ in batch)
            for (item, target), blob in zip(batch, blobs, strict=True):
                if blob is None:
                    raise XexpError(f"git lacks the content of {item.path}", "git fsck")
                content = blob[2]
                with artifacts_write.new_file(
                    target, force=self.request.force, executable=item.executable
                ) as out:
                    out.write(content)
                self.report(len(content))
                self.done.append(Got(item.path, target, len(content), "git"))

    def by_places(self, item: Item, target: Path) -> bool:
        """A DVC object from the first place with a sound copy; False when there is none."""

        def attempt(place: Place) -> None:
            with artifacts_write.new_file(target, force=self.request.force) as out:
                self.copy(place, out, item)

        return self.first_sound(item, target, attempt)

    def first_sound(self, item: Item, target: Path, attempt: Callable[[Place], None]) -> bool:
        """Try each copy in turn; a corrupt one is noted and the next is tried."""
        assert item.output is not None and item.oid is not None
        for place in self.stores.places(item.output, item.oid):
            try:
                attempt(place)
            except artifacts_write.CorruptObject as error:
                self.notes.append(
                    f"{place.name} has a corrupt copy of {item.path} ({error}): {place.file}"
                )
                continue
            self.done.append(Got(item.path, target, place.file.stat().st_size, place.name))
            return True
        return False

    def copy(self, place: Place, out: BinaryIO, item: Item) -> None:
        """One object's bytes, verified unless the user said not to."""
        artifacts_write.copy(
            place.file, out, _wanted(item), verify=self.request.verify, report=self.report
        )

    def stream(self, item: Item, out: BinaryIO) -> None:
        """One file to an open stream. Verified first: what was written cannot be taken back."""
        target = Path("-")
        if item.blob is not None:
            content = self.project.git.raw("cat-file", "blob", item.blob)
            out.write(content)
            self.done.append(Got(item.path, target, len(content), "git"))
            return

        def attempt(place: Place) -> None:
            wanted = _wanted(item)
            if self.request.verify and not artifacts_write.matches_object(place.file, wanted):
                raise artifacts_write.CorruptObject("its content is not what its name says")
            with place.file.open("rb") as source:
                shutil.copyfileobj(source, out, artifacts_write.CHUNK)

        if not self.first_sound(item, target, attempt):
            raise self.nowhere(item)

    # -- the last resort -----------------------------------------------------------------------

    def by_worktree(
        self, pairs: Iterable[tuple[Item, Path]], found: Found | None, base: Path
    ) -> None:
        """``dvc pull`` in a temporary worktree, then copies of the files from there."""
        pairs = [pair for pair in pairs if not self.is_there(*pair)]
        opaque = found.opaque if found else ()
        outs = {*opaque, *(item.output for item, _ in pairs if item.output)}
        if not outs:
            return
        state, git = self.project.state, self.project.at_top
        state.mkdir(parents=True, exist_ok=True)
        with temporary_worktree(git, state, self.request.commit, self.project.top) as tree:
            lost = pull(tree, outs, self.request.remote)
            for out in outs:
                if out.path in lost:
                    raise self.nowhere_at(out, out.path)
            for item, target in pairs:
                self.take(tree, item, target)
            for out in opaque:
                for item, target in _inside(tree, out, found, base):
                    self.take(tree, item, target)

    def take(self, tree: Path, item: Item, target: Path) -> None:
        """A file of the temporary worktree, as the user's own; DVC did not verify it."""
        assert item.output is not None
        source = tree / item.path
        try:
            if not source.is_file():
                raise self.nowhere(item)
            with artifacts_write.new_file(target, force=self.request.force) as out:
                wanted = _wanted(item)
                verify = self.request.verify
                artifacts_write.copy(source, out, wanted, verify=verify, report=self.report)
        except artifacts_write.CorruptObject as error:
            self.notes.append(f"the cache or remote has a corrupt copy of {item.path} ({error})")
            raise self.nowhere(item) from error
        size = source.stat().st_size
        self.done.append(Got(item.path, target, size, "temporary worktree"))

    def nowhere(self, item: Item) -> XexpError:
        assert item.output is not None
        return self.nowhere_at(item.output, item.path)

    def nowhere_at(self, out: Output, path: str) -> XexpError:
        """No place has it: say which were asked."""
        tried = [f"cache {cache}" for cache in self.stores.caches(out.root) if self.stores.cached]
        name = out.remote or remote_name(self.project.top / out.root, self.request.remote)
        if self.stores.remotes:
            folder = local_remote_dir(self.project.top / out.root, name)
            gone = f" ({folder} does not exist)" if folder and not folder.is_dir() else ""
            tried.append(f"remote {name}{gone}" if name else "no remote is set")
        hint = (
            "asked: "
            + ", ".join(tried or ["a temporary worktree"])
            + "".join(f"\n{note}" for note in self.notes)
        )
        return XexpError(f"no place has a sound copy of {path} ({out.hash or 'no hash'})", hint)


def other_trees(project: Project) -> list[Path]:
    """The tops of the repository's other worktrees, the main one first."""
    return [path for path in project.tops() if path != project.top]


def _wanted(item: Item) -> artifacts_write.Wanted:
    legacy = item.output is not None and item.output.legacy
    return artifacts_write.Wanted(item.size, item.oid, legacy)


def _inside(
    tree: Path, out: Output, found: Found | None, base: Path
) -> Iterator[tuple[Item, Path]]:
    """Every file that DVC brought for an output, as far as ``found`` asks for it."""
    assert found is not None
    asked = found.path if found.path.startswith(f"{out.path}/") else out.path
    root = tree / asked
    for file in sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]:
        path = file.relative_to(tree).as_posix()
        rel = path.removeprefix(f"{found.path}/") if found.path else path
        oid = out.oid if path == out.path else None
        size = out.size if path == out.path else None
        target = base if path == found.path else base / rel
        yield Item(path, rel, oid=oid, size=size, output=out), target


@dataclass(frozen=True, slots=True)
class Request:
    """What to get and how. ``out`` is a file, a directory, or None for the current folder."""

    commit: str  #: a full commit id
    paths: tuple[str, ...]
    called: str = ""  #: what the user called the commit, for messages
    out: Path | None = None
    strategy: Strategy = Strategy.AUTO
    force: bool = False
    verify: bool = True
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Got:
    """One file, where it went and which place served it ("there" when it was right already)."""

    path: str
    target: Path
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Report:
    """Every file in order, and remarks (a corrupt cache object, for one)."""

    files: tuple[Got, ...]
    notes: tuple[str, ...] = ()
