"""The files of a past experiment, or of a recorded run that no tag names: for ``get``."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.experiments.resolve import resolve


@dataclass(frozen=True)
class FilesOf:
    """A commit, and kept files that take precedence: path from the top → kept path and md5."""

    commit: str
    own: dict[str, tuple[Path, str]] = field(default_factory=dict)


def files_of(project: Project, name: str) -> FilesOf:
    """Resolve ``name``: a version, a run or any revision (see :func:`.resolve.resolve`), else the
    record of a run: its experiment, or the commit that ran with the kept files of the run.

    Raises XexpError if it is unknown.
    """
    try:
        return FilesOf(resolve(project, name).commit)
    except XexpError:
        from gitxexp.workflows.models.select import kept_files  # for runs alone
        from gitxexp.workflows.runs import record

        run_record = record.find(record.read(project), name)
        if run_record is None:
            raise
    if run_record.version:
        return FilesOf(resolve(project, run_record.version).commit)
    commit = project.git.resolve(run_record.run_commit) if run_record.run_commit else None
    if commit is None:
        raise XexpError(f"the commit of run {run_record.id} is not here", "git fetch --all")
    kept = kept_files(project, run_record.name)
    return FilesOf(commit, {file.path: (file.file, file.md5) for file in kept})
