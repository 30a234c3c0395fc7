"""Let a linked worktree use the main worktree's cache, without changing a tracked file.

Everything goes into the worktree's own ``.dvc/config.local``: an absolute ``cache.dir``, what main
has there (credentials; DVC does not inherit it), and absolute urls for relative remotes of the
tracked configuration, which would otherwise be resolved relative to the worktree.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitxexp.storage.dvc.place import CachedFile
from gitxexp.storage.dvc.places import cache_dir
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.session import check_project, dvc_errors, opened, quiet
from gitxexp.storage.dvc.stat_cache import StatCache, key_of, now_ns


def share_cache(tree: Path, home: Path) -> None:
    """Write ``config.local`` of the DVC project at ``tree`` so that it uses the cache and remotes
    of ``home``."""
    check_project(tree)
    quiet()
    with dvc_errors("share the DVC cache"):
        from dvc.config import Config, merge  # late: takes 0.2 s

        mine, theirs = tree / ".dvc", home / ".dvc"
        config = Config(str(mine), validate=False)
        tracked = _moved(config.load_one("repo"), mine, theirs)
        carried = Config(str(theirs), validate=False).load_one("local")
        _private(mine / "config.local")
        config._save_config = lambda _, values: _write(mine / "config.local", values)
        with config.edit("local", validate=False) as local:
            merge(local, {"remote": {k: v for k, v in tracked.get("remote", {}).items() if v}})
            merge(local, _plain(carried))
            local["cache"]["dir"] = str(cache_dir(home))


def name_remotes(root: Path, default: str | None, folders: Mapping[str, str]) -> None:
    """Write ``config.local`` of the DVC project at ``root``: its default remote, and the folders of
    remotes by name."""
    check_project(root)
    values: dict[str, Any] = {"core": {"remote": default}} if default else {}
    values |= {"machine": {}, "db": {}}  # DVC's writer needs them
    values["remote"] = {name: {"url": folder} for name, folder in folders.items()}
    with dvc_errors("name the DVC remotes"):
        _write(root / ".dvc" / "config.local", values)


def _write(path: Path, values: dict[str, Any]) -> None:
    """Save a configuration as DVC 3.67 does, but in UTF-8, as DVC reads it: DVC writes ASCII and
    fails on any folder name with other letters."""
    from configobj import ConfigObj
    from dvc.config import _pack_named

    with path.open("wb") as file:
        ConfigObj(_pack_named(values), encoding="utf-8").write(file)


def _moved(config: dict[str, Any], mine: Path, theirs: Path) -> dict[str, Any]:
    """Return only the relative paths of a configuration, made absolute as ``theirs`` would read
    them."""
    from dvc.config_schema import RelPath

    moved: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            moved[key] = _moved(value, mine, theirs)
        elif isinstance(value, RelPath):
            relative = os.path.relpath(value, mine)
            moved[key] = os.path.normpath(theirs / relative)
    return moved


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """Return a copy in which relative paths are plain absolute ones."""
    from dvc.config_schema import RelPath

    return {
        key: _plain(value)
        if isinstance(value, dict)
        else str(value)
        if isinstance(value, RelPath)
        else value
        for key, value in config.items()
    }


def _private(path: Path) -> None:
    """Create the file readable only by its owner before credentials are written."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    path.chmod(0o600)


def remember(
    top: Path, root: str, files: Iterable[CachedFile], outputs: Iterable[Output]
) -> Path | None:
    """Tell DVC what was placed, as its own checkout does: hashes by stat, and which paths it owns.

    Returns DVC's site cache folder of this project. Without this everything works, only slower.
    """
    with opened(top / root, "record the checkout") as repo:
        from dvc_data.hashfile.hash_info import HashInfo  # late: dvc

        state = repo.state

        def records() -> Iterator[tuple[str, HashInfo, dict[str, Any]]]:
            for file in files:
                path = f"{top}/{file.path}"
                info = Path(path).stat()
                stat = {"ino": info.st_ino, "mtime": info.st_mtime, "size": info.st_size}
                yield (
                    path,
                    HashInfo("md5-dos2unix" if file.output.legacy else "md5", file.oid),
                    stat,
                )

        state.save_many(records(), repo.fs)
        for out in outputs:
            if (top / out.path).exists():
                state.save_link(str(top / out.path), repo.fs)
        return Path(repo.site_cache_dir)


def remember_stats(cache: Path, top: Path, files: Iterable[CachedFile]) -> None:
    """Do the same for our own stat cache at ``cache``, so that the first listing reads no data."""
    stats = StatCache(cache)
    try:
        for file in files:
            path = f"{top}/{file.path}"
            name = f"{path}\0dos2unix" if file.output.legacy else path
            stats.put(name, key_of(Path(path).stat()), file.oid, now_ns())
    finally:
        stats.close()


def site_cache(root: Path) -> Path | None:
    """Return DVC's site cache folder for the project at ``root``; None if DVC cannot open the
    project."""
    with suppress(Exception), opened(root, "find the site cache") as repo:
        return Path(repo.site_cache_dir)
    return None
