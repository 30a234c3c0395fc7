"""What ``tag`` says beside its result: what may not be as the user thinks.

Programs that insert into a table without naming its columns: one column more, and they fail.

A tag adds the columns ``version``, ``git_commit`` and ``dvc_hash`` to a tracker's table where they
are missing. ``INSERT INTO runs VALUES (?, ?)`` and DuckDB's ``append`` go by position and stop then,
in the middle of the next training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gitxexp.common.text import some
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment
from gitxexp.trackers.run import Run
from gitxexp.trackers.tables import event_tables
from gitxexp.workflows.experiments.collect import Collected


def of(
    project: Project,
    payload: Payload,
    found: tuple[Collected, Sequence[Experiment], str | None],
    absent: Sequence[str],
    staged: Sequence[str],
) -> Iterable[str]:
    """Remarks on outputs that are ``absent`` from the work tree, on files that the user ``staged``
    and the commit leaves alone, and on the run, the branch (the last of ``found``, None when HEAD
    is detached) and the results databases."""
    collected, experiments, branch = found
    if absent:
        names = some(absent, 3)
        yield f"not in the work tree, and taken as the last commit has it: {names} (dvc pull)"
    if staged:
        yield f"staged, and not part of the snapshot: {', '.join(staged)}"
    yield from collected.notes
    if branch is None:
        yield "HEAD is detached: only the tag will keep this commit"
    before = next((e for e in experiments if payload.run and e.payload.run == payload.run), None)
    if before:
        yield f"run {payload.run} was tagged before, as {before.name}"
    databases = dict.fromkeys(project.config.results_databases)
    if collected.run and (inside := project.inside(collected.run.database)):
        databases[inside] = None
    for database in databases:
        if (project.top / database).is_file() and not _is_tracked(project, database, payload):
            yield f"{database} is tracked by neither git nor DVC: dvc add '{database}'"


def _is_tracked(project: Project, path: str, payload: Payload) -> bool:
    inside = any(path == out or path.startswith(f"{out}/") for out in payload.artifacts)
    return inside or project.at_top.tracks(path)


#: What a tag writes into the rows of its run.
STAMPED = ("version", "git_commit", "dvc_hash")
_SOURCES = ("*.py", "*.ipynb", "*.sql", "*.sh", "*.R", "*.jl")


def stamps(project: Project, run: Run | None, asked: bool | None) -> tuple[bool, list[str]]:
    """Whether the rows of ``run`` get the version, and a remark where they would and do not.

    ``asked`` is what the command line says, None if nothing.
    """
    if run is None:
        return False, []
    if asked is not None or not project.config.results_stamp:
        return bool(asked), []
    where = writer(project, run, STAMPED)
    if where is None:
        return True, []
    why = (
        f"{where} inserts into {run.table} without naming columns and would fail with more of them"
    )
    return False, [f"rows are not stamped: {why} (name them there; or --stamp)"]


def writer(project: Project, run: Run, columns: tuple[str, ...]) -> str | None:
    """Where the project's own code inserts by position into the table of ``run``, as
    ``path:line``; None where it does not, or where the table has ``columns`` already."""
    (there,) = event_tables(run.database, run.table)
    if there.version_columns and {c.lower() for c in columns} <= {c.lower() for c in there.columns}:
        return None
    table = re.escape(run.table)
    quote = r"""[\\"'`[]*"""
    insert = rf"insert +(or +[a-z]+ +)?into +{quote}{table}{quote}\]? *(values|select|from)\b"
    append = rf"""\.append\( *['"]{table}['"]"""
    options = ("-n", "-z", "-I", "-i", "-E", "--untracked", "-e", insert, "-e", append)
    found = project.at_top.call("grep", *options, "--", *_SOURCES)
    first, _, _ = found.stdout.partition(b"\n")
    if found.returncode or not first:
        return None
    path, line, _ = first.split(b"\0", 2)
    return f"{path.decode('utf-8', 'replace')}:{line.decode()}"
