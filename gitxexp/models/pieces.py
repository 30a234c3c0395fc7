"""What promote, prune and ``candidates add`` share: facts of files, and pointers brought up to date."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from gitxexp import dvcio
from gitxexp.dvcio import Tracked
from gitxexp.errors import XexpError
from gitxexp.models.stock import Model, Shelf, Stock
from gitxexp.project import Project, Running


def file_facts(project: Project, model: Model, path: Path | None = None) -> dict[str, Any]:
    """What :mod:`gitxexp.modelback` has to know of a file (at ``path``, else the model's own)."""
    info = (path or project.top / model.path).stat()
    return {
        "size": info.st_size,
        "mtime_ns": info.st_mtime_ns,
        "mode": info.st_mode & 0o7777,
        "ino": info.st_ino,
        "md5": model.oid,
        "top": str(project.top),
        "root": model.root,
        "legacy": model.legacy,
        "remote": model.remote,
        "name": model.path,
    }


def require_room(project: Project, running: Running, folder: Path) -> None:
    """Make a folder, and each on the way to it, so that undo can take empty ones away again."""
    missing = [folder, *folder.parents]
    for path in reversed([path for path in missing if not path.exists()]):
        running.record("folder", path=str(path))
        path.mkdir(exist_ok=True)


def require_dvc(project: Project) -> None:
    """Raises XexpError where neither the program nor DVC is set up."""
    project.require_set_up()
    if not dvcio.is_dvc_repo(project.top):
        raise XexpError("this is not a DVC project", "run: git xexp init")


def require_list(stock: Stock) -> None:
    """Raises XexpError when the folder's list of files is not to be had: it would be lost."""
    if not stock.listed and stock.output is not None:
        raise XexpError(
            f"the list of {stock.slot.candidates} ({stock.output.hash}) is in no cache",
            f"bring it back first: dvc fetch '{stock.output.pointer}'",
        )


def require_untracked_by_git(shelf: Shelf, paths: Iterable[str]) -> None:
    """Raises XexpError when git itself holds model files: DVC would refuse to take them."""
    held = shelf.project.at_top.fields("ls-files", "-z", "--", *paths)
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise XexpError(
            f"{held[0]}{more} is tracked by git, so DVC cannot take it",
            f"hand it over: git rm -r --cached '{held[0]}' && git commit",
        )


def point(
    shelf: Shelf, running: Running, stock: Stock, members: Mapping[str, str | None]
) -> list[str]:
    """Bring the pointer of the candidates' folder up to date for some of its files.

    ``members``: path from the top → md5 as hex, None where the file is gone. Returns the pointer
    and ``.gitignore`` files that changed.
    """
    top, folder = shelf.project.top, stock.slot.candidates
    hashes = {top / path: digest for path, digest in members.items() if digest is not None}
    if not members or (stock.output is None and not hashes):
        return []
    save_pointer(shelf, running, folder)
    output = stock.output
    if output is not None and output.stage is None and not output.legacy and output.hash:
        return list(dvcio.track_members(top, output, members, Tracked(hashes)))
    absent = [model.path for model in stock.candidates if not model.there]
    if absent:
        raise XexpError(
            f"{absent[0]} and {len(absent) - 1} more are not checked out" if len(absent) > 1
            else f"{absent[0]} is not checked out",
            f"dvc checkout '{folder}'",
        )  # fmt: skip
    root = output.root if output else root_of(shelf, folder)
    return list(dvcio.track_file(top, root, folder, Tracked(_current(hashes))).touched)


def point_file(shelf: Shelf, running: Running, path: str, digest: str) -> list[str]:
    """Bring the pointer of one file up to date, making it if there is none; files that changed."""
    top = shelf.project.top
    save_pointer(shelf, running, path)
    root = root_of(shelf, path)
    return list(dvcio.track_file(top, root, path, Tracked({top / path: digest})).touched)


def _current(hashes: Mapping[Path, str]) -> dict[Path, str]:
    return {path: digest for path, digest in hashes.items() if path.exists()}


def root_of(shelf: Shelf, path: str) -> str:
    """The folder of the DVC project that a path belongs to, "" for the top."""
    owner = shelf.owner(path)
    if owner is not None:
        return owner.root
    parents = (str(p) for p in PurePosixPath(path).parents if str(p) != ".")
    return next((p for p in parents if dvcio.is_dvc_repo(shelf.project.top / p)), "")


def save_pointer(shelf: Shelf, running: Running, path: str) -> None:
    """Keep the pointer and ``.gitignore`` that an output's change touches."""
    owner = shelf.owner(path)
    base = owner.path if owner else path
    names = [owner.pointer if owner else f"{base}.dvc"]
    names.append(str(PurePosixPath(base).parent / ".gitignore"))
    for name in names:
        running.save_file(shelf.project.top / name, undo=True)


def owner_name(project: Project) -> str:
    """Who is at work, as git names an author."""
    ident = project.git.text("var", "GIT_AUTHOR_IDENT", ok=(0, 128))
    return ident.rpartition(">")[0] + ">" if ">" in ident else ident


def tidy(folder: Path) -> None:
    """Delete a folder of backups that are no longer needed."""
    with suppress(OSError):
        shutil.rmtree(folder)
