"""git's entry of a linked worktree, and its line in ``info/exclude``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gitxexp.common.files import atomic_write
from gitxexp.repository.operation import UndoContext


def admins_of(common_dir: Path) -> dict[str, Path]:
    """Return the entries below ``worktrees/`` of the git common dir by their folder, its parent
    without links."""
    found: dict[str, Path] = {}
    folder = common_dir / "worktrees"
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        with suppress(OSError):
            named = os.fsdecode((entry / "gitdir").read_bytes()).rstrip("\n")
            found.setdefault(real_path(entry / named.removesuffix("/.git")), entry)
    return found


def admin_of(common_dir: Path, tree: Path) -> Path | None:
    """The entry below ``worktrees/`` of the git common dir that belongs to the folder ``tree``."""
    return admins_of(common_dir).get(real_path(tree))


def real_path(tree: Path | str) -> str:
    """``tree`` below its real parent: the folder itself may be gone, or a link."""
    parent, name = os.path.split(tree)
    return f"{os.path.realpath(parent)}/{name}"


def exclude(at: UndoContext, line: str | None, *, present: bool) -> None:
    """Add ``line`` to the repository's ``info/exclude``, or remove it."""
    if line is None:
        return
    file = at.places.common_dir / "info" / "exclude"
    text = file.read_bytes() if file.exists() else b""
    lines = text.splitlines()
    wanted = os.fsencode(line)
    if (wanted in lines) == present:
        return
    lines = [*lines, wanted] if present else [other for other in lines if other != wanted]
    file.parent.mkdir(exist_ok=True)
    with atomic_write(file) as temporary:
        temporary.write_bytes(b"".join(other + b"\n" for other in lines))


def free_path(path: Path) -> Path:
    """``path``, or the first of ``path-undone``, ``path-undone2``, … that does not exist."""
    if not os.path.lexists(path):
        return path
    number = 1
    while os.path.lexists(
        found := path.with_name(f"{path.name}-undone{number if number > 1 else ''}")
    ):
        number += 1
    return found
