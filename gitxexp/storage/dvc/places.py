"""DVC's locations, read from its configuration files without importing DVC.

Levels shadow each other as in dvc.org/doc/command-reference/config: system, global, repo
(``.dvc/config``), local (``.dvc/config.local``). A relative path is relative to the file that names it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlparse

from gitxexp.common import checked
from gitxexp.common.notes import note
from gitxexp.common.secrets import know
from gitxexp.storage.git import Git
from gitxexp.storage.paths import Refused, identity, leaves, resolved, shown

#: Section name (``core``, ``cache``, ``remote NAME``) → its keys and values.
Config = dict[str, dict[str, str]]

_LONGEST = 200  #: characters of a section's line
_SECTION = re.compile(r"\[\s*+(['\"]?)(.*)\1\s*\]\s*(?:#.*)?$")
_REMOTE = re.compile(r"remote\s*\"(.*)\"$")
_PATHS = {"dir", "url", "gdrive_user_credentials_file", "gdrive_service_account_json_file_path",
          "credentialpath", "configpath", "keyfile", "cert_path", "key_path"}  # fmt: skip


def is_dvc_repo(root: Path) -> bool:
    """Return whether ``root`` itself is a DVC project."""
    return (root / ".dvc").is_dir()


def dvc_roots(top: Path) -> list[str]:
    """Return the folders of a repository's DVC projects, relative to its top; "" is the top itself."""
    return sorted({*Git(top).projects(".dvc/config")})


def has_dvc(top: Path) -> bool:
    """Return whether a repository has a DVC project, at its top or in a folder below."""
    return is_dvc_repo(top) or bool(dvc_roots(top))


def read_config(root: Path) -> Config:
    """Return the merged configuration that DVC would use in the project at ``root``."""
    merged: Config = {}
    for file in _levels(root):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for section, values in _parse(text, file.parent).items():
            merged.setdefault(section, {}).update(values)
    return merged


def _levels(root: Path) -> list[Path]:
    system, user = _platform_dirs()
    return [
        Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or system) / "config",
        Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or user) / "config",
        root / ".dvc" / "config",
        root / ".dvc" / "config.local",
    ]


def _platform_dirs() -> tuple[Path, Path]:
    """Return the system and user folders, named as by the platformdirs package that DVC uses."""
    if sys.platform == "darwin":
        support = Path("Library/Application Support/dvc")
        return Path("/") / support, Path.home() / support
    shared = os.environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)[0] or "/etc/xdg"
    own = os.environ.get("XDG_CONFIG_HOME", "").strip() or Path.home() / ".config"
    return Path(shared) / "dvc", Path(own) / "dvc"


