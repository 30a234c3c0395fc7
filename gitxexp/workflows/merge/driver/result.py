"""How a merge driver writes its result, and its summary line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.text import counted
from gitxexp.tables.rules import clashing_numbers

if TYPE_CHECKING:
    from gitxexp.tables.plan import MergeReport


@dataclass(frozen=True)
class Sides:
    """The three files that git passes to a driver; the base is empty if both sides added the path."""

    base: Path
    ours: Path
    theirs: Path


def place_for(folder: Path, name: str) -> Path:
    """Return where to write the merged file: its name becomes the table name of a parquet file.

    It has no suffix: its kind follows from the content, not the name.
    """
    inside = folder / "merged"
    inside.mkdir()
    return inside / (Path(name).name.split(".")[0] or "merged")


def conflict_line(name: str, report: MergeReport) -> str:
    """A one-line summary."""
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
    """Replace ``target`` by ``source`` atomically, also across file systems."""
    try:
        source.replace(target)
    except OSError as error:
        import errno

        if error.errno != errno.EXDEV:
            raise
        put(source, target)


def put(source: Path, target: Path) -> None:
    """Copy atomically (a database is never a link into the cache)."""
    import shutil

    from gitxexp.common.files import atomic_write

    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def write(target: Path, text: bytes) -> None:
    """Write ``target`` atomically."""
    from gitxexp.common.files import atomic_write

    with atomic_write(target) as temporary:
        temporary.write_bytes(text)
