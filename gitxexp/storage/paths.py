"""Validation: text from a repository becomes an object id or a path here, or an error.

A clone is not trusted. Its pointers, manifests, pipelines, tags and configuration name objects and
files; these must be a valid object id, or a file of this work tree outside ``.git``, ``.dvc`` and
``.xexp``. Two steps make a path: its text is checked (:func:`problem`, without the file system),
and then every component is examined (:func:`inside`), because a symbolic link in the tree may lead
anywhere.

Names that stand for ``.git`` on some file system are those of git's ``verify_path`` (read-cache.c) and
``is_ntfs_dotgit``, ``is_hfs_dotgit`` (path.c, utf8.c); the same forms count for ``.dvc`` and ``.xexp``.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gitxexp.common import checked
from gitxexp.common.errors import XexpError

#: Folders whose content controls git, DVC and this program: nothing is written there.
RESERVED = frozenset((".git", ".dvc", ".xexp"))

_OID = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_FILE_OID = re.compile(r"[0-9a-f]{32}")
#: What an ordinary path never contains: only a path with one of these is checked part by part.
_UNUSUAL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\\:~\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
    r"|(?:^|/)(?:\.|$)|//|^/|/$|[ .](?:/|$)"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:" if os.name == "nt" else r"[A-Za-z]:[/\\]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: Code points that HFS+ ignores (git's next_hfs_char).
_IGNORED = dict.fromkeys(
    (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
)
_SHORT = re.compile(r"\.?(git|dvc|xexp)~[0-9]+")
_MOST_LINKS = 40  #: as Linux allows (path_resolution(7))


class Refused(XexpError):
    """Something that a repository names and that is refused."""


# -- object ids ------------------------------------------------------------------------------------


def is_object_id(value: object) -> bool:
    """Return whether a value is the md5 of a file, or of a directory's manifest (``….dir``)."""
    return isinstance(value, str) and _OID.fullmatch(value) is not None


def is_file_id(value: object) -> bool:
    """Return whether a value is the md5 of a file."""
    return isinstance(value, str) and _FILE_OID.fullmatch(value) is not None


def object_id(value: object, where: str) -> str:
    """Return the value if it is an object id; else raise Refused naming ``where`` it was found."""
    if isinstance(value, str) and _OID.fullmatch(value):
        return value
    raise Refused(f"{where}: {shown(value)} is not an md5", "git log -p shows who wrote it")


# -- the text of paths -----------------------------------------------------------------------------


