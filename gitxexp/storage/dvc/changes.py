"""Which outputs of a work tree differ from their pointers, without DVC where stats prove it.

How the outputs of a work tree stand, in little time: large files whose stat is new stay unread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gitxexp.storage.dvc.places import cache_dirs, work_file
from gitxexp.storage.dvc.pointer_file import listed_hash
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.stat_cache import Key, StatCache, key_of, now_ns
from gitxexp.storage.objects import Progress, dos2unix_md5, has_object, hash_file, manifest_hash

#: Never part of a directory output (dvc/ignore.py, the default patterns).
_IGNORED = {".git", ".hg", ".dvc"}


class Kind(StrEnum):
    """How an output differs from its pointer."""

    MODIFIED = "modified"
    MISSING = "missing"  #: nothing there: not checked out, or deleted
    NEW = "new"  #: there, but its pointer has no hash yet


class Change(NamedTuple):
    """One output that is not what its pointer says.

    ``actual`` is the hash of what is there, None where nothing is or rows wait in a ``-wal``.
    """

    output: Output
    kind: Kind
    actual: str | None = None


def changed(
    top: Path, outputs: Iterable[Output], cache: Path, progress: Progress | None = None
) -> list[Output]:
    """The outputs whose data is there and differs from the pointer (what ``add`` would take)."""
    changes = status(top, outputs, cache, progress)
    return [change.output for change in changes if change.kind is not Kind.MISSING]


def status(
    top: Path, outputs: Iterable[Output], cache: Path, progress: Progress | None = None
) -> list[Change]:
    """Every output that differs from its pointer, in the order given.

    ``cache`` is the SQLite file of the stat cache. A file is read only when its stat is new;
    ``progress`` counts bytes read. Outputs that git holds (``cache: false``) are left out, as
    are imports, whose content the other side decides.
    """
    stats = StatCache(cache)
    check = Checker(top, stats, progress)
    try:
        mine = [out for out in outputs if out.cached and not (out.source and out.source.repo)]
        return [change for out in mine if (change := check.change(out)) is not None]
    finally:
        stats.close()


#: From this size on it pays to import DVC and ask what it remembers.
_LARGE = 64 << 20


def file_hashes(
    root: Path,
    files: Iterable[tuple[Path, bool]],
    cache: Path,
    progress: Progress | None = None,
) -> dict[Path, str]:
    """The md5 of each file as hex, by path; ``(path, legacy)`` asks for DVC 2.x's md5 of text.

    Only files whose stat is new are read, and of those none that DVC itself remembers.
    """
    stats = StatCache(cache)
    check = Checker(root, stats, progress)
    found: dict[Path, str] = {}
    unknown: list[tuple[Path, os.stat_result, bool]] = []
    files = list(files)
    many = _common(files)
    try:
        bulk = stats.below(many) if many else {}
        for path, legacy in files:
            info = path.stat()
            name = f"{path}\0dos2unix" if legacy else str(path)
            key = key_of(info)
            record = bulk.get(name)
            digest = record[1] if record and record[0] == key else stats.get(name, key)
            if digest is None:
                unknown.append((path, info, legacy))
            else:
                found[path] = digest
        large = [path for path, info, legacy in unknown if info.st_size >= _LARGE and not legacy]
        remembered = _remembered(root, large)
        for path, info, legacy in unknown:
            digest = remembered.get(path)
            if digest is None:
                digest = check.file(str(path), info, legacy)
            else:
                stats.put(str(path), key_of(info), digest, now_ns())
            found[path] = digest
        return found
    finally:
        stats.close()


def _common(files: list[tuple[Path, bool]]) -> str | None:
    """The folder of many files, to ask for all of it at once."""
    return os.path.commonpath([path for path, _ in files]) if len(files) > 16 else None


def _remembered(root: Path, files: list[Path]) -> dict[Path, str]:
    if not files:
        return {}
    from gitxexp.storage.dvc.session import remembered  # late: imports dvc

    return remembered(root, files)


def wal_of(path: Path) -> Path:
    """Where SQLite keeps rows that are not in the database file yet."""
    return path.with_name(path.name + "-wal")


class Checker:
    """Compares outputs of one work tree with their pointers, remembering hashes by stat."""

    def __init__(self, top: Path, stats: StatCache, progress: Progress | None) -> None:
        self.top = top.absolute()
        self.stats = stats
        self.progress = progress
        self.read = 0
        self.total = 0

    def change(self, out: Output) -> Change | None:
        """How one output differs, or None."""
        path = work_file(self.top, out.path)
        if not path.exists():
            return Change(out, Kind.MISSING)
        if path.is_dir():
            actual = self.directory(path, out)
        elif pending(path):
            return Change(out, Kind.MODIFIED)
        else:
            actual = self.file(str(path), path.stat(), out.legacy)
        if out.hash is None and not out.files:
            return Change(out, Kind.NEW, f"md5:{actual}")
        return None if actual == _expected(out) else Change(out, Kind.MODIFIED, f"md5:{actual}")

    def file(self, path: str, info: os.stat_result, legacy: bool) -> str:
        """The md5 of one file."""
        name = path + "\0dos2unix" if legacy else path
        key = key_of(info)
        known = self.stats.get(name, key)
        return known or self.hash(path, name, key, legacy)

    def hash(self, path: str, name: str, key: Key, legacy: bool) -> str:
        started = now_ns()
        self.total += key[2]
        digest = dos2unix_md5(Path(path)) if legacy else hash_file(Path(path), self.reader())
        if (
            key_of(Path(path).stat()) == key
        ):  # else it was being written: unknown, so not remembered
            self.stats.put(name, key, digest, started)
        return digest

    def reader(self) -> Callable[[int], None] | None:
        if self.progress is None:
            return None
        report = self.progress

        def add(count: int) -> None:
            self.read += count
            report(self.read, self.total, "B")

        return add

    def directory(self, path: Path, out: Output) -> str:
        """The hash of the directory's manifest as DVC writes it."""
        files = dict(walk(str(path)))
        key = summary(files)
        name = f"{path}\0dos2unix" if out.legacy else str(path)
        known = self.stats.get(name, key)
        if known is not None:
            return known
        started = now_ns()
        digest = (
            self.ask_dvc(out) if _has_ignore(self.top, out) else self.manifest(path, files, out)
        )
        if summary(dict(walk(str(path)))) == key:
            self.stats.put(name, key, digest, started)
        return digest

    def manifest(self, path: Path, files: dict[str, os.stat_result], out: Output) -> str:
        known = {} if out.legacy else self.stats.below(str(path))
        entries = []
        for relpath in sorted(files):
            full, key = f"{path}/{relpath}", key_of(files[relpath])
            record = known.get(full)
            md5 = record[1] if record and record[0] == key else None
            name = full + "\0dos2unix" if out.legacy else full
            md5 = md5 or self.hash(full, name, key, out.legacy)
            entries.append({"md5": md5, "relpath": relpath})
        data = json.dumps(entries, sort_keys=True).encode()
        return manifest_hash(data)

    def ask_dvc(self, out: Output) -> str:
        """With a ``.dvcignore`` in force only DVC knows which files count."""
        from gitxexp.storage.dvc.session import current_hash  # late: imports dvc

        return current_hash(self.top / out.root, self.top / out.path) or ""


