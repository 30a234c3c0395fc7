"""Objects by hash: where one lies in a cache or remote folder, and whether it is what it says."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.storage.dvc.pointers import File, Output

if TYPE_CHECKING:
    import hashlib


#: ``progress(done, total, unit)``: called often, cheap; ``total`` may be 0 when it is not known.
Progress = Callable[[int, int, str], None]

CHUNK = 1 << 20


def object_path(folder: Path, oid: str, legacy: bool = False) -> Path:
    """Where the object lies below a cache or a remote (``files/md5/ab/…``; 2.x: ``ab/…``)."""
    base = folder if legacy else folder / "files" / "md5"
    return base / oid[:2] / oid[2:]


def find_object(caches: Iterable[Path], oid: str, legacy: bool = False) -> Path | None:
    """The first cache that has the object, whatever its content."""
    places = (object_path(cache, oid, legacy) for cache in caches)
    return next((place for place in places if place.is_file()), None)


def has_object(folder: str, oid: str, legacy: bool = False) -> bool:
    """Whether the object is below a cache or a remote's folder; for very many of them."""
    base = folder if legacy else f"{folder}/files/md5"
    return os.path.isfile(f"{base}/{oid[:2]}/{oid[2:]}")  # noqa: PTH113


def hash_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The md5 of a file's bytes as hex; ``progress(bytes)`` is called after each chunk."""
    import hashlib  # late, for it brings OpenSSL (2 ms): what is remembered needs no hash

    with path.open("rb", buffering=0) as stream:
        if progress is None:
            return hashlib.file_digest(stream, _md5).hexdigest()
        digest = _md5()
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            progress(len(chunk))
        return digest.hexdigest()


def _md5(data: bytes = b"") -> hashlib._Hash:
    import hashlib  # late, as above

    return hashlib.md5(data, usedforsecurity=False)  # DVC's content address, not a signature


def dos2unix_md5(path: Path) -> str:
    """What DVC 2.x calls the md5 of a file: of a text file, with CRLF read as LF.

    Text is what DVC takes for it (dvc_data/hashfile/istextfile.py): no NUL and at most 30 %
    unusual bytes among the first 512.
    """
    import hashlib  # late, as above

    digest, tail = _md5(), b""
    with path.open("rb") as stream:
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
    """Whether the file is the object ``oid``; ``actual`` is its md5 where that is known."""
    wanted = oid.removesuffix(".dir")
    found = actual or hash_file(path)
    return found == wanted or (legacy and dos2unix_md5(path) == wanted)


def manifest_hash(data: bytes) -> str:
    """The hash of a directory output with this manifest, as its pointer spells it."""
    try:
        md5 = importlib.import_module("_md5").md5  # CPython's own: without OpenSSL, 2 ms less
    except ImportError:
        md5 = _md5
    return f"{md5(data).hexdigest()}.dir"


def parse_manifest(data: bytes, oid: str | None = None) -> tuple[File, ...] | None:
    """The entries of a ``.dir`` object; None if it is broken or is not the object ``oid``."""
    if oid is not None and manifest_hash(data) != f"{oid.removesuffix('.dir')}.dir":
        return None
    try:
        entries = json.loads(data)
        return tuple(File(str(e["relpath"]), f"md5:{e['md5']}", e.get("size")) for e in entries)
    except (ValueError, TypeError, KeyError):
        return None


def manifest(output: Output, caches: Iterable[Path]) -> tuple[File, ...] | None:
    """The files of a directory output, from the pointer or the first sound copy of its manifest.

    None when no cache has one.
    """
    if output.files or output.oid is None:
        return output.files
    for cache in caches:
        try:
            data = object_path(cache, output.oid, output.legacy).read_bytes()
        except OSError:
            continue
        entries = parse_manifest(data, output.oid)
        if entries is not None:
            return entries
    return None
