"""Tell DVC what was checked out, as its own checkout does: hashes by stat, and which paths it owns.

DVC 3.67 keeps both in two diskcache databases for each project (``dvc_data/hashfile/state.py``), which
take 20 ms of processor time to create and 10 to open. So a new project gets copies of two that DVC
made in this process, with the rows that DVC's own code would write.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.storage.dvc.place import CachedFile, PlacedFile
from gitxexp.storage.dvc.places import read_config
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.session import check_project, dvc_errors, opened, quiet
from gitxexp.storage.dvc.stat_cache import StatCache, key_of, now_ns

if TYPE_CHECKING:
    from dvc_data.hashfile.hash_info import HashInfo

_HASHES, _LINKS = "hashes/local/cache.db", "links/cache.db"
_SAMPLE = "sample"


#: DVC's rows of hashes by what they depend on: hash, inode, time and size.
Hashes = dict[tuple[str, bool, int, float, int], str]


def remember(
    top: Path,
    root: str,
    placed: Sequence[PlacedFile],
    outputs: Sequence[Output],
    known: Hashes,
) -> Path | None:
    """Record the files placed below ``top`` and their outputs for the DVC project at ``root``.

    ``known`` is what the worktrees made before it in the same command needed; it is added to.
    Returns DVC's site cache folder of this project. Without this everything works, only slower.
    """
    check_project(top / root)
    quiet()
    with dvc_errors("record the checkout"):
        from dvc.fs import localfs  # late: dvc
        from dvc.ignore import DvcIgnoreFilter
        from dvc_data.hashfile.state import State

        site = _site_of(top / root)
        if not site.exists():
            files = [one.file for one in placed]
            ignore = None
            if _has_ignore_file(top, root, files, outputs):
                ignore = DvcIgnoreFilter(localfs, str(top / root))
            state = State(str(top / root), None, ignore)
            state.links = links = _Links()
            hashes = _hashes(state, localfs, top, placed, known)
            _save_links(state, localfs, top, outputs, {} if ignore else _times(top, placed))
            empty = _empty_caches()
            _write(site / _HASHES, empty[0], hashes)
            _write(site / _LINKS, empty[1], links.rows)
            return site
    with opened(top / root, "record the checkout") as repo:
        repo.state.save_many(_records(top, placed), repo.fs)
        _save_links(repo.state, repo.fs, top, outputs, {})
        return Path(repo.site_cache_dir)


def _has_ignore_file(
    top: Path, root: str, files: Sequence[CachedFile], outputs: Sequence[Output]
) -> bool:
    """Whether DVC's rules, which take longer than the stats themselves, could leave out a file: from
    the project's folder to an output, or in one, there is a ``.dvcignore`` with rules."""
    folders = {folder for out in outputs for folder in (top / out.path).parents}
    above = [folder for folder in folders if folder.is_relative_to(top / root)]
    return any(_has_rules(folder / ".dvcignore") for folder in above) or any(
        file.path.endswith("/.dvcignore") for file in files
    )


def _has_rules(file: Path) -> bool:
    """Whether a ``.dvcignore`` says anything: ``dvc init`` writes one of comments alone."""
    lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else ()
    return any(line.strip() and not line.startswith("#") for line in lines)


def _records(
    top: Path, placed: Iterable[PlacedFile]
) -> Iterator[tuple[str, HashInfo, dict[str, Any]]]:
    """Yield what DVC's state takes for each file."""
    from dvc_data.hashfile.hash_info import HashInfo

    for file, info in placed:
        stat = {"ino": info.st_ino, "mtime": info.st_mtime, "size": info.st_size}
        name = "md5-dos2unix" if file.output.legacy else "md5"
        yield f"{top}/{file.path}", HashInfo(name, file.oid), stat


def _hashes(
    state: Any, fs: Any, top: Path, placed: Sequence[PlacedFile], known: Hashes
) -> list[tuple[str, str]]:
    """Return DVC's rows of hashes: a link's is the same in every worktree."""
    keys = [
        (file.oid, file.output.legacy, info.st_ino, info.st_mtime, info.st_size)
        for file, info in placed
    ]
    new = {key: one for key, one in zip(keys, placed, strict=True) if key not in known}
    state.hashes = made = _Hashes()
    state.save_many(_records(top, new.values()), fs)
    known |= {key: value for key, (_, value) in zip(new, made.rows, strict=True)}
    start = f"{top}/"
    paths = (start + file.path for file, _ in placed)
    return [(path, known[key]) for path, key in zip(paths, keys, strict=True)]


