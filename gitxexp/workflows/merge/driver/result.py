"""How a merge driver leaves its result, and the line that accounts for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.text import counted
from gitxexp.tables.rules import clashing_numbers

if TYPE_CHECKING:
    from gitxexp.tables.plan import MergeReport


@dataclass(frozen=True)
class Sides:
    """The three files that git hands a driver; the base is empty where both sides added the path."""

    base: Path
    ours: Path
    theirs: Path


def place_for(folder: Path, name: str) -> Path:
    """Where to write the merged file: named as the table of a parquet file is to be called.

    Without a suffix: its content, not its name, says what kind of file it is.
    """
    inside = folder / "merged"
    inside.mkdir()
    return inside / (Path(name).name.split(".")[0] or "merged")


def conflict_line(name: str, report: MergeReport) -> str:
    """One line for people."""
    many = counted(len(report.conflicts), "conflict")
    if clashing_numbers(report.conflicts):
        return f"{name}: {many} between rows; keep both: git xexp conflicts resolve --both"
    return f"{name}: {many} between rows: git xexp conflicts"


def account(report: MergeReport) -> str:
    """``2 rows new, 1 removed``"""
    parts: list[str] = []
    for what in ("new", "filled", "replaced", "removed"):
        count = sum(getattr(table, what) for table in report.tables)
        if count:
            rows = ("row " if count == 1 else "rows ") if not parts else ""
            parts.append(f"{count} {rows}{what}")
    return ", ".join(parts) or "merged, no row changed"


def replace(source: Path, target: Path) -> None:
    """Put ``source`` in the place of ``target`` in one step, from another file system as well."""
    try:
        source.replace(target)
    except OSError as error:
        import errno

        if error.errno != errno.EXDEV:
            raise
        put(source, target)


def put(source: Path, target: Path) -> None:
    """A copy of its own (a database is never a link into the cache), in one step."""
    import shutil

    from gitxexp.common.files import atomic_write

    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def write(target: Path, text: bytes) -> None:
    """Give ``target`` this content in one step."""
    from gitxexp.common.files import atomic_write

    with atomic_write(target) as temporary:
        temporary.write_bytes(text)
