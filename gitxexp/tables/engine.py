"""Choose the engine that merges these files, and expand names to files.

Progress is estimated from the size of the result, because one statement may take a minute.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.files import SUFFIXES, Kind, kind_by_name, kind_of
from gitxexp.common.processes import every
from gitxexp.tables.plan import MergeOptions, MergeReport, Progress

_PARQUET = frozenset(name for name, kind in SUFFIXES.items() if kind == "parquet")


class Engine(StrEnum):
    """The merge engine. ``auto``: SQLite for SQLite files only, else DuckDB."""

    AUTO = "auto"
    SQLITE = "sqlite"
    DUCKDB = "duckdb"


def mergeable(name: str) -> bool:
    """Whether a file of this name can be merged by rows."""
    return Path(name).suffix.lower() in SUFFIXES


def expand(names: Iterable[str | Path]) -> list[Path]:
    """Expand files, folders and glob patterns to files, each once.

    A folder means the parquet files in and below it. Raises XexpError for a path that does not exist.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _PARQUET)
            if not inside:
                raise XexpError(
                    f"there are no parquet files in {path}", "name the files themselves"
                )
        elif path.exists() or not glob.has_magic(str(name)):
            inside = [path]
        else:
            inside = [Path(p) for p in sorted(glob.glob(str(name), recursive=True))]  # noqa: PTH207
            if not inside:
                raise XexpError(f"no file matches {name}", "check the pattern")
        found.update(dict.fromkeys(inside))
    return list(found)


def merge(
    target: Path,
    sources: Sequence[Path],
    out: Path | None = None,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
    *,
    engine: Engine = Engine.AUTO,
    write: bool = True,
) -> MergeReport:
    """Merge ``sources`` into ``target`` by the engine that fits; only plan it unless ``write``.

    See ``merge_files`` of the engines. Raises XexpError.
    """
    options = options or MergeOptions()
    chosen = choose(target, sources, out, engine)
    with watched((out or target).absolute().parent, (target, *sources), progress) as heard:
        if chosen is Engine.SQLITE:
            from gitxexp.tables.sqlite.merge import merge_files

            return merge_files(target, sources, out, options, heard, write=write)
        from gitxexp.tables.duckdb.merge import merge_files  # late: imports DuckDB

        return merge_files(target, sources, out, options, heard, write=write)


def merge3(
    base: Path | None,
    ours: Path,
    theirs: Path,
    out: Path,
    options: MergeOptions | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """Three-way merge by the engine that fits; ``base`` may be None or empty (both sides added).

    With conflicts nothing is written. Raises XexpError.
    """
    kinds = {kind_of(path) for path in (ours, theirs, base) if path and path.stat().st_size}
    if kinds == {"sqlite"}:
        from gitxexp.tables.sqlite.merge import merge3_files

        return merge3_files(base, ours, theirs, out, options, progress)
    from gitxexp.tables.duckdb.merge import merge3_files

    return merge3_files(base, ours, theirs, out, options, progress)


def choose(
    target: Path, sources: Sequence[Path], out: Path | None = None, engine: Engine = Engine.AUTO
) -> Engine:
    """Return the engine for these files; raises UsageError if the requested one cannot merge them."""
    if engine is Engine.DUCKDB:
        return engine
    kinds: set[Kind] = {kind_of(path) for path in (target, *sources) if path.exists()}
    for path in (target, out or target):
        if not path.exists():
            with suppress(XexpError):
                kinds.add(kind_by_name(path))
    if kinds == {"sqlite"}:
        return Engine.SQLITE
    if engine is Engine.SQLITE:
        others = ", ".join(sorted(kinds - {"sqlite"})) or "nothing"
        raise UsageError(f"SQLite's own engine cannot merge {others}", "leave --engine out")
    return Engine.DUCKDB


_EVERY = 0.2


@contextmanager
def watched(
    folder: Path, inputs: Iterable[Path], progress: Progress | None
) -> Iterator[Progress | None]:
    """Report the bytes of this process's new file in ``folder`` during a ``with`` block.

    The sum of ``inputs`` estimates its final size. Yields a progress callback for the engine, which
    is used until the file exists.
    """
    if progress is None:
        yield None
        return
    total = sum(path.stat().st_size for path in inputs if path.is_file())
    report, seen = progress, False

    def look() -> None:
        nonlocal seen
        size = _size(folder)
        if size:
            seen = True
            report(min(size, total), total, "B")

    def engines(count: int, of: int, unit: str) -> None:
        if not seen:
            report(count, of, unit)

    with every(_EVERY, look):
        yield engines


def _size(folder: Path) -> int:
    """Return the bytes of this process's temporary files here (``.NAME.xexp-PID-….tmp``)."""
    mark, size = f".xexp-{os.getpid()}-", 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            if mark in entry.name and entry.name.endswith(".tmp"):
                with suppress(OSError):
                    size += entry.stat().st_size
    return size
