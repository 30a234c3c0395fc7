"""Merge two registries: the rows of both, in the current format if theirs differ."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common import sqlite
from gitxexp.tables import engine
from gitxexp.workflows.merge.driver.result import Sides

if TYPE_CHECKING:
    from gitxexp.tables.plan import MergeReport


def merge_registries(folder: Path, sides: Sides, out: Path) -> MergeReport:
    """Merge three registries into ``out``.

    Registries of different formats are first migrated to the current one, as copies. Later labels
    and descriptions of an experiment that the other side deleted are dropped with it.
    """
    files = [sides.base, sides.ours, sides.theirs]
    there = [file for file in files if file.stat().st_size]
    if len({_format(file) for file in there}) > 1:
        files = [_of_today(file, folder / f"side-{n}") if file in there else file
                 for n, file in enumerate(files)]  # fmt: skip
    base, ours, theirs = files
    if base.stat().st_size:
        before, mine, other = map(_versions, files)
        ours = _without(ours, before - other, folder / "ours")
        theirs = _without(theirs, before - mine, folder / "theirs")
    return engine.merge3(base if base.stat().st_size else None, ours, theirs, out)


def _format(file: Path) -> int:
    """The format's number: ``user_version`` at byte 60 (sqlite.org/fileformat.html)."""
    with file.open("rb") as stream:
        return int.from_bytes(stream.read(64)[60:64], "big")


def _of_today(file: Path, folder: Path) -> Path:
    from gitxexp.repository.registry import Registry  # writing is only needed here

    copy = _copy(file, folder)
    with Registry(copy).rewrite():
        pass
    return copy


def _copy(file: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copyfile(file, folder / "registry.db"))


def _versions(file: Path) -> set[str]:
    """The experiments of a registry; the merge itself reports an invalid file."""
    with closing(sqlite.connect(file, "ro")) as db:
        try:
            return {name for (name,) in db.execute("SELECT version FROM experiments")}
        except sqlite3.Error:
            return set()


def _without(file: Path, versions: Iterable[str], folder: Path) -> Path:
    """Return ``file``, or a copy without later labels and descriptions of experiments that the
    other side deleted."""
    with closing(sqlite.connect(file, "ro")) as db:
        try:
            said = {name for (name,) in db.execute("SELECT DISTINCT version FROM changes")}
        except sqlite3.Error:  # an older format without them
            return file
    gone = said.intersection(versions)
    if not gone:
        return file
    copy = _copy(file, folder)
    with closing(sqlite.connect(copy, "rw")) as db:
        db.execute("BEGIN")
        for name in gone:
            db.execute("DELETE FROM changes WHERE version = ?", (name,))
        db.execute("COMMIT")
    return copy
