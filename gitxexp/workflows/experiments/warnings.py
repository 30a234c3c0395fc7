"""What ``tag`` says beside its result: what may not be as the user thinks.

Whether the results in the work tree still hold the runs that the last commit has.

``git merge`` and ``git switch`` bring a pointer, not the database behind it: whoever trains before
``dvc checkout`` writes into the database of before, and would track it without the merged rows.

Programs that insert into a table without naming its columns: one column more, and they fail.

A tag adds the columns ``version``, ``git_commit`` and ``dvc_hash`` to a tracker's table where they
are missing. ``INSERT INTO runs VALUES (?, ?)`` and DuckDB's ``append`` go by position and stop then,
in the middle of the next training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import some
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc.places import cache_dirs
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.objects import find_object
from gitxexp.trackers.run import Run
from gitxexp.trackers.runs import run_rows
from gitxexp.trackers.tables import event_tables
from gitxexp.workflows.experiments.collect import Collected, databases


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


class LostRows(NamedTuple):
    """The runs, each with its number of rows, that the tracked version of ``path`` has beyond the
    work tree's."""

    path: str
    runs: dict[str, int]


def lost_rows(
    project: Project, outputs: Sequence[Output], changed: Sequence[Output]
) -> list[LostRows]:
    """What tracking the results databases among ``changed`` would leave behind.

    ``outputs`` are the outputs as their pointers have them. A database that shares no run with its
    tracked version is another one, and a tracked version that is not in the cache tells nothing.
    """
    paths = {out.path for out in changed}
    tracked = {out.path: out for out in outputs if out.path in paths}
    found = []
    for database in databases(project.top, project.config) if paths else ():
        path = database.relative_to(project.top).as_posix()
        fewer = _fewer(project, tracked[path], database) if path in tracked else {}
        if fewer:
            found.append(LostRows(path, fewer))
    return found


def _fewer(project: Project, out: Output, database: Path) -> dict[str, int]:
    caches = cache_dirs(project.top / out.root)
    home = find_object(caches, out.oid, out.legacy) if out.oid else None
    table = project.config.results_table or None
    now = run_rows(database, table)
    try:
        before = run_rows(home, table) if home else {}
    except XexpError:  # not a database then, or one without that table
        return {}
    if not before.keys() & now.keys():
        return {}
    lacking = {run: rows - now.get((table, run), 0) for (table, run), rows in before.items()}
    return {run: rows for run, rows in lacking.items() if rows > 0}


def refuse(lost: Sequence[LostRows]) -> None:
    """NoAnswer naming what would be left behind, if anything."""
    if not lost:
        return
    names = ", ".join(each.path for each in lost)
    runs = [(run, rows) for each in lost for run, rows in each.runs.items()]
    lines = [f"  {run}: {rows} row{'s' * (rows != 1)}" for run, rows in runs[:10]]
    more = [f"  and {len(runs) - 10} more runs"] if len(runs) > 10 else []
    listed = "\n".join([*lines, *more])
    raise NoAnswer(
        f"{names} lacks rows that its version in the last commit has:\n{listed}",
        "bring them back: git xexp merge HEAD, or leave them out: git xexp tag --drop-rows",
    )


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
