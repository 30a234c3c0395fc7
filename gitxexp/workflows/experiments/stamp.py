"""Write an experiment's version into the rows of its run, and undo that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from gitxexp.common.dataclass import dataclass
from gitxexp.common.processes import open_elsewhere
from gitxexp.repository import version
from gitxexp.repository.files import (
    FileState,
    copy_file,
    examined,
    held_file,
    keep_copy,
    restore,
)
from gitxexp.repository.operation import Changed, Irreversible, Step, UndoContext, Undoing
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.version import AnyVersion
from gitxexp.trackers.run import Run
from gitxexp.trackers.stamps import STAMPED, StampRecord, restamp, stamp, unstamp
from gitxexp.workflows.experiments.plan import Plan


def stamp_rows(project: Project, running: Running, plan: Plan) -> int:
    """Write the version into the run's rows that have none, or an untagged one.

    Returns the number of rows. A script that used :func:`gitxexp.context` logged the next version
    as of its start, but its changes may require another level.
    """
    run = plan.collected.run
    if run is None or not plan.stamps:
        return 0
    said = (str(plan.version), plan.payload.run_commit, plan.payload.data)
    values = dict(zip(STAMPED, said, strict=True))

    path, backup = run.database, running.keep / f"unstamped.{run.database.name}"

    def announce(record: StampRecord) -> None:
        running.keep.mkdir(parents=True, exist_ok=True)
        if not backup.exists():
            copy_file(path, backup)
        running.record(RowsStamped(record.as_dict()))

    rows = sum(
        stamp(
            path, each.table, each.run, values, announce, widen=each.widen, window=each.window
        ).rows
        for each in plan.stamps
    )
    for old in _without_tag(project, run, plan.version):
        new = str(plan.version)
        running.record(RowsRestamped(str(path), run.table, run.id, old, new))
        rows += restamp(path, run.table, run.id, old, new)
    left = FileState.of(path)
    if left is not None and backup.exists():
        running.record(DatabaseWritten(str(path), str(backup), left))
    return rows


def _without_tag(project: Project, run: Run, new: AnyVersion) -> list[str]:
    """Return the versions in the run's rows that have no tag, or that of another run: if two clones
    took the same number, the renumbered one may have left rows with a version that now belongs to
    another experiment."""
    said = [old for old in run.versions if version.parse(old) not in (None, new)]
    if not said:
        return []
    tagged = {one.name: one.payload.run for one in project.tags_as_made().among(said)}
    return [
        old
        for old in said
        if tagged.get(old, "") not in ("", run.id)
        or not project.git.resolve(f"refs/tags/{old}", "object")
    ]


@dataclass(frozen=True, slots=True)
class DatabaseWritten(Step):
    """The bytes that a database had before its rows were stamped, kept as ``backup``.

    If the file is still what the operation ``left``, they are restored, so that git and DVC see no
    change. Else the steps before this one revert the rows, and keep newer ones.
    """

    kind: ClassVar[str] = "database"

    path: str
    backup: str
    left: FileState

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        return cls(data["path"], data["backup"], FileState(**data["left"]))

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        path, before = Path(self.path), FileState.of(Path(self.backup))
        if before is None or not self.left.is_at(path) or not examined(at, path):
            return (Irreversible(self.kind),)
        return (DatabaseWritten(self.path, keep_copy(path, keep), before),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        path, backup = Path(self.path), Path(self.backup)
        if not backup.exists() or not examined(at, path):
            return
        with held_file(at, path) as place:
            if self.left.is_at(place) and not open_elsewhere(path):
                restore(backup, place, path)


@dataclass(frozen=True, slots=True)
class RowsStamped(Step):
    """Cells filled; ``record`` is a :class:`~gitxexp.trackers.stamps.StampRecord`."""

    kind: ClassVar[str] = "stamp"

    record: dict[str, Any]

    def check(self, at: UndoContext) -> Changed | None:
        return None  # only cells that still hold the version are emptied

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return ()  # the step after this restores the original database

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        path = Path(self.record["path"])
        if path.exists() and examined(at, path):
            unstamp(self.record)


@dataclass(frozen=True, slots=True)
class RowsRestamped(Step):
    """The version ``old`` of a run's rows replaced by ``new``."""

    kind: ClassVar[str] = "restamp"

    path: str
    table: str
    run: str
    old: str
    new: str

    def check(self, at: UndoContext) -> Changed | None:
        return None  # only cells that still hold the version are changed

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return ()  # as for RowsStamped

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        if Path(self.path).exists() and examined(at, Path(self.path)):
            restamp(Path(self.path), self.table, self.run, self.new, self.old)
