"""Objects by hash: their place in a cache or remote folder, and whether they are intact.

All look-ups are here. Only a valid object id becomes a path, and only a regular file (not a
symbolic link or a pipe) is an object.
"""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitxexp.common import checked
from gitxexp.common.files import atomic_write
from gitxexp.storage import paths
from gitxexp.storage.dvc.places import cache_dir, cache_dirs
from gitxexp.storage.dvc.pointer_file import manifest_entries
from gitxexp.storage.dvc.pointers import File, Output

if TYPE_CHECKING:
    import hashlib


#: ``progress(done, total, unit)``: called often, cheap; ``total`` is 0 if unknown.
Progress = Callable[[int, int, str], None]

CHUNK = 1 << 20


def object_path(folder: Path, oid: str, legacy: bool = False) -> Path:
    """Return the object's path below a cache or a remote (``files/md5/ab/…``; 2.x: ``ab/…``).

    Raises Refused for an invalid object id.
    """
    paths.object_id(oid, "an object's id")
    base = folder if legacy else folder / "files" / "md5"
    return base / oid[:2] / oid[2:]


def find_object(caches: Iterable[Path], oid: str, legacy: bool = False) -> Path | None:
    """Return the first cache that has the object, whatever its content."""
    places = (object_path(cache, oid, legacy) for cache in caches)
    return next((place for place in places if is_object(place)), None)