def _parse(text: str, folder: Path) -> Config:
    """Sections and values; relative paths are resolved against ``folder``."""
    config: Config = {}
    values: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.strip()
        match = _SECTION.match(line) if len(line) <= _LONGEST else None
        if match:
            remote = _REMOTE.match(match.group(2).strip())
            name = f"remote {remote.group(1).lower()}" if remote else match.group(2).strip().lower()
            values = config.setdefault(name, {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            key, value = key.strip().lower(), _unquote(value.strip())
            know(key, value)
            values[key] = _resolve(value, folder) if key in _PATHS else value
    return config


def _unquote(value: str) -> str:
    if value[:1] in ("'", '"') and value.find(value[0], 1) > 0:
        return value[1 : value.find(value[0], 1)]
    return value.partition(" #")[0].rstrip()


def _resolve(path: str, folder: Path) -> str:
    if re.match(r"\w+://", path):
        return path
    return os.path.normpath(folder.absolute() / Path(path).expanduser())


def refuse_tracked_link(path: Path, top: Path | None = None) -> None:
    """Raise Refused if git tracks a symbolic link at ``path`` or, below ``top``, on the way to it:
    a link that the user created is trusted, one that came with a clone is not followed."""
    parts = path.relative_to(top).parts if top else path.parts[-1:]
    place = top or path.parent
    for part in parts:
        place = place / part
        if place.is_symlink() and Git(place.parent).ok("ls-files", "--error-unmatch", "--", part):
            raise Refused(
                f"{shown(str(place))} is a symbolic link that git tracks, to {place.readlink()}",
                "DVC would write through it: remove it, and make your own if you need one",
            )


def _checked(root: Path, folder: Path) -> Path:
    """Return a configured folder; within the repository no tracked link may lead to it."""
    top = next((p for p in (root, *root.parents) if (p / ".git").exists()), root).absolute()
    if folder.is_relative_to(top):
        refuse_tracked_link(folder, top)
    return folder


def cache_dir(root: Path) -> Path:
    """Return the cache that DVC uses in the project at ``root`` (a worktree has its own by
    default).

    Raises Refused if a link that git tracks leads to it.
    """
    config = read_config(root)
    cache = config.get("cache", {})
    named = (
        config.get(f"remote {cache['local'].lower()}", {}).get("url") if "local" in cache else None
    )
    return _checked(root, Path(named or cache.get("dir") or root.absolute() / ".dvc" / "cache"))


def link_types(root: Path) -> list[str]:
    """Return DVC's link types in order of preference (``cache.type``; by default reflink, then
    copy)."""
    value = read_config(root).get("cache", {}).get("type", "reflink,copy")
    return [part.strip() for part in value.split(",") if part.strip()]


def cache_dirs(root: Path, siblings: Iterable[Path] = ()) -> list[Path]:
    """Return the cache of ``root``, then those of the same project in other worktrees, without
    duplicates."""
    found: dict[Path, None] = {}
    for place in (root, *siblings):
        if is_dvc_repo(place):
            found.setdefault(Path(os.path.realpath(cache_dir(place))), None)
    return [place for place in found if place.is_dir()]


def today(root: Path) -> Path:
    """Return the project whose configuration defines the remotes: in a linked worktree that of the
    main worktree, because the worktree's commit may name remotes that are gone; else ``root``."""
    top = next((p for p in (root, *root.parents) if os.path.lexists(p / ".git")), None)
    if top is None or (top / ".git").is_dir():
        return root
    try:  # gitrepository-layout(5): "gitdir: PATH", with commondir there
        admin = top / (top / ".git").read_text("utf-8").removeprefix("gitdir:").strip()
        common = Path(os.path.normpath(admin / (admin / "commondir").read_text("utf-8").strip()))
    except (OSError, UnicodeDecodeError):  # a submodule has no commondir
        return root
    main = common.parent / root.relative_to(top)
    return main if common.name == ".git" and is_dvc_repo(main) else root


def remotes(root: Path) -> Config:
    """Return the remotes that the project's own configuration defines."""
    sections = read_config(root).items()
    return {name: values for name, values in sections if name == "core" or name[:7] == "remote "}


def has_own_remotes(root: Path) -> bool:
    """Return whether a worktree's commit names other remotes than exist today."""
    return today(root) != root and remotes(today(root)) != remotes(root)


def remote_name(
    root: Path, remote: str | None = None, *, pointer: str | None = None, own: bool = False
) -> str | None:
    """Return the remote of an output: the one named by its ``pointer``, else ``remote``, else the
    project's default; None if there is none. ``own``: as defined in a worktree's commit.

    A remote that only a worktree's commit names does not count as existing.
    """
    place = root if own else today(root)
    config = read_config(place)
    if pointer and (place == root or f"remote {pointer.lower()}" in config):
        return pointer
    return remote or config.get("core", {}).get("remote") or None


def remote_url(root: Path, name: str) -> str | None:
    """Return a remote's configured address; None if there is no such remote."""
    return read_config(today(root)).get(f"remote {name.lower()}", {}).get("url")


def remote_urls(root: Path) -> dict[str, str]:
    """Return the address of every current remote, by name."""
    sections = read_config(today(root)).items()
    named = ((name.removeprefix("remote "), values.get("url")) for name, values in sections
             if name.startswith("remote "))  # fmt: skip
    return {name: url for name, url in named if url is not None}


def local_remote_dir(
    root: Path, remote: str | None = None, *, pointer: str | None = None, own: bool = False
) -> Path | None:
    """Return the folder of a local remote; None for any other kind, or without a remote. Takes the
    options of :func:`remote_name`.

    Raises Refused if a link that git tracks leads to it.
    """
    remote = remote_name(root, remote, pointer=pointer, own=own)
    root = root if own else today(root)
    config = read_config(root)
    name = remote or config.get("core", {}).get("remote")
    settings = config.get(f"remote {name.lower()}") if name else None
    if not settings or "url" not in settings or settings.get("worktree", "").lower() == "true":
        return None
    folder = _local(settings["url"], config)
    return _checked(root, folder) if folder else None


def _local(url: str, config: Config) -> Path | None:
    parsed = urlparse(url)
    if parsed.scheme == "remote":
        base = config.get(f"remote {parsed.netloc.lower()}", {}).get("url")
        folder = _local(base, config) if base else None
        return Path(os.path.normpath(f"{folder}/{parsed.path}")) if folder else None
    if parsed.scheme in ("", "file"):
        return Path(parsed.path if parsed.scheme else url)
    return None


#: An object's path in a cache of DVC 3 (``files/md5/ab/…``) or 2 (``ab/…``).
_OBJECT = re.compile(r"(.*?)(?:/files/md5)?/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?")


def work_file(top: Path, path: str) -> Path:
    """Return a file of the work tree at ``top`` for reading: :func:`gitxexp.storage.paths.inside`,
    or a link into the cache of the file's own project, as DVC creates them. Raises Refused for any
    other."""
    try:
        resolved(top, path)
    except Refused:
        if _linked_object(top, path) is None:
            raise
    checked.remember(top / path, lambda: _identity(top, path))
    return top / path


def _identity(top: Path, path: str) -> checked.Identity:
    """:func:`gitxexp.storage.paths.identity`, or that of the object in the cache."""
    linked = _linked_object(top, path)
    if linked is None:
        return identity(top, path)
    info = linked.lstat()
    return info.st_dev, info.st_ino


def readable(top: Path, path: str) -> Path | None:
    """Return a file of the work tree for reading; None, with a note, if a link leads out of the
    tree.

    ``path`` may lie outside if the user's own configuration says so, which is trusted.
    """
    if leaves(os.path.normpath(path)):
        return top / path
    try:
        return work_file(top, path)
    except Refused as error:
        note(f"{error.message}; it is not read")
        return None


def _linked_object(top: Path, path: str) -> Path | None:
    """Return the object in the cache that a link stands for; None for any other file."""
    try:
        folder = top / resolved(top, path.rpartition("/")[0])
        target = (folder / path.rpartition("/")[2]).readlink()
    except (OSError, Refused):
        return None
    real = os.path.realpath(folder / target)
    match = _OBJECT.fullmatch(real)
    root = next((place for place in (folder, *folder.parents) if is_dvc_repo(place)), None)
    if match is None or root is None or not Path(real).is_file():
        return None
    return Path(real) if os.path.realpath(cache_dir(root)) == match.group(1) else None
