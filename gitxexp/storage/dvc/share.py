"""Let a linked worktree use the main worktree's cache, without changing a tracked file.

Everything goes into the worktree's own ``.dvc/config.local``: an absolute ``cache.dir``, what main
has there (credentials; DVC does not inherit it), and absolute urls for relative remotes of the
tracked configuration, which would otherwise be resolved relative to the worktree.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitxexp.storage.dvc.places import cache_dir
from gitxexp.storage.dvc.session import check_project, dvc_errors, opened, quiet


def share_cache(tree: Path, home: Path) -> None:
    """Write ``config.local`` of the DVC project at ``tree`` so that it uses the cache and remotes
    of ``home``."""
    check_project(tree)
    mine, theirs = tree / ".dvc", home / ".dvc"
    if not (mine / ".gitignore").exists():  # as DVC writes it: config.local is not to be committed
        (mine / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    same = (theirs, _content(mine / "config"), _content(theirs / "config.local"))
    new = not (mine / "config.local").exists()
    if new and same in _SHARED:
        _private(mine / "config.local")
        (mine / "config.local").write_bytes(_SHARED[same])
        return
    quiet()
    with dvc_errors("share the DVC cache"):
        from dvc.config import Config, merge  # late: takes 0.2 s

        config = Config(str(mine), validate=False)
        tracked = _moved(config.load_one("repo"), mine, theirs)
        carried = Config(str(theirs), validate=False).load_one("local")
        _private(mine / "config.local")
        config._save_config = lambda _, values: _write(mine / "config.local", values)
        with config.edit("local", validate=False) as local:
            merge(local, {"remote": {k: v for k, v in tracked.get("remote", {}).items() if v}})
            merge(local, _plain(carried))
            local["cache"]["dir"] = str(cache_dir(home))
    if new:
        _SHARED[same] = (mine / "config.local").read_bytes()


#: What this process wrote into ``config.local``, by the configurations that it was made of: DVC takes
#: 10 ms for each of several worktrees.
_SHARED: dict[tuple[Path, bytes, bytes], bytes] = {}


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


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


def site_cache(root: Path) -> Path | None:
    """Return DVC's site cache folder for the project at ``root``; None if DVC cannot open the
    project."""
    with suppress(Exception), opened(root, "find the site cache") as repo:
        return Path(repo.site_cache_dir)
    return None