def is_object(path: Path | str) -> bool:
    """Return whether a regular file with exactly this name exists: an object is never a link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def has_object(folder: str, oid: str, legacy: bool = False) -> bool:
    """Return whether the object exists below a cache or a remote's folder; fast for very many
    objects."""
    base = folder if legacy else f"{folder}/files/md5"
    return paths.is_object_id(oid) and is_object(f"{base}/{oid[:2]}/{oid[2:]}")


def hash_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Return the md5 of a file's bytes as hex; ``progress(bytes)`` is called after each chunk."""
    import mmap  # late: cached hashes do not need it

    digest = _md5()
    # Whole pages: into memory that begins elsewhere, as that of bytes does, some processors copy a
    # file at a quarter of the speed.
    block = memoryview(mmap.mmap(-1, CHUNK))
    with os.fdopen(checked.open_file(path), "rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(block[:count])
            if progress is not None:
                progress(count)
    return digest.hexdigest()


def _md5(data: bytes = b"") -> hashlib._Hash:
    import hashlib  # late: loads OpenSSL (2 ms), which cached hashes do not need

    return hashlib.md5(data, usedforsecurity=False)  # DVC's content address, not a signature


def dos2unix_md5(path: Path) -> str:
    """Return the DVC 2.x md5 of a file: for a text file, with CRLF read as LF.

    A file is text by DVC's rule (dvc_data/hashfile/istextfile.py): no NUL and at most 30 % unusual
    bytes among the first 512.
    """
    import hashlib  # late, as above

    digest, tail = _md5(), b""
    with os.fdopen(checked.open_file(path), "rb") as stream:
        head = stream.read(512)
        stream.seek(0)
        odd = head.translate(None, bytes(range(32, 127)) + b"\n\r\t\f\b")
        if b"\0" in head or len(odd) > 0.3 * len(head):
            return hashlib.file_digest(stream, _md5).hexdigest()
        while chunk := stream.read(CHUNK):
            chunk = tail + chunk
            tail = b"\r" if chunk.endswith(b"\r") else b""
            digest.update(chunk[: len(chunk) - len(tail)].replace(b"\r\n", b"\n"))
    digest.update(tail)
    return digest.hexdigest()


def matches(path: Path, oid: str, legacy: bool = False, actual: str | None = None) -> bool:
    """Return whether the file is the object ``oid``; ``actual`` is its md5 if known."""
    wanted = oid.removesuffix(".dir")
    found = actual or hash_file(path)
    return found == wanted or (legacy and dos2unix_md5(path) == wanted)


class CorruptObject(Exception):
    """The content read does not match the object's name."""


def take_in(
    cache: Path,
    source: Path,
    oid: str,
    legacy: bool = False,
    *,
    move: bool = False,
    link: bool = False,
) -> Path:
    """Store the object ``oid`` in a cache, read-only as DVC does, from the bytes of ``source``.

    The bytes are hashed while copying; a mismatch raises CorruptObject and stores nothing. They are
    not hashed if the caller has done so (``move``: the file itself becomes the object) or if they
    come from a read-only object of another cache (``link``). Raises Refused rather than write
    through a link below the cache.
    """
    home = object_path(cache, oid, legacy)
    if is_object(home):
        return home
    if not is_object(source):
        raise CorruptObject("it is not a regular file")
    cache.mkdir(parents=True, exist_ok=True)
    below = home.relative_to(cache).as_posix()
    with (
        paths.held(cache, below, create=True) as place,
        atomic_write(place, mode=0o444, durable=False) as temporary,
    ):
        if not (move and _moved(source, temporary)) and not (link and _linked(source, temporary)):
            import shutil  # late: with what it imports, 2 ms

            shutil.copyfile(source, temporary)
            if not matches(temporary, oid, legacy):
                raise CorruptObject("its content is not what its name says")
    return home


def _moved(source: Path, target: Path) -> bool:
    try:
        source.replace(target)
    except OSError:  # another file system
        return False
    return True


def _linked(source: Path, target: Path) -> bool:
    try:
        if source.stat().st_mode & 0o222:
            return False
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    return True


def manifest_hash(data: bytes) -> str:
    """Return the hash of a directory output with this manifest, as its pointer spells it."""
    return f"{digest_of('md5', '_md5')(data).hexdigest()}.dir"


def digest_of(name: str, *modules: str) -> Callable[..., hashlib._Hash]:
    """Return CPython's own implementation of a hash, from the first of these modules that there is:
    hashlib's loads OpenSSL (2 ms), which is quicker for large files only."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        except ImportError:
            continue
    import hashlib

    return getattr(hashlib, name)  # type: ignore[no-any-return]


def parse_manifest(data: bytes, oid: str | None = None) -> tuple[File, ...] | None:
    """Return the entries of a ``.dir`` object; None if it is invalid or not the object ``oid``.

    Raises Refused for an entry with an invalid path or id (:func:`manifest_entries`).
    """
    if oid is not None and manifest_hash(data) != f"{oid.removesuffix('.dir')}.dir":
        return None
    import json  # late: few outputs are folders

    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    where = f"the list of files {oid}" if oid else "a list of files"
    found = manifest_entries(entries, where)
    return found if all(entry.hash for entry in found) else None


def read_object(path: Path) -> bytes | None:
    """Read a small object; None if there is no readable regular file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as stream:
        return stream.read() if stat.S_ISREG(os.fstat(handle).st_mode) else None


def manifest(output: Output, caches: Iterable[Path]) -> tuple[File, ...] | None:
    """Return the files of a directory output, from the pointer or the first intact copy of its
    manifest.

    None if no cache has one.
    """
    if output.files or output.oid is None:
        return output.files
    for cache in caches:
        data = read_object(object_path(cache, output.oid, output.legacy))
        if data is None:
            continue
        entries = parse_manifest(data, output.oid)
        if entries is not None:
            return entries
    return None


class WantedObject(NamedTuple):
    """One object that an output needs. ``size`` is in bytes, if the pointer or manifest has it."""

    oid: str
    path: str
    size: int | None
    output: Output


def pushable(output: Output) -> bool:
    """Return whether the output's objects belong on a remote under their hash."""
    imported = output.source is not None and output.source.repo
    return (
        output.cached and output.push and bool(output.oid) and not imported and not output.versioned
    )


def objects_of(output: Output, entries: Sequence[File] | None) -> Iterator[WantedObject]:
    """Yield every object of an output once, files before the manifest."""
    assert output.oid
    seen = set()
    for entry in entries or ():
        oid = (entry.hash or "")[4:]
        if oid and oid not in seen:
            seen.add(oid)
            yield WantedObject(oid, f"{output.path}/{entry.path}", entry.size, output)
    yield WantedObject(output.oid, output.path, None if output.is_dir else output.size, output)


class Objects:
    """Where this machine has the objects of one work tree: caches and local remotes.

    ``others`` returns the tops of the other worktrees; it is called only if the project's own cache
    lacks something.
    """

    def __init__(self, top: Path, others: Callable[[], Iterable[Path]] = tuple) -> None:
        self.top = top
        self._others = others
        self._home: dict[str, Path] = {}
        self._own: dict[str, list[Path]] = {}
        self._every: dict[str, list[Path]] = {}

    @cached_property
    def trees(self) -> list[Path]:
        """The tops of the other worktrees."""
        return [tree for tree in self._others() if tree != self.top]

    def home(self, root: str) -> Path:
        """The cache that the DVC project ``root`` writes to; it may not exist yet."""
        if root not in self._home:
            self._home[root] = Path(os.path.realpath(cache_dir(self.top / root)))
        return self._home[root]

    def own(self, root: str) -> list[Path]:
        """The project's own cache, if it exists."""
        if not self._own.get(root):  # the first fetched object creates it
            self._own[root] = cache_dirs(self.top / root)
        return self._own[root]

    def caches(self, root: str) -> list[Path]:
        """Return the caches that may hold an object of the project, its own first."""
        if not self._every.get(root):
            places = (tree / root for tree in self.trees)
            self._every[root] = cache_dirs(self.top / root, places)
        return self._every[root]

    def near(self, root: str) -> Iterator[Path]:
        """Yield :meth:`caches` lazily: the worktrees are listed only after the first."""
        own = self.own(root)
        yield from own
        yield from (cache for cache in self.caches(root) if cache not in own)

    def find(self, out: Output, oid: str | None = None) -> Path | None:
        """Find the output's object (or ``oid``, one of its files) in the nearest cache that has it."""
        wanted = oid or out.oid
        return find_object(self.near(out.root), wanted, out.legacy) if wanted else None

    def sound(self, out: Output, oid: str | None = None) -> Path | None:
        """Like :meth:`find`, but only an intact copy."""
        wanted = oid or out.oid
        for cache in self.near(out.root) if wanted else ():
            file = object_path(cache, wanted or "", out.legacy)
            if is_object(file) and matches(file, wanted or "", out.legacy):
                return file
        return None

    def manifest(self, out: Output) -> tuple[File, ...] | None:
        """Return the files of a directory output; None if no cache has its manifest."""
        return manifest(out, self.near(out.root))