def shown(value: object) -> str:
    """Quote a value for an error: one line, not too long, control characters escaped."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "'"


def leaves(path: str) -> bool:
    """Return whether a normalised path, relative to the top, is outside the work tree."""
    return path == ".." or path.startswith(("/", "../")) or bool(_URL.match(path))


def is_plain(path: str) -> bool:
    """Return whether a path is normalised and needs no check by :func:`problem`."""
    return bool(path) and not _UNUSUAL.search(path)


def problem(path: str) -> str | None:
    """Return why a path, relative to the top, cannot be used; None for an ordinary one.

    Does not access the file system.
    """
    if path and not _UNUSUAL.search(path):
        return None
    if not path or path in (".", "./"):
        return "is the work tree itself"
    if _CONTROL.search(path):
        return "has a control character in its name"
    if path.startswith(("/", "\\")) or _DRIVE.match(path) or _URL.match(path):
        return "is outside of the repository"
    for part in path.replace("\\", "/").split("/"):
        if part.rstrip(" ") == "..":
            return "is outside of the repository"
        name = reserved(part)
        if name is not None:
            return f"is inside {name}"
    return None


def reserved(part: str) -> str | None:
    """Return the name in :data:`RESERVED` that a path component means on some file system."""
    name = part.translate(_IGNORED).partition(":")[0].rstrip(" .").casefold()
    short = _SHORT.fullmatch(name)
    name = f".{short.group(1)}" if short else name
    return name if name in RESERVED else None


def is_checked_out(path: str) -> bool:
    """Return whether git would check out a path from a tree object: nothing below ``.git`` or with
    ``..`` (git-fsck(1), hasDotgit, hasDotdot)."""
    if not _UNUSUAL.search(path):
        return bool(path)
    parts = path.replace("\\", "/").split("/")
    return not any(part in ("", ".", "..") or reserved(part) == ".git" for part in parts)


def tracked(path: object, where: str) -> str:
    """Normalise a path from the top of the work tree; raises Refused naming ``where`` it was found."""
    if not isinstance(path, str):
        raise Refused(f"{where}: {shown(path)} is not a path")
    wrong = problem(path) if ".." not in path else problem(posixpath.normpath(path))
    normal = posixpath.normpath(path) if path else ""
    wrong = wrong or (problem(normal) if normal != path else None)
    if wrong:
        raise Refused(f"{where}: {shown(path)} {wrong}", "name a file of this repository")
    return normal


def alike(paths: Iterable[str]) -> tuple[str, str] | None:
    """Return two different paths that are the same on a case-insensitive file system, or None."""
    seen: dict[str, str] = {}
    for path in paths:
        whole = ""
        for part in path.split("/"):
            whole = f"{whole}/{part}" if whole else part
            key = unicodedata.normalize("NFC", whole).casefold()
            if seen.setdefault(key, whole) != whole:
                return seen[key], whole
    return None


def ignores_case(folder: Path) -> bool:
    """Return whether the file system at ``folder`` is case-insensitive."""
    for place in (folder, *folder.parents):
        other = place.name.swapcase()
        if other != place.name:
            try:
                return place.with_name(other).samefile(place)
            except OSError:
                return False
    return False


def refuse_alike(folder: Path, paths: Iterable[str]) -> None:
    """Raise Refused if two of the paths would be the same file in ``folder``."""
    if ignores_case(folder):
        pair = alike(paths)
        if pair:
            raise Refused(
                f"{shown(pair[0])} and {shown(pair[1])} differ only in case, which {folder} ignores",
                "use a file system that distinguishes them",
            )


# -- the file system -------------------------------------------------------------------------------


def resolved(top: Path, path: str) -> str:
    """Resolve the symbolic links in ``path``; returns a path from the top without any link.

    Missing components are kept by name. Raises Refused if a link leads out of the work tree, or
    into ``.git``, ``.dvc`` or ``.xexp``; a path that is itself below these is the caller's
    responsibility.
    """
    tops: list[str] = []
    wanted = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while wanted:
        part = wanted.pop()
        if part == "..":
            if not done:
                raise _leads_out(top, path)
            done.pop()
            continue
        here = "/".join([str(top), *done, part])
        try:
            is_link = stat.S_ISLNK(os.lstat(here).st_mode)
            target = str(Path(here).readlink()) if is_link else None
        except (FileNotFoundError, NotADirectoryError):
            target = None
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise Refused(
                f"{shown(path)} is a symbolic link that leads nowhere",
                "remove it, or make its target",
            )
        if target.startswith("/"):
            tops = tops or [os.path.realpath(top), str(top.absolute())]
            below = next((t for t in tops if target == t or target.startswith(f"{t}/")), None)
            if below is None:
                raise _leads_out(top, path)
            target, done = target[len(below) :], []
        wanted += [p for p in reversed(target.split("/")) if p not in ("", ".")]
    result = "/".join(done)
    if links and result and any(reserved(part) for part in done):
        raise _leads_out(top, path)
    return result


def _leads_out(top: Path, path: str) -> Refused:
    return Refused(
        f"{shown(path)} leads out of the repository through a symbolic link",
        f"remove the link, or put the file itself there (in {top})",
    )


def inside(top: Path, path: str) -> Path:
    """Return the file ``path`` of the work tree at ``top``, with every component examined.

    A link may lead elsewhere within the tree. Raises Refused for any other. Whoever opens it through
    :mod:`gitxexp.common.checked` gets that file or an error, whatever is put there meanwhile.
    """
    resolved(top, path)
    checked.remember(top / path, lambda: identity(top, path))
    return top / path


def identity(top: Path, path: str) -> checked.Identity:
    """Return which file ``path`` is, each part of it checked again.

    Raises Refused as :func:`resolved` does, or FileNotFoundError.
    """
    with held(top, resolved(top, path)) as place:
        info = place.lstat()
    if stat.S_ISLNK(info.st_mode):
        raise _leads_out(top, path)
    return info.st_dev, info.st_ino


def refuse_link(path: Path) -> None:
    """Raise Refused if one of our own files, or its folder, is a symbolic link."""
    for place in (path.parent, path):
        if place.is_symlink():
            raise Refused(
                f"{place} is a symbolic link, and {path.name} may not be behind one",
                "remove the link, and put the file itself there",
            )


@contextmanager
def held(top: Path, path: str, *, create: bool = False) -> Iterator[Path]:
    """Yield the file ``path`` below an open descriptor of its folder.

    A link that replaces a folder meanwhile cannot redirect it, if the system has ``/proc/self/fd``.
    The last component is not followed: replace it, or open it with O_NOFOLLOW. ``create`` creates
    missing folders. Raises Refused as :func:`resolved` does, or FileNotFoundError.
    """
    folder, _, name = path.rpartition("/")
    descriptor = open_folder(top, resolved(top, folder), create=create)
    try:
        below = Path(f"/proc/self/fd/{descriptor}")
        yield (below if below.is_dir() else top / folder) / name
    except OSError as error:  # names the file as the user knows it
        if str(error.filename).startswith(f"/proc/self/fd/{descriptor}"):
            error.filename = str(top / path)
        raise
    finally:
        os.close(descriptor)


def open_folder(top: Path, folder: str, *, create: bool = False) -> int:
    """Open a folder below ``top``; no component of ``folder`` may be a link.

    Raises Refused for a link, FileNotFoundError for a missing folder unless ``create``.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(top, flags)
    try:
        for part in folder.split("/") if folder else ():
            try:
                below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            except FileNotFoundError:
                if not create:
                    raise
                try:  # noqa: SIM105
                    os.mkdir(part, dir_fd=descriptor)
                except FileExistsError:
                    pass
                below = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused(
                f"{shown(folder)} is a link or a file where a folder is needed",
                "move it away, then try again",
            ) from error
        raise
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read(top: Path, path: str, most: int | None = None) -> bytes:
    """Read a regular file of the work tree (at most ``most`` bytes, else Refused).

    Raises Refused for a link that leads out or anything but a regular file, OSError as open does.
    """
    end = resolved(top, path)
    with held(top, end) as place:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        info = os.fstat(handle)
        if stat.S_ISDIR(info.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(info.st_mode):
            raise Refused(f"{shown(path)} is not a regular file", "replace it by a file")
        if most is not None and info.st_size > most:
            raise Refused(f"{shown(path)} has {info.st_size:,} bytes, more than {most:,}")
        return stream.read()


def write(top: Path, path: str, data: bytes) -> None:
    """Write a file of the work tree atomically; creates its folders.

    A link within the tree is followed. Raises Refused as :func:`resolved` does.
    """
    from gitxexp.common.files import atomic_write  # late: reading does not need it

    with held(top, resolved(top, path), create=True) as place, atomic_write(place) as temporary:
        temporary.write_bytes(data)
