"""The engines behind one door: which one merges these files, and which files a name stands for."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from gitxexp.errors import UsageError, XexpError
from gitxexp.merge.growing import watched
from gitxexp.merge.kinds import SUFFIXES, Kind, kind_by_name, kind_of
from gitxexp.merge.plan import MergeOptions, MergeReport, Progress

_PARQUET = frozenset(name for name, kind in SUFFIXES.items() if kind == "parquet")


class Engine(StrEnum):
    """Who does the work. ``auto``: SQLite for SQLite files only, else DuckDB."""

    AUTO = "auto"
    SQLITE = "sqlite"
    DUCKDB = "duckdb"


def mergeable(name: str) -> bool:
    """Whether a file of this name can be merged by rows."""
    return Path(name).suffix.lower() in SUFFIXES


def expand(names: Iterable[str | Path]) -> list[Path]:
    """The files that these files, folders and glob patterns stand for, each once.

    A folder stands for the parquet files in and below it. Raises XexpError for what is not there.
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
                raise XexpError(f"no file matches {name}")
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

    As ``merge_files`` of the engines says. Raises XexpError.
    """
    options = options or MergeOptions()
    chosen = choose(target, sources, out, engine)
    with watched((out or target).absolute().parent, (target, *sources), progress) as heard:
        if chosen is Engine.SQLITE:
            from gitxexp.merge import sqlite

            return sqlite.merge_files(target, sources, out, options, heard, write=write)
        from gitxexp.merge import duck  # late: it imports DuckDB when it works

        return duck.merge_files(target, sources, out, options, heard, write=write)


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
        from gitxexp.merge import sqlite

        return sqlite.merge3_files(base, ours, theirs, out, options, progress)
    from gitxexp.merge import duck  # late: it imports DuckDB when it works

    return duck.merge3_files(base, ours, theirs, out, options, progress)


def choose(
    target: Path, sources: Sequence[Path], out: Path | None = None, engine: Engine = Engine.AUTO
) -> Engine:
    """The engine for these files; raises UsageError when the one asked for cannot do it."""
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
