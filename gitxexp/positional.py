"""Programs that insert into a table without naming its columns: one column more, and they fail.

A tag adds the columns ``version``, ``git_commit`` and ``dvc_hash`` to a tracker's table where they
are missing. ``INSERT INTO runs VALUES (?, ?)`` and DuckDB's ``append`` go by position and stop then,
in the middle of the next training.
"""

from __future__ import annotations

import re

from gitxexp import results
from gitxexp.project import Project
from gitxexp.results import Run

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
    (there,) = results.event_tables(run.database, run.table)
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
