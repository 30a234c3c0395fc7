"""The logs of runs, stored with the repository's other local state."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.runs import record
from gitxexp.workflows.runs.record import RunFolders, RunRecord


@dataclass(frozen=True)
class FoundLog:
    """The log of a run: its file, and details about it."""

    record: RunRecord
    path: Path
    notes: tuple[str, ...] = ()


def find_log(project: Project, name: str) -> FoundLog:
    """Return the log of a run given by id, id prefix, or version.

    Raises XexpError if it has no record, or its log is not here.
    """
    run_record = record.require(record.read(project), name)
    path = RunFolders(project.state).log(run_record.id)
    if not path.is_file():
        raise XexpError(
            f"the log of run {run_record.id} is not here: it ran on {run_record.host or 'another machine'}",
            f"look there: git xexp explore log {run_record.id}",
        )
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if run_record.log and run_record.log != digest:
        return FoundLog(
            run_record, path, (f"{path} has changed since the run: its hash is another",)
        )
    return FoundLog(run_record, path)
