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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gitxexp.storage.dvc.place import CachedFile
from gitxexp.storage.dvc.places import read_config
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.session import check_project, dvc_errors, opened, quiet
from gitxexp.storage.dvc.stat_cache import StatCache, key_of, now_ns

_HASHES, _LINKS = "hashes/local/cache.db", "links/cache.db"
_SAMPLE = "sample"


def remember(
    top: Path, root: str, files: Iterable[CachedFile], outputs: Iterable[Output]
) -> Path | None:
    """Record the files placed below ``top`` and their outputs for the DVC project at ``root``.

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
            files, outputs = list(files), list(outputs)
            ignore = None
            if _has_ignore_file(top, root, files, outputs):
                ignore = DvcIgnoreFilter(localfs, str(top / root))
            state = State(str(top / root), None, ignore)
            hashes, links = state.hashes, state.links = _Hashes(), _Links()
            _save(state, localfs, top, files, outputs)
            empty = _empty_caches()
            _write(site / _HASHES, empty[0], hashes.rows)
            _write(site / _LINKS, empty[1], links.rows)
            return site
    with opened(top / root, "record the checkout") as repo:
        _save(repo.state, repo.fs, top, files, outputs)
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


def _save(
    state: Any, fs: Any, top: Path, files: Iterable[CachedFile], outputs: Iterable[Output]
) -> None:
    from dvc_data.hashfile.hash_info import HashInfo

    def records() -> Iterator[tuple[str, HashInfo, dict[str, Any]]]:
        for file in files:
            path = f"{top}/{file.path}"
            info = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
            stat = {"ino": info.st_ino, "mtime": info.st_mtime, "size": info.st_size}
            name = "md5-dos2unix" if file.output.legacy else "md5"
            yield path, HashInfo(name, file.oid), stat

    state.save_many(records(), fs)
    for out in outputs:
        if (top / out.path).exists():
            state.save_link(str(top / out.path), fs)


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
        same = db.execute(f"SELECT {', '.join(columns)} FROM Cache").fetchone()
        marks = ", ".join("?" * (len(columns) + 2))
        db.execute("DELETE FROM Cache")
        db.executemany(
            f"INSERT INTO Cache (key, value, {', '.join(columns)}) VALUES ({marks})",
            ((key, value, *same) for key, value in rows),
        )


def remember_stats(cache: Path, top: Path, files: Iterable[CachedFile]) -> None:
    """Do the same for our own stat cache at ``cache``, so that the first listing reads no data."""
    stats = StatCache(cache)
    started = now_ns()
    try:
        for file in files:
            path = f"{top}/{file.path}"
            name = f"{path}\0dos2unix" if file.output.legacy else path
            stats.put(name, key_of(os.stat(path)), file.oid, started)  # noqa: PTH116 - as above
    finally:
        stats.close()
