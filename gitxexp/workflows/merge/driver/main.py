"""The merge driver and textconv that git runs. They run before click is imported.

git calls ``git-xexp merge-driver %O %A %B %L %P`` at the top of the work tree, for every path with
the attribute ``merge=xexp`` that both sides changed (gitattributes(5), "Defining a custom merge
driver"): the ancestor (an empty file when both sides added the path), ours, theirs, the size of
conflict markers, the path. The result goes to ``%A``; exit 0 is a clean merge, 1 a conflict, which
leaves ``%A`` as it was. Only what a merge needs is imported, as late as possible.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.errors import XexpError
from gitxexp.common.files import database_kind
from gitxexp.common.streams import drop, tell
from gitxexp.common.text import one_line, visible
from gitxexp.repository.config import REGISTRY
from gitxexp.workflows.merge.driver.result import (
    Sides,
    account,
    conflict_line,
    place_for,
    replace,
)

if TYPE_CHECKING:
    from gitxexp.workflows.merge.driver.place import GitPlace


def merge_driver(args: list[str]) -> int:
    """Merge three versions of one file for git; return the exit code."""
    if len(args) != 5:
        tell("usage: git-xexp merge-driver %O %A %B %L %P (git runs it; see git xexp drivers)")
        return 129
    base, ours, theirs, marker, name = args
    from gitxexp.workflows.merge.driver.place import GitPlace

    place = GitPlace.here()
    try:
        with place.private("driver") as folder:
            sides = (Path(base), Path(ours), Path(theirs))
            if name.endswith(".dvc"):
                from gitxexp.workflows.merge.driver.pointers import merge_pointer

                return merge_pointer(place, folder, sides, int(marker), name)
            if Path(name).name == "dvc.lock":
                from gitxexp.workflows.merge.driver.locks import merge_lock

                return merge_lock(place, folder, sides, int(marker), name)
            return _merge_file(place, folder, Path(base), Path(ours), Path(theirs), name)
    except XexpError as error:
        return refuse(place, name, error)
    except OSError as error:
        return refuse(place, name, XexpError(f"{error.strerror}: {error.filename or name}"))
    except KeyboardInterrupt:
        return 1
    except Exception as error:
        if os.environ.get("XEXP_TRACEBACK"):
            raise
        return refuse(place, name, XexpError(f"unexpected {type(error).__name__}: {error}"))


def _merge_file(
    place: GitPlace, folder: Path, base: Path, ours: Path, theirs: Path, name: str
) -> int:
    """Merge a database or data file that git itself tracks."""
    from gitxexp.tables import engine
    from gitxexp.workflows.merge.driver import reports

    with suppress(FileNotFoundError):
        if Path(f"{name}-wal").stat().st_size:
            raise XexpError(
                f"rows wait in {name}-wal that are in no commit",
                "let the program that writes them finish, commit, and merge again",
            )
    result = ours
    out = place_for(folder, name)
    filtered = name != REGISTRY and _smudged(place, folder, (base, ours, theirs), name)
    if filtered:
        base, ours, theirs = filtered
    if name == REGISTRY:
        from gitxexp.workflows.merge.driver.registry import merge_registries

        report = merge_registries(folder, Sides(base, ours, theirs), out)
    else:
        report = engine.merge3(base if base.stat().st_size else None, ours, theirs, out)
    if not report.written:
        reports.save(place, name, report.conflicts)
        tell(conflict_line(name, report))
        return 1
    if filtered:
        from gitxexp.storage import filters
        from gitxexp.storage.git import Git

        out.write_bytes(filters.cleaned(Git(place.top), name, out))
    replace(out, result)
    reports.forget(place, name)
    tell(f"{name}: {account(report)}")
    return 0


def _smudged(
    place: GitPlace, folder: Path, sides: tuple[Path, Path, Path], name: str
) -> tuple[Path, Path, Path] | None:
    """Return the three as a checkout writes them, if the path has a filter; git passes the stored
    form to a driver. Only checked if the stored form is not a database."""
    if all(database_kind(side) for side in sides if side.stat().st_size):
        return None
    from gitxexp.storage import filters
    from gitxexp.storage.git import Git

    git = Git(place.top)
    if name not in filters.filtered(git, [name]):
        return None
    inside = folder / "smudged"
    inside.mkdir()
    files = inside / "base", inside / "ours", inside / "theirs"
    for side, file in zip(sides, files, strict=True):
        content = side.read_bytes()
        file.write_bytes(filters.smudged(git, name, content) if content else b"")
    return files


def refuse(place: GitPlace, name: str, error: XexpError) -> int:
    """Keep ours, say why, and record that for ``git xexp conflicts``."""
    from gitxexp.workflows.merge.driver import reports

    tell(f"{name}: {visible(error.message)}")
    for line in (error.hint or "").splitlines():
        tell(f"hint: {line}")
    with suppress(OSError):
        reports.save(place, name, (), error.message)
    return 1


def textconv(args: list[str]) -> int:
    """Print a database, data file or pointer as lines of text; a read error becomes a line."""
    if len(args) != 1:
        tell("usage: git-xexp textconv FILE")
        return 129
    from gitxexp.tables.textconv import textconv as lines

    out = sys.stdout.buffer
    try:
        path = Path(args[0])
        pointed = _pointed(path)
        if pointed is not None:
            text, path_or_none = pointed
            out.write(_harmless(text))
            if path_or_none is None:
                return 0
            path = path_or_none
        for line in lines(path):
            out.write(line.encode("utf-8", "surrogateescape") + b"\n")
        out.flush()
    except XexpError as error:
        out.write(f"({visible(error.message)})\n".encode("utf-8", "surrogateescape"))
        out.flush()
    except BrokenPipeError:
        drop()
    except OSError as error:
        tell(f"fatal: {error.strerror}: {error.filename or args[0]}")
        return 128
    return 0


def _harmless(pointer: bytes) -> bytes:
    """The lines of a pointer with terminal controls escaped."""
    lines = pointer.decode("utf-8", "surrogateescape").split("\n")
    return "\n".join(map(one_line, lines)).encode("utf-8", "surrogateescape")


def _pointed(path: Path) -> tuple[bytes, Path | None] | None:
    """For a pointer: its text, and the object it names if a cache has it. None for other files."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    if head.startswith(b"version "):
        from gitxexp.storage.filters import is_stand_in

        return (head, None) if is_stand_in(head) else None
    if b"\0" in head or not any(line.startswith(b"outs:") for line in head.splitlines()):
        return None
    from gitxexp.workflows.merge.driver.place import GitPlace
    from gitxexp.workflows.merge.driver.pointers import object_of

    return head, object_of(GitPlace.here(), head)
