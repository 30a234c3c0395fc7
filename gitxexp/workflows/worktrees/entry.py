"""git's entry of a linked worktree, and its line in ``info/exclude``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gitxexp.common.files import atomic_write
from gitxexp.repository.operation import Repository


def admin_of(common_dir: Path, tree: Path) -> Path | None:
    """The entry below ``worktrees/`` of the git common dir that belongs to the folder ``tree``."""
    wanted = os.path.realpath(tree.parent) + f"/{tree.name}/.git"
    for pointer in sorted((common_dir / "worktrees").glob("*/gitdir")):
        with suppress(OSError):
            named = Path(os.fsdecode(pointer.read_bytes()).rstrip("\n"))
            here = os.path.realpath(named.parent.parent) + f"/{named.parent.name}/.git"
            if here == wanted:
                return pointer.parent
    return None


def exclude(at: Repository, line: str | None, *, present: bool) -> None:
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
