"""Files that an operation replaces, creates or removes, and how each is restored.

A file is replaced by a complete one written next to it, and both are recorded before the rename:
after a crash the file is what the operation found, what it left, or somebody's newer work.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from gitxexp.common import checked
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import atomic_write, remove_left, rows_wait, sync
from gitxexp.repository.operation import Changed, Irreversible, Step, UndoContext, Undoing
from gitxexp.storage.dvc.places import work_file
from gitxexp.storage.objects import hash_file
from gitxexp.storage.paths import Refused, held

#: linux/fs.h: FICLONE. Clone onto the same blocks, if the file system can.
_FICLONE = 0x40049409

#: Files up to this size are hashed when they are recorded (0.1 s); larger ones are identified by
#: stat.
HASHED = 64 << 20


@dataclass(frozen=True, slots=True)
class FileState:
    """The state of a file: recognised by its stat, or by its hash if the stat changed."""

    size: int
    mtime_ns: int
    inode: int
    md5: str | None = None

    @classmethod
    def of(cls, path: Path, *, hashed: bool = True) -> FileState | None:
        """Return the state of ``path``; None if there is no such file."""
        try:
            info = path.stat()
        except FileNotFoundError:
            return None
        md5 = hash_file(path) if hashed and info.st_size <= HASHED else None
        return cls(info.st_size, info.st_mtime_ns, info.st_ino, md5)

    def is_at(self, path: Path) -> bool:
        """Whether the file at ``path`` has this state; rows waiting in a ``-wal`` make it a
        different one."""
        now = FileState.of(path, hashed=False)
        if now is None or now.size != self.size or rows_wait(path):
            return False
        if (now.mtime_ns, now.inode) == (self.mtime_ns, self.inode):
            return True
        return self.md5 is not None and hash_file(path) == self.md5


@dataclass(frozen=True, slots=True)
class FileChanged(Step):
    """A file replaced, created or removed. ``backup`` holds what was ``found`` (None: nothing).

    ``left`` is what the operation left (None: nothing), ``known`` whether that is recorded. A file
    that is written more than once is ``earlier`` until the last rename.
    """

    kind: ClassVar[str] = "file"

    path: str
    backup: str | None
    found: FileState | None = None
    left: FileState | None = None
    earlier: FileState | None = None
    known: bool = False
    undo_too: bool = True  #: False in old logs: only a rollback brings it back
    old_log: bool = False  #: which did not record what was left

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        if "found" not in data:
            return cls(data["path"], data["backup"], undo_too=data["undo"], old_log=True)
        for name in ("found", "left", "earlier"):
            data[name] = FileState(**data[name]) if data.get(name) else None
        return cls(**data)

    @property
    def subject(self) -> str | None:
        return self.path

    def _is_found(self, path: Path) -> bool:
        """Whether the file is what the operation found, or is already restored."""
        if self.backup is None:
            return not os.path.lexists(path)
        if self.found is not None and self.found.is_at(path):
            return True
        was = FileState.of(Path(self.backup))
        return was is None or was.is_at(path)

    def _is_left(self, path: Path) -> bool:
        """Whether the file is what the operation left."""
        if self.left is not None:
            return self.left.is_at(path)
        return self.known and not os.path.lexists(path)

    def check(self, at: UndoContext) -> Changed | None:
        path = Path(self.path)
        if self.old_log or self._is_left(path) or self._is_found(path):
            return None
        return Changed(
            f"{path.name} has changed since: undo would lose what was written after it",
            "keep it, or restore the former file anyway: --force",
        )

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        path = Path(self.path)
        if not self.undo_too or self._is_found(path) or not examined(at, path):
            return ()
        present = FileState.of(path)
        again = None if present is None else keep_copy(path, keep)
        backup = None if self.backup is None else FileState.of(Path(self.backup))
        return (FileChanged(self.path, again, present, left=backup, known=True),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        if undoing.why != "rollback" and not self.undo_too:
            return
        path = Path(self.path)
        try:
            with held_file(at, path) as place:
                self._restore(at, undoing, place)
        except Refused as error:  # its folder is a link elsewhere now, which is not written through
            if self.backup is None or not os.path.lexists(self.backup):
                return
            aside = at.state / "rescued" / f"{undoing.operation}.{path.name}"
            restore(Path(self.backup), aside, path)
            at.notify(f"{error.message}; what {path} was before is in {aside}")

    def _restore(self, at: UndoContext, undoing: Undoing, place: Path) -> None:
        if undoing.why == "rollback":
            remove_left(place)
        if self._is_found(place):
            return
        asked = self.old_log and undoing.why != "rollback"
        if undoing.why == "rollback" and self.earlier is not None:
            asked = self.earlier.is_at(place)
        if not (asked or self._is_left(place) or not os.path.lexists(place)):
            self._keep_both(at, undoing, place)
        elif self.backup is None:
            place.unlink(missing_ok=True)
        else:
            restore(Path(self.backup), place, Path(self.path))

    def _keep_both(self, at: UndoContext, undoing: Undoing, place: Path) -> None:
        """Lose neither file: the newer one stays unless the user insists."""
        path = Path(self.path)
        name = f"{path.name}.xexp-{undoing.operation}"
        if undoing.why == "force":
            place.replace(place.with_name(name))
            if self.backup is not None:
                restore(Path(self.backup), place, path)
            at.notify(f"{path} had changed since: that file is now {path.with_name(name)}")
        elif self.backup is None:
            at.notify(f"{path} has changed since: it stays")
        else:
            restore(Path(self.backup), place.with_name(name), path)
            at.notify(
                f"{path} has changed since and stays; what it was before is in {path.with_name(name)}"
            )


@dataclass(frozen=True, slots=True)
class Created(Step):
    """A file or folder that the operation creates."""

    kind: ClassVar[str] = "created"

    path: str
    undo_too: bool = True  #: False for what is removed by the end of the operation

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        return cls(data["path"], data.get("undo", data.get("undo_too", True)))

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        path = Path(self.path)
        if not self.undo_too or not os.path.lexists(path) or not examined(at, path):
            return ()
        if not path.is_file() or path.is_symlink():
            return (Irreversible(self.kind),)
        return (FileChanged(self.path, keep_copy(path, keep), FileState.of(path), known=True),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        path = Path(self.path)
        if undoing.why != "rollback" and not self.undo_too:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class FileSealed(Step):
    """The hash ("md5:…") of a file that the operation left: undo replaces only that."""

    kind: ClassVar[str] = "sealed"

    path: str
    hash: str

    def check(self, at: UndoContext) -> Changed | None:
        path = Path(self.path)
        if not path.is_file() or (not rows_wait(path) and f"md5:{hash_file(path)}" == self.hash):
            return None
        return Changed(
            f"{path.name} has changed since: undo would lose what was written after it",
            "keep it, or restore the former file anyway: --force",
        )

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return ()

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        return


@dataclass(frozen=True, slots=True)
class FolderMade(Step):
    """A folder that the operation creates (``made``) or removes; removed only if empty."""

    kind: ClassVar[str] = "folder"

    path: str
    made: bool = True

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (FolderMade(self.path, made=not self.made),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        if not self.made:
            Path(self.path).mkdir(parents=True, exist_ok=True)
            return
        with suppress(OSError):
            Path(self.path).rmdir()


def _below_top(at: UndoContext, path: Path) -> tuple[Path, str] | None:
    """Return the work tree that a file is in, and its path from there; None if it is in none."""
    if at.places.top is not None and path.is_relative_to(at.places.top):
        return at.places.top, path.relative_to(at.places.top).as_posix()
    tops = (Path(tree["worktree"]) for tree in at.worktrees())
    return next(
        ((top, path.relative_to(top).as_posix()) for top in tops if path.is_relative_to(top)), None
    )


@contextmanager
def held_file(at: UndoContext, path: Path) -> Iterator[Path]:
    """Yield ``path`` as :func:`gitxexp.storage.paths.held` does, if it is in a work tree.

    Raises Refused if a link leads out of it.
    """
    below = _below_top(at, path)
    if below is None:
        yield path
        return
    with held(*below, create=True) as place:
        yield place


def examined(at: UndoContext, path: Path) -> bool:
    """Whether no link leads out of the work tree, now and when ``path`` is opened."""
    below = _below_top(at, path)
    try:
        return below is None or bool(work_file(*below))
    except Refused:
        return False


def restore(backup: Path, path: Path, named: Path | None = None) -> None:
    """Restore ``backup`` to ``path``, in errors ``named``; a rename, if possible, needs no space."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            backup.replace(path)
            sync(path.parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_over(backup, path)
    except OSError as error:
        raise XexpError(
            f"cannot restore {named or path}: {error.strerror}",
            f"its former content is in {backup}",
        ) from error


def _copy_over(backup: Path, path: Path) -> None:
    with atomic_write(path) as temporary:
        shutil.copy2(backup, temporary)


def keep_copy(path: Path, keep: Path) -> str:
    """Copy ``path`` to an operation's folder under a unique name."""
    backup = _free_name(path, keep)
    copy_file(path, backup)
    return str(backup)


def keep_link(path: Path, keep: Path) -> str:
    """Like :func:`keep_copy`, with a hard link where the file system can: for a file that is only
    ever replaced by a rename."""
    backup = _free_name(path, keep)
    try:
        os.link(path, backup, follow_symlinks=False)
    except OSError:
        copy_file(path, backup)
    else:
        sync(keep)
    return str(backup)


def _free_name(path: Path, keep: Path) -> Path:
    keep.mkdir(parents=True, exist_ok=True)
    number = len(list(keep.iterdir()))
    while (backup := keep / f"{number}.{path.name}").exists():
        number += 1
    return backup


def copy_file(path: Path, target: Path) -> None:
    """Make a durable copy with the file's times and mode, sharing its blocks if possible."""
    with os.fdopen(checked.open_file(path), "rb") as old, target.open("xb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError:
            shutil.copyfileobj(old, new, 1 << 20)
    shutil.copystat(path, target)
    sync(target)
    sync(target.parent)
