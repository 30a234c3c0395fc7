"""Merge the rows of runs into the results of the user's work tree.

They are written to the database in place, in one transaction, as if the tracker had written them:
SQLite blocks other writers meanwhile, and readers continue. A killed merge wrote everything or
nothing and is repeated; existing rows are not duplicated.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import database_kind
from gitxexp.common.processes import open_elsewhere
from gitxexp.repository.repository import Project
from gitxexp.storage import paths
from gitxexp.storage.dvc.databases import own_copy
from gitxexp.tables import engine
from gitxexp.tables.plan import MergeOptions, MergeReport
from gitxexp.trackers.databases import Locked, writing
from gitxexp.workflows.sweeps.gather import Gathered, gather, with_known_experiments

#: Databases that are merged into one at a time (SQLite attaches ten at most).
_AT_ONCE = 8

#: Equal ids mean different rows, because each run continues from the user's ids.
_OPTIONS = MergeOptions(renumber=True)


class Busy(XexpError):
    """Another process writes to the database; its rows are merged later."""


@dataclass
class Merge:
    """What :func:`merge` did: the number of new rows, and why files of runs were not merged."""

    rows: int = 0
    refused: dict[Path, str] = field(default_factory=dict)


def merge(project: Project, files: Mapping[str, Sequence[Path]]) -> Merge:
    """Merge the runs' files into those of the work tree, by path from its top.

    Raises Busy if another process writes to one of them; others may already be merged.
    """
    done = Merge()
    for path, sources in files.items():
        target = paths.inside(project.top, path)
        if not engine.mergeable(path):
            for source in sources:
                _place(project, source, path)
            continue
        with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
            gathered = gather(sources, Path(folder))
            for at in range(0, len(gathered), _AT_ONCE):
                _into(target, gathered[at : at + _AT_ONCE], done, Path(folder))
    return done


def _into(target: Path, gathered: Sequence[Gathered], done: Merge, folder: Path) -> None:
    """Merge some databases; one that cannot be merged does not hold up the others."""
    members = [member for each in gathered for member in each.members]
    try:
        report = _merged(target, [each.file for each in gathered])
        if report.conflicts and not report.written and len(members) == 1 and target.exists():
            known = with_known_experiments(members[0], target, folder)
            report = report if known is None else _merged(target, [known])
    except (Busy, Locked):
        raise
    except XexpError as error:
        why = error.message
    else:
        if report.written or not report.conflicts:
            done.rows += sum(table.new for table in report.tables)
            return
        why = f"{len(report.conflicts)} rows differ from those in {target.name}"
    if len(members) == 1:
        done.refused[members[0]] = why
        return
    for member in members:
        _into(target, [Gathered(member, (member,))], done, folder)


def _merged(target: Path, sources: Sequence[Path]) -> MergeReport:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        return engine.merge(target, sources, None, _OPTIONS)
    own_copy(target)
    if database_kind(target) != "sqlite" or any(database_kind(s) != "sqlite" for s in sources):
        if open_elsewhere(target):
            raise Busy(f"{target} is in use by another process", "close it there")
        return engine.merge(target, sources, None, _OPTIONS)
    try:
        with writing(target, timeout=0.5):
            pass  # nobody writes now; wait for writers that start meanwhile
    except Locked as error:
        raise Busy(error.message, error.hint) from error
    in_place = MergeOptions(renumber=True, in_place=True)
    return engine.merge(target, sources, None, in_place)


def _place(project: Project, source: Path, path: str) -> None:
    """Move a file-based tracker's file to its place; an existing one stays."""
    target = project.top / path
    if os.path.lexists(target):
        return
    with paths.held(project.top, path, create=True) as place:
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(place)
