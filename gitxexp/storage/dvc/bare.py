"""DVC's settings in a bare repository, which has no work tree to keep them in."""

from __future__ import annotations

from pathlib import Path

from gitxexp.common.files import atomic_write
from gitxexp.storage import paths
from gitxexp.storage.git import Git

_CONFIG = ".dvc/config"
#: DVC would look for the work tree of the repository around the folder.
_LOCAL = b"[core]\n    no_scm = true\n"


def settings_folder(git: Git, folder: Path) -> Path:
    """Return ``folder``, with the settings that HEAD has for each DVC project. Objects that are fetched
    go into the caches there."""
    if git.resolve("HEAD") is None:
        return folder
    entries = git.ls_tree("HEAD", recursive=True)
    found = [e for e in entries if e.kind == "blob" and f"/{e.path}".endswith(f"/{_CONFIG}")]
    for entry, item in zip(found, git.cat(e.oid for e in found), strict=True):
        root = entry.path.removesuffix(_CONFIG).rstrip("/")
        if item is None or (root and paths.problem(root)):
            continue
        _put(folder / root / ".dvc", "config", item[2])
        _put(folder / root / ".dvc", "config.local", _LOCAL)
    return folder


def _put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    if path.is_file() and path.read_bytes() == content:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
