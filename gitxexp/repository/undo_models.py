"""How moved model files come back, byte for byte; see :mod:`gitxexp.repository.undo` for the rules.

==========  =======================================================================================
kind        data
==========  =======================================================================================
``placed``  path (where the new file goes), source (where it came from; None: it was fetched), new
            and old (facts of either file; old None: there was none), kept (where the old one is)
``put``     path, new: a file that the operation makes
``aside``   path, old, kept: a file that the operation takes away
``folder``  path: a folder that the operation makes; it goes again when it is empty
==========  =======================================================================================

Facts of a file: size, mtime_ns, mode, md5, and where else its bytes are looked for: top (of the
work tree), root (DVC project), legacy (cache layout), remote, name.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.storage.objects import hash_file, matches

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project


def is_file(path: Path, known: dict[str, Any] | None) -> bool:
    """Whether what is at ``path`` has the content that ``known`` tells of."""
    if known is None:
        return False
    try:
        info = path.stat()
    except OSError:
        return False
    if info.st_size != known["size"]:
        return False
    if info.st_mtime_ns == known["mtime_ns"] and known.get("ino") == info.st_ino:
        return True
    return matches(path, known["md5"], bool(known["legacy"]))


def move(source: Path, target: Path) -> None:
    """Rename, or copy and delete across file systems; ``target`` is complete or absent."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        duplicate(source, target)
        source.unlink()


def duplicate(source: Path, target: Path) -> None:
    """A second name for a file (a hard link), or a copy where that cannot be; atomic."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, temporary, follow_symlinks=False)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


# -- handlers ----------------------------------------------------------------------------------


def placed(project: Project, data: dict[str, Any], undoing: bool) -> None:
    """The old file back in its place, the new one back where it came from."""
    path, kept = Path(data["path"]), data["kept"] and Path(data["kept"])
    new, old = data["new"], data["old"]
    taken = is_file(path, new)
    if data["source"]:
        _return(project, path if taken else None, Path(data["source"]), new)
    if not taken and undoing and path.exists() and not is_file(path, old):
        _rescue(project, path)
    if old is None:
        if is_file(path, new):
            path.unlink()
        return
    if (taken or undoing) and not is_file(path, old):
        _try_regain(project, old, path, kept)
    if kept and is_file(path, old) and is_file(kept, old):
        kept.unlink()


def _return(project: Project, placed_at: Path | None, source: Path, new: dict[str, Any]) -> None:
    """The promoted file where it came from, before another takes its place."""
    if is_file(source, new):
        return
    if source.exists():
        project.notify(f"{source} exists again with other content; it stays")
        if placed_at is None:
            return
        source = project.state / "rescued" / source.name
        project.notify(f"the model that was promoted is now {source}")
    source.parent.mkdir(parents=True, exist_ok=True)
    if placed_at is not None:
        duplicate(placed_at, source)
        return
    _try_regain(project, new, source, None)


def put(project: Project, data: dict[str, Any], undoing: bool) -> None:
    """The new file gone again, unless it was changed since."""
    path = Path(data["path"])
    if not undoing or is_file(path, data["new"]):
        path.unlink(missing_ok=True)
    elif path.exists():
        project.notify(f"{path} was changed since; it stays")


def aside(project: Project, data: dict[str, Any], _undoing: bool) -> None:
    """A file that was taken away, back as it was."""
    path, kept = Path(data["path"]), Path(data["kept"])
    if path.exists():
        if not is_file(path, data["old"]):
            project.notify(f"{path} exists again with other content; it stays")
        elif kept.exists():
            kept.unlink()
        return
    _try_regain(project, data["old"], path, kept)


def folder(_project: Project, data: dict[str, Any], _undoing: bool) -> None:
    """A folder that was made, gone again if nothing is in it."""
    with suppress(OSError):
        Path(data["path"]).rmdir()


HANDLERS: dict[str, Callable[[Project, dict[str, Any], bool], None]] = {
    "placed": placed,
    "put": put,
    "aside": aside,
    "folder": folder,
}


def refuse_if_replaced(project: Project, data: dict[str, Any]) -> None:
    """Raises NoAnswer when production is no longer what was put there, or the old one is lost."""
    path = Path(data["path"])
    if path.exists() and not is_file(path, data["new"]):
        raise NoAnswer(
            f"{path} was changed since",
            "keep it as a candidate (git xexp candidates add), or move it away: --force",
        )
    if data["old"] is not None:
        refuse_if_lost(project, data)


def refuse_if_lost(project: Project, data: dict[str, Any]) -> None:
    """Raises NoAnswer when nobody has the bytes that were at ``path`` any more."""
    path, kept = Path(data["path"]), Path(data["kept"])
    if not path.exists() or not is_file(path, data["old"]):
        if is_file(kept, data["old"]) or _copy(project, data["old"]) is not None:
            return
        raise NoAnswer(_lost(data["old"], path), "restore the DVC cache or remote; or: --force")


REFUSALS: dict[str, Callable[[Project, dict[str, Any]], None]] = {
    "placed": refuse_if_replaced,
    "aside": refuse_if_lost,
}


# -- bytes ---------------------------------------------------------------------------------------


def _try_regain(project: Project, known: dict[str, Any], path: Path, kept: Path | None) -> None:
    """The file as it was at ``path``: from where it is kept, else a cache, else its remote.

    Says so when no place has its bytes: nothing else may be held up by that.
    """
    if kept is not None and is_file(kept, known):
        move(kept, path)
        return
    found = _copy(project, known)
    if found is None:
        project.notify(_lost(known, path))
    else:
        _write(found, path, known)


def _lost(known: dict[str, Any], path: Path) -> str:
    return f"cannot bring {path} back: no cache and no remote has its bytes (md5 {known['md5']})"


def _copy(project: Project, known: dict[str, Any]) -> Path | None:
    """A file outside the work tree that has the bytes, checked."""
    for found in _copies(project, known):
        if found.is_file() and matches(found, known["md5"], bool(known["legacy"])):
            return found
    return None


def _copies(project: Project, known: dict[str, Any]) -> Iterator[Path]:
    """Files that may have the bytes, nearest first."""
    from gitxexp.storage.dvc.places import (  # late: only a way back that lost its own copy needs it
        cache_dir,
        cache_dirs,
    )
    from gitxexp.storage.dvc.pointers import Output
    from gitxexp.storage.dvc.remote import fetch_objects
    from gitxexp.storage.objects import object_path

    top = Path(known["top"])
    trees = [Path(tree["worktree"]) / known["root"] for tree in project.worktrees()]
    for cache in cache_dirs(top / known["root"], trees):
        yield object_path(cache, known["md5"], known["legacy"])
    out = Output(
        path=known["name"], hash=f"md5:{known['md5']}", size=known["size"], nfiles=None,
        remote=known["remote"], pointer=f"{known['name']}.dvc", stage=None,
        legacy=known["legacy"], root=known["root"],
    )  # fmt: skip
    with suppress(XexpError):
        fetch_objects(top, out, [known["md5"]])
        cache = cache_dir(top / known["root"])
        yield object_path(cache, known["md5"], known["legacy"])


def _write(source: Path, path: Path, known: dict[str, Any]) -> None:
    """A copy with the times and mode that the file had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        temporary.chmod(known["mode"])
        os.utime(temporary, ns=(known["mtime_ns"], known["mtime_ns"]))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _rescue(project: Project, path: Path) -> None:
    """Move a file that nobody expected out of the way, where it is kept."""
    target = project.state / "rescued" / f"{hash_file(path)[:8]}.{path.name}"
    move(path, target)
    project.notify(f"{path} had been changed: that file is now {target}")
