"""What a change of models needs: the facts that undo checks, and the pointers that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from gitxexp.common.errors import XexpError
from gitxexp.repository.files import FolderMade
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc.add import Tracked, track_file, track_members
from gitxexp.storage.submodules import other_repository
from gitxexp.workflows.models.cache import objects_noted
from gitxexp.workflows.models.inventory import Model, ModelStore, SlotContents
from gitxexp.workflows.models.steps import KnownFile


def file_facts(project: Project, model: Model, path: Path | None = None) -> KnownFile:
    """Return a model's file (at ``path``, else its own) as undo needs it."""
    info = (path or project.top / model.path).stat()
    return KnownFile(
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        mode=info.st_mode & 0o7777,
        md5=model.oid,
        top=str(project.top),
        root=model.root,
        legacy=model.legacy,
        remote=model.remote,
        name=model.path,
        ino=info.st_ino,
    )


def make_folder(running: Running, folder: Path) -> None:
    """Create a folder and its parents, recorded so that undo can remove empty ones."""
    missing = [folder, *folder.parents]
    for path in reversed([path for path in missing if not path.exists()]):
        running.record(FolderMade(str(path)))
        path.mkdir(exist_ok=True)


def require_untracked_by_git(store: ModelStore, paths: Iterable[str]) -> None:
    """Raise XexpError if git itself tracks model files: DVC would refuse to add them; or if they are
    in another repository, whose pointers this one does not have."""
    paths = list(paths)
    for path in paths:
        folder = other_repository(store.project.top, path.rstrip("/"))
        if folder is not None:
            raise XexpError(
                f"{path.rstrip('/')} is in another repository, {folder}, so this one cannot track it",
                "name other places in .xexp/config.toml: [models] production and candidates",
            )
    held = store.project.at_top.fields("ls-files", "-z", "--", *paths)
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise XexpError(
            f"{held[0]}{more} is tracked by git, so DVC cannot track it",
            f"hand it over: git rm -r --cached {store.project.typed(held[0])} && git commit",
        )


def update_folder_pointer(
    store: ModelStore, running: Running, contents: SlotContents, members: Mapping[str, str | None]
) -> list[str]:
    """Update the pointer of the candidates folder for some of its files.

    ``members``: path from the top → md5 as hex, None if the file is gone. Returns the changed
    pointer and ``.gitignore`` files.
    """
    top, folder = store.project.top, contents.slot.candidates
    hashes = {top / path: digest for path, digest in members.items() if digest is not None}
    if not members or (contents.output is None and not hashes):
        return []
    output = contents.output
    if output is not None and output.stage is None and not output.legacy and output.hash:
        with objects_noted(store.project, running, [folder]):
            _save_pointer(store, running, folder)
            return list(track_members(top, output, members, Tracked(hashes)))
    absent = [model.path for model in contents.candidates if not model.there]
    if absent:
        raise XexpError(
            f"{absent[0]} and {len(absent) - 1} more are not checked out" if len(absent) > 1
            else f"{absent[0]} is not checked out",
            f"dvc checkout '{folder}'",
        )  # fmt: skip
    with objects_noted(store.project, running, [folder]) as noted:
        _save_pointer(store, running, folder)
        added = track_file(top, folder, Tracked(_current(hashes)))
        noted += added.every
    return list(added.touched)


def update_file_pointer(store: ModelStore, running: Running, path: str, digest: str) -> list[str]:
    """Update or create the pointer of one file; return the changed files."""
    top = store.project.top
    with objects_noted(store.project, running, [path]) as noted:
        _save_pointer(store, running, path)
        added = track_file(top, path, Tracked({top / path: digest}))
        noted += added.every
    return list(added.touched)


def _current(hashes: Mapping[Path, str]) -> dict[Path, str]:
    return {path: digest for path, digest in hashes.items() if path.exists()}


def _save_pointer(store: ModelStore, running: Running, path: str) -> None:
    """Back up the pointer and ``.gitignore`` that an output's change touches."""
    owner = store.owner(path)
    base = owner.path if owner else path
    names = [owner.pointer if owner else f"{base}.dvc"]
    names.append(str(PurePosixPath(base).parent / ".gitignore"))
    for name in names:
        running.save_file(store.project.top / name)