def _times(top: Path, placed: Iterable[PlacedFile]) -> dict[str, dict[str, float]]:
    """Return the time of each file in a folder that is an output, by output."""
    times: dict[str, dict[str, float]] = {}
    start = f"{top}/"
    for out, files in groupby(placed, lambda one: one.file.output):
        if out.is_dir:
            found = {start + file.path: info.st_mtime for file, info in files}
            times.setdefault(out.path, {}).update(found)
    return times


def _save_links(
    state: Any,
    fs: Any,
    top: Path,
    outputs: Iterable[Output],
    times: Mapping[str, dict[str, float]],
) -> None:
    """Save which paths DVC owns. ``times`` are known of some folders, whose files DVC need not list."""
    from dvc_data.hashfile import utils

    for out in outputs:
        path = str(top / out.path)
        if out.path in times and hasattr(utils, "_tokenize_mtimes"):
            state.set_link(path, os.stat(path).st_ino, utils._tokenize_mtimes(times[out.path]))  # noqa: PTH116
        elif (top / out.path).exists():
            state.save_link(path, fs)


def _site_of(root: Path) -> Path:
    """Return DVC's site cache folder of a project, by its own rule, without all that opening the
    project does."""
    from dvc.fs import localfs
    from dvc.repo import Repo

    (root / ".dvc/tmp").mkdir(exist_ok=True)
    repo = Repo.__new__(Repo)
    repo.root_dir, repo.dvc_dir, repo._fs = str(root), str(root / ".dvc"), localfs
    repo.config = {"core": read_config(root).get("core", {})}
    return Path(repo.site_cache_dir)


@dataclass
class _Hashes:
    """Takes what DVC writes into its cache of hashes."""

    rows: list[tuple[str, Any]] = field(default_factory=list)

    def set_many(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows += rows


class _Links(dict[str, Any]):
    """Takes what DVC writes into its cache of links, and gives it as diskcache stores it."""

    def __enter__(self) -> _Links:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def rows(self) -> list[tuple[str, Any]]:
        return [(path, pickle.dumps(value, protocol=4)) for path, value in self.items()]


@lru_cache(maxsize=1)
def _empty_caches() -> tuple[bytes, bytes]:
    """Return the databases of hashes and of links as DVC makes them, each with one row that shows how
    it stores one."""
    from dvc_data.hashfile.state import State

    with tempfile.TemporaryDirectory() as folder:
        state = State(folder, folder)
        state.hashes.set_many([(_SAMPLE, "")])
        state.links[_SAMPLE] = ("", "")
        state.close()
        return Path(folder, _HASHES).read_bytes(), Path(folder, _LINKS).read_bytes()


def _write(file: Path, empty: bytes, rows: Iterable[tuple[str, Any]]) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(empty)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA synchronous = NORMAL")  # as diskcache
        listed = [row[1] for row in db.execute("PRAGMA table_info(Cache)")]
        columns = [name for name in listed if name not in ("rowid", "key", "value")]
        same = ", ".join(f"same.{name}" for name in columns)
        # One statement for all: the triggers that count rows take twice the time if each has its own.
        db.execute("CREATE TEMP TABLE same AS SELECT * FROM Cache")
        db.execute("CREATE TEMP TABLE new (key, value)")
        db.executemany("INSERT INTO new VALUES (?, ?)", rows)
        db.execute("DELETE FROM Cache")
        db.execute(
            f"INSERT INTO Cache (key, value, {', '.join(columns)})"
            f" SELECT new.key, new.value, {same} FROM new, same ORDER BY new.rowid"
        )


def remember_stats(cache: Path, top: Path, placed: Iterable[PlacedFile], opened: int) -> None:
    """Do the same for our own stat cache at ``cache``, so that the first listing reads no data.
    ``opened``: when the objects' stats were read."""
    stats = StatCache(cache)
    started = now_ns()
    start = f"{top}/"
    try:
        for file, info in placed:
            path = start + file.path
            name = f"{path}\0dos2unix" if file.output.legacy else path
            stats.put(name, key_of(info), file.oid, opened if info is file.info else started)
    finally:
        stats.close()