def _expected(out: Output) -> str | None:
    """The hash to compare with; a manifest kept in the pointer (cloud-versioned) is hashed."""
    return listed_hash(out.files) if out.files else out.oid


def pending(path: Path) -> bool:
    """Whether rows wait in a ``-wal`` beside the file: they belong to it and are not in it."""
    try:
        return wal_of(path).stat().st_size > 0
    except OSError:
        return False


def walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below: path relative to the folder and its stat; broken links are left out."""
    stack = [""]
    while stack:
        below = stack.pop()
        with os.scandir(f"{folder}/{below}") as entries:
            for entry in entries:
                if entry.name in _IGNORED:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    stack.append(f"{below}{entry.name}/")
                    continue
                try:
                    info = entry.stat()
                except OSError:
                    continue
                if not entry.is_dir():  # a link to a folder: DVC does not follow it either
                    yield below + entry.name, info


def summary(files: dict[str, os.stat_result]) -> Key:
    """One key for a whole directory, made of every file's name and stat."""
    import hashlib  # late, for it brings OpenSSL (2 ms): single files need none of it

    digest = hashlib.sha256()
    newest = size = 0
    for relpath in sorted(files):
        info = files[relpath]
        newest = max(newest, info.st_mtime_ns)
        size += info.st_size
        line = f"{relpath}\0{info.st_mtime_ns} {info.st_ino} {info.st_size}\0"
        digest.update(os.fsencode(line))
    return newest, 0, size, digest.digest()


