"""Find which outputs of a work tree differ from their pointers, without DVC where stats suffice.

Also summarises the state of all outputs quickly: large files with a new stat are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gitxexp.common.files import rows_wait
from gitxexp.storage.dvc.places import cache_dirs, work_file
from gitxexp.storage.dvc.pointer_file import listed_hash
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.standing import Standing
from gitxexp.storage.dvc.stat_cache import Key, StatCache, key_of, now_ns
from gitxexp.storage.git import Git
from gitxexp.storage.objects import (
    Progress,
    digest_of,
    dos2unix_md5,
    has_object,
    hash_file,
    manifest_hash,
)

#: Never part of a directory output (dvc/ignore.py, the default patterns).
_IGNORED = {".git", ".hg", ".dvc"}


class ChangeKind(StrEnum):
    """How an output differs from its pointer."""

    MODIFIED = "modified"
    MISSING = "missing"  #: missing: not checked out, or deleted
    NEW = "new"  #: present, but its pointer has no hash yet


class OutputChange(NamedTuple):
    """One output that differs from its pointer.

    ``actual`` is the current hash, None if the output is missing or rows are still in a ``-wal``.
    """

    output: Output
    kind: ChangeKind
    actual: str | None = None


def changed(
    top: Path, outputs: Iterable[Output], cache: Path, progress: Progress | None = None
) -> list[Output]:
    """Return the outputs whose data exists and differs from the pointer (what ``add`` would add)."""
    changes = status(top, outputs, cache, progress)
    return [change.output for change in changes if change.kind is not ChangeKind.MISSING]


def status(
    top: Path, outputs: Iterable[Output], cache: Path, progress: Progress | None = None
) -> list[OutputChange]:
    """Return every output that differs from its pointer, in the order given.

    ``cache`` is the SQLite file of the stat cache. A file is read only if its stat is new;
    ``progress`` counts bytes read. Outputs that git holds (``cache: false``) are skipped, as are
    imports, whose content the source decides.
    """
    stats = StatCache(cache)
    check = Checker(top, stats, progress)
    try:
        mine = [out for out in outputs if out.cached and not (out.source and out.source.repo)]
        return [change for out in mine if (change := check.change(out)) is not None]
    finally:
        stats.close()


#: Above this size it pays off to import DVC and query its state.
_LARGE = 64 << 20


def file_hashes(
    root: Path,
    files: Iterable[tuple[Path, bool]],
    cache: Path,
    progress: Progress | None = None,
) -> dict[Path, str]:
    """Return the md5 of each file as hex, by path; ``(path, legacy)`` asks for DVC 2.x's md5 of
    text.

    Only files with a new stat that DVC does not know either are read.
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
    """Return a folder with many files, to query all of them at once."""
    return os.path.commonpath([path for path, _ in files]) if len(files) > 16 else None


def _remembered(root: Path, files: list[Path]) -> dict[Path, str]:
    if not files:
        return {}
    from gitxexp.storage.dvc.session import remembered  # late: imports dvc

    return remembered(root, files)


class Checker:
    """Compare outputs of one work tree with their pointers, caching hashes by stat."""

    def __init__(self, top: Path, stats: StatCache, progress: Progress | None) -> None:
        self.top = top.absolute()
        self.stats = stats
        self.progress = progress
        self.read = 0
        self.total = 0

    def change(self, out: Output) -> OutputChange | None:
        """Return how one output differs, or None."""
        path = work_file(self.top, out.path)
        if not path.exists():
            return OutputChange(out, ChangeKind.MISSING)
        if path.is_dir():
            actual = self.directory(path, out)
        elif rows_wait(path):
            return OutputChange(out, ChangeKind.MODIFIED)
        else:
            actual = self.file(str(path), path.stat(), out.legacy)
        if out.hash is None and not out.files:
            return OutputChange(out, ChangeKind.NEW, f"md5:{actual}")
        return (
            None
            if actual == _expected(out)
            else OutputChange(out, ChangeKind.MODIFIED, f"md5:{actual}")
        )

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
        if key_of(Path(path).stat()) == key:  # else it was being written: unknown, so not cached
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
        """Return the hash of the directory's manifest as DVC writes it."""
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
        import json  # late: few outputs are folders

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
        """With an active ``.dvcignore`` only DVC knows which files count."""
        from gitxexp.storage.dvc.session import current_hash  # late: imports dvc

        return current_hash(self.top / out.root, self.top / out.path) or ""


def _expected(out: Output) -> str | None:
    """Return the hash to compare with; a manifest inside the pointer (cloud-versioned) is hashed."""
    return listed_hash(out.files) if out.files else out.oid


def walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every file below a folder: its relative path and stat; broken links are skipped."""
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
    """Return one key for a whole directory, computed from every file's name and stat."""
    digest = digest_of("sha256", "_sha256", "_sha2")()
    newest = size = 0
    for relpath in sorted(files):
        info = files[relpath]
        newest = max(newest, info.st_mtime_ns)
        size += info.st_size
        line = f"{relpath}\0{info.st_mtime_ns} {info.st_ino} {info.st_size}\0"
        digest.update(os.fsencode(line))
    return newest, 0, size, digest.digest()


def _has_ignore(top: Path, out: Output) -> bool:
    """Return whether a ``.dvcignore`` with a pattern applies to the output."""
    below = PurePosixPath(out.path).relative_to(out.root or ".")
    for folder in (top / out.root / parent for parent in below.parents):
        try:
            lines = (folder / ".dvcignore").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        if any(line.strip() and not line.startswith("#") for line in lines):
            return True
    return False


#: Bytes hashed in about 20 ms. Beyond that, only sizes and cached hashes are compared.
BUDGET = 8 << 20

#: Files visited in about 100 ms; a directory may use only what is left of this budget.
FILES = 10_000


def standing(top: Path, outputs: Iterable[Output], cache: Path, git: Git) -> Standing:
    """Return the state of all DVC outputs of the work tree at ``top``. ``git`` is asked only about one
    that differs and is older than its pointer.

    Uncertain cases (a large file that was touched but has the same size, or a directory of very
    many files) count as unchanged.
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
        is_old = kind is not ChangeKind.MISSING and is_stale(git, top, output._replace(hash=actual))
        word = "missing" if kind is ChangeKind.MISSING else "stale" if is_old else "changed"
        places[word].append(output.path)
    changed, stale, missing = (tuple(paths) for paths in places.values())
    away = [c.output for c in found if c.output.path not in places["changed"]]
    remote = sum(not _has(stored[out.root], out.oid, out) for out in away)
    return Standing(changed, stale, missing, len(mine), remote)


def is_stale(git: Git, top: Path, out: Output) -> bool:
    """Whether a changed output, with its current hash, is as another commit has it: it was not written
    since git wrote its pointer, and the pointer of some commit names its bytes."""
    if out.oid is None or is_written_since(top, out):
        return False
    where = ("--", f":(top,literal){out.pointer}")
    return bool(git.lines("log", "--all", "-1", "--format=%h", f"-S{out.oid}", *where))


def is_written_since(top: Path, out: Output) -> bool:
    """Return whether an output was written after its pointer. git writes a pointer when it updates it,
    so whatever a training writes is newer, and what is not checked out yet is older."""
    try:
        pointed = (top / out.pointer).stat().st_mtime_ns
        times = [(top / out.path).stat().st_mtime_ns]
    except OSError:  # a sparse checkout leaves out the pointer
        return True
    for folder, folders, files in os.walk(top / out.path):
        times += [os.lstat(f"{folder}/{name}").st_mtime_ns for name in (*folders, *files)]
    return max(times) >= pointed


def _has(caches: Iterable[Path], oid: str | None, out: Output) -> bool:
    return oid is not None and any(has_object(str(c), oid, out.legacy) for c in caches)


class _Glance(Checker):
    def __init__(self, top: Path, stats: StatCache) -> None:
        super().__init__(top, stats, None)
        self.left, self.files = BUDGET, FILES

    def at(self, out: Output) -> OutputChange | None:
        """Return how one output differs, or None, also if finding out would take long."""
        path = work_file(self.top, out.path)
        try:
            info = path.stat()
        except OSError:
            return OutputChange(out, ChangeKind.MISSING)
        if out.hash is None and not out.files:
            return OutputChange(out, ChangeKind.NEW)
        if path.is_dir():
            self.files -= out.nfiles or 0
            if self.files < 0:
                return None
        known, size = self._known(path, info, out)
        if known is None and size > self.left:
            differs = out.size is not None and out.size != size
            return OutputChange(out, ChangeKind.MODIFIED) if differs else None
        if known is None:
            self.left -= size
        return self.change(out)

    def _known(self, path: Path, info: os.stat_result, out: Output) -> tuple[str | None, int]:
        """Return the hash, if cached, and the size in bytes."""
        name = f"{path}\0dos2unix" if out.legacy else str(path)
        if not path.is_dir():
            known = "" if rows_wait(path) else self.stats.get(name, key_of(info))
            return known, info.st_size
        files = dict(walk(str(path)))
        size = sum(file.st_size for file in files.values())
        return self.stats.get(name, summary(files)), size
