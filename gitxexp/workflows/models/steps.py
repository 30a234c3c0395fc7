"""Model files that an operation replaces, adds or removes, and how they are restored exactly."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import atomic_write, remove_left, sync
from gitxexp.repository.operation import Changed, Step, UndoContext, Undoing
from gitxexp.storage.objects import hash_file, matches


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A model file as it was, and where to find its content: ``top`` of the work tree, ``root`` of
    the DVC project in it, cache layout (``legacy``), ``remote``, and its ``name``."""

    size: int
    mtime_ns: int
    mode: int
    md5: str
    top: str
    root: str
    legacy: bool
    remote: str | None
    name: str
    ino: int | None = None

    def is_at(self, path: Path) -> bool:
        """Whether the file at ``path`` has this content."""
        try:
            info = path.stat()
        except OSError:
            return False
        if info.st_size != self.size:
            return False
        if (info.st_mtime_ns, info.st_ino) == (self.mtime_ns, self.ino):
            return True
        return matches(path, self.md5, self.legacy)


@dataclass(frozen=True, slots=True)
class ModelReplaced(Step):
    """A new model at ``path``. ``source``: where it was moved from (None: it was fetched); ``old``:
    what it replaced, now at ``kept`` (None: there was none)."""

    kind: ClassVar[str] = "placed"

    path: str
    source: str | None
    new: KnownFile
    old: KnownFile | None
    kept: str | None

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        new, old = KnownFile(**data.pop("new")), data.pop("old")
        return cls(**data, new=new, old=old and KnownFile(**old))

    def check(self, at: UndoContext) -> Changed | None:
        path = Path(self.path)
        if path.exists() and not self.new.is_at(path):
            return Changed(
                f"{path} was changed since",
                "keep it as a candidate (git xexp candidates add), or move it away: --force",
            )
        if self.old is None or self.kept is None:
            return None
        return _lost_since(at, self.old, path, Path(self.kept))

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (ModelPutBack(asdict(self)),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        """Restore the old file, and move the new one back."""
        path, kept = Path(self.path), self.kept and Path(self.kept)
        remove_left(path)
        if self.kept:
            remove_left(Path(self.kept))
        taken = self.new.is_at(path)
        if self.source:
            _give_back(at, path if taken else None, Path(self.source), self.new)
        newer = path.exists() and not taken and not (self.old and self.old.is_at(path))
        if newer and undoing.why == "rollback":
            if self.old is not None:
                beside = path.with_name(f"{path.name}.xexp-{undoing.operation}")
                at.notify(f"{path} has changed since and stays; what it was before is in {beside}")
                _regain(at, self.old, beside, kept or None)
            return
        if newer:
            _rescue(at, path)
        if self.old is None:
            if self.new.is_at(path):
                path.unlink()
            return
        if not self.old.is_at(path):
            _regain(at, self.old, path, kept or None)
        if kept and self.old.is_at(path) and self.old.is_at(kept):
            kept.unlink()


@dataclass(frozen=True, slots=True)
class ModelAdded(Step):
    """A model file that the operation creates."""

    kind: ClassVar[str] = "put"

    path: str
    new: KnownFile

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        return cls(data["path"], KnownFile(**data["new"]))

    def check(self, at: UndoContext) -> Changed | None:
        return None  # a changed one stays

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        path = Path(self.path)
        if not self.new.is_at(path):
            return ()
        kept = keep / "added" / f"{self.new.md5}.{path.name}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        duplicate(path, kept)
        return (ModelRemoved(self.path, self.new, str(kept)),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        path = Path(self.path)
        remove_left(path)
        if self.new.is_at(path):
            path.unlink(missing_ok=True)
        elif os.path.exists(path):  # noqa: PTH110 - to pathlib a name that is too long is an error
            at.notify(f"{path} was changed since; it stays")


@dataclass(frozen=True, slots=True)
class _Removal(Step):
    """A model file at ``path`` and the place ``kept`` that it is moved to or from."""

    path: str
    old: KnownFile
    kept: str

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        return cls(data["path"], KnownFile(**data["old"]), data["kept"])


class ModelRemoved(_Removal):
    """A model file that the operation moves to ``kept``."""

    kind: ClassVar[str] = "aside"

    def check(self, at: UndoContext) -> Changed | None:
        return _lost_since(at, self.old, Path(self.path), Path(self.kept))

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (ModelBroughtBack(self.path, self.old, self.kept),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        path, kept = Path(self.path), Path(self.kept)
        if not path.exists():
            _regain(at, self.old, path, kept)
        elif not self.old.is_at(path):
            at.notify(f"{path} exists again with other content; it stays")
        elif kept.exists():
            kept.unlink()


@dataclass(frozen=True, slots=True)
class ModelPutBack(Step):
    """The undo of a :class:`ModelReplaced`, whose fields are ``of``."""

    kind: ClassVar[str] = "put back"

    of: dict[str, Any]

    def _replaced(self) -> ModelReplaced:
        return ModelReplaced.load(dict(self.of))

    def check(self, at: UndoContext) -> Changed | None:
        step, path = self._replaced(), Path(self.of["path"])
        if step.old.is_at(path) if step.old else not path.exists():
            return None
        return Changed(f"{path} was changed since", "promote the model again: git xexp promote")

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (self._replaced(),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        step = self._replaced()
        path, source = Path(step.path), step.source and Path(step.source)
        if step.new.is_at(path):
            return
        if step.kept and step.old and step.old.is_at(path):
            Path(step.kept).parent.mkdir(parents=True, exist_ok=True)
            duplicate(path, Path(step.kept))
        _regain(at, step.new, path, source or None)


class ModelBroughtBack(_Removal):
    """The undo of a :class:`ModelRemoved`."""

    kind: ClassVar[str] = "brought back"

    def check(self, at: UndoContext) -> Changed | None:
        return None  # a changed one stays

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (ModelRemoved(self.path, self.old, self.kept),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        if self.old.is_at(Path(self.path)):
            move(Path(self.path), Path(self.kept))


def _lost_since(at: UndoContext, old: KnownFile, path: Path, kept: Path) -> Changed | None:
    """Whether the previous content of ``path`` is lost."""
    if old.is_at(path) or old.is_at(kept) or _copy(at, old) is not None:
        return None
    return Changed(_lost(old, path), "restore the DVC cache or remote; or: --force")


def _give_back(at: UndoContext, placed_at: Path | None, source: Path, new: KnownFile) -> None:
    """Move the promoted file back before another replaces it."""
    if new.is_at(source):
        return
    if source.exists():
        at.notify(f"{source} exists again with other content; it stays")
        if placed_at is None:
            return
        source = at.state / "rescued" / source.name
        at.notify(f"the model that was promoted is now {source}")
    source.parent.mkdir(parents=True, exist_ok=True)
    if placed_at is not None:
        duplicate(placed_at, source)
        return
    _regain(at, new, source, None)


# -- bytes ---------------------------------------------------------------------------------------


def move(source: Path, target: Path) -> None:
    """Rename, or copy and delete across file systems; ``target`` is complete or absent, and both
    folders are synced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not source.is_symlink():
            sync(source)
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        duplicate(source, target)
        source.unlink()
    sync(target.parent)


def duplicate(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if that is impossible; atomic."""
    with atomic_write(target, mode=stat.S_IMODE(source.lstat().st_mode)) as temporary:
        try:
            os.link(source, temporary, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, temporary, follow_symlinks=False)


def _regain(at: UndoContext, known: KnownFile, path: Path, kept: Path | None) -> None:
    """Restore the file at ``path``: from its backup, else a cache, else its remote.

    If its content is nowhere, warn and continue.
    """
    if kept is not None and known.is_at(kept):
        move(kept, path)
        return
    copy = _copy(at, known)
    if copy is None:
        at.notify(_lost(known, path))
    else:
        _write(copy, path, known)


def _lost(known: KnownFile, path: Path) -> str:
    return f"cannot bring {path} back: no cache and no remote has its bytes (md5 {known.md5})"


def _copy(at: UndoContext, known: KnownFile) -> Path | None:
    """Return a verified file outside the work tree with the content."""
    for found in _copies(at, known):
        if found.is_file() and matches(found, known.md5, known.legacy):
            return found
    return None


def _copies(at: UndoContext, known: KnownFile) -> Iterator[Path]:
    """Yield files that may have the content, nearest first."""
    from gitxexp.storage.dvc.places import (  # late: only needed if the backup was lost
        cache_dir,
        cache_dirs,
    )
    from gitxexp.storage.dvc.pointers import Output
    from gitxexp.storage.dvc.remote import fetch_objects
    from gitxexp.storage.objects import object_path

    top = Path(known.top)
    trees = [Path(tree["worktree"]) / known.root for tree in at.worktrees()]
    for cache in cache_dirs(top / known.root, trees):
        yield object_path(cache, known.md5, known.legacy)
    out = Output(
        path=known.name, hash=f"md5:{known.md5}", size=known.size, nfiles=None,
        remote=known.remote, pointer=f"{known.name}.dvc", stage=None,
        legacy=known.legacy, root=known.root,
    )  # fmt: skip
    with suppress(XexpError):
        fetch_objects(top, out, [known.md5])
        cache = cache_dir(top / known.root)
        yield object_path(cache, known.md5, known.legacy)


def _write(source: Path, path: Path, known: KnownFile) -> None:
    """Copy with the file's original times and mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, mode=known.mode) as temporary:
        shutil.copyfile(source, temporary)
        os.utime(temporary, ns=(known.mtime_ns, known.mtime_ns))


def _rescue(at: UndoContext, path: Path) -> None:
    """Move an unexpected file aside, where it is kept."""
    target = at.state / "rescued" / f"{hash_file(path)[:8]}.{path.name}"
    move(path, target)
    at.notify(f"{path} had been changed: that file is now {target}")
