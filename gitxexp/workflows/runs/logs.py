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
    found = record.require(record.read(project), name)
    path = RunFolders(project.state).log(found.id)
    if not path.is_file():
        raise XexpError(
            f"the log of run {found.id} is not here: it ran on {found.host or 'another machine'}",
            f"look there: git xexp explore log {found.id}",
        )
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if found.log and found.log != digest:
        return FoundLog(found, path, (f"{path} has changed since the run: its hash is another",))
    return FoundLog(found, path)