def _has_ignore(top: Path, out: Output) -> bool:
    """Whether a ``.dvcignore`` with a pattern is in force on the way down to the output."""
    below = PurePosixPath(out.path).relative_to(out.root or ".")
    for folder in (top / out.root / parent for parent in below.parents):
        try:
            lines = (folder / ".dvcignore").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        if any(line.strip() and not line.startswith("#") for line in lines):
            return True
    return False


#: So many bytes are hashed in some 20 ms. Beyond, only sizes and what is remembered are compared.
BUDGET = 8 << 20

#: So many files are looked at in some 100 ms; a directory takes no more than what is left of them.
FILES = 10_000


class Standing(NamedTuple):
    """Outputs that differ from their pointers, by path.

    ``stale``: there, but as another commit has them, and in the cache: ``dvc checkout`` loses
    nothing. It is what git leaves behind, which brings pointers and not data.
    """

    changed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    total: int = 0  #: outputs that were looked at
    remote: int = 0  #: of those stale or missing, how many the cache lacks: ``dvc pull`` has them


def standing(top: Path, outputs: Iterable[Output], cache: Path) -> Standing:
    """The standing of all outputs that DVC keeps for the work tree at ``top``.

    What is not sure (a large file that was touched and has the same size, or a directory of very
    many files) counts as unchanged.
    """
    mine = [out for out in outputs if out.cached and not (out.source and out.source.repo)]
    if not mine:
        return Standing()
    stats = StatCache(cache)
    look = _Glance(top, stats)
    try:
        found = [change for out in mine if (change := look.at(out)) is not None]
    finally:
        stats.close()
    stored = {out.root: cache_dirs(top / out.root) for out in (c.output for c in found)}
    places: dict[str, list[str]] = {"changed": [], "stale": [], "missing": []}
    for output, kind, actual in found:
        oid = actual.partition(":")[2] if actual else ""
        kept = _has(stored[output.root], oid or None, output)
        word = "missing" if kind is Kind.MISSING else "stale" if kept else "changed"
        places[word].append(output.path)
    changed, stale, missing = (tuple(paths) for paths in places.values())
    away = [c.output for c in found if c.output.path not in places["changed"]]
    remote = sum(not _has(stored[out.root], out.oid, out) for out in away)
    return Standing(changed, stale, missing, len(mine), remote)


def _has(caches: Iterable[Path], oid: str | None, out: Output) -> bool:
    return oid is not None and any(has_object(str(c), oid, out.legacy) for c in caches)


class _Glance(Checker):
    def __init__(self, top: Path, stats: StatCache) -> None:
        super().__init__(top, stats, None)
        self.left, self.files = BUDGET, FILES

    def at(self, out: Output) -> Change | None:
        """How one output differs, or None: also where that would take long to find out."""
        path = work_file(self.top, out.path)
        try:
            info = path.stat()
        except OSError:
            return Change(out, Kind.MISSING)
        if out.hash is None and not out.files:
            return Change(out, Kind.NEW)
        if path.is_dir():
            self.files -= out.nfiles or 0
            if self.files < 0:
                return None
        known, size = self._known(path, info, out)
        if known is None and size > self.left:
            differs = out.size is not None and out.size != size
            return Change(out, Kind.MODIFIED) if differs else None
        if known is None:
            self.left -= size
        return self.change(out)

    def _known(self, path: Path, info: os.stat_result, out: Output) -> tuple[str | None, int]:
        """The hash as far as it is remembered, and the size in bytes."""
        name = f"{path}\0dos2unix" if out.legacy else str(path)
        if not path.is_dir():
            known = "" if pending(path) else self.stats.get(name, key_of(info))
            return known, info.st_size
        files = dict(walk(str(path)))
        size = sum(file.st_size for file in files.values())
        return self.stats.get(name, summary(files)), size
