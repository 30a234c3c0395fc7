"""Whether the results in the work tree still hold the runs that the last commit has.

``git merge`` and ``git switch`` bring a pointer, not the database behind it: whoever trains before
``dvc checkout`` writes into the database of before, and would track it without the merged rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gitxexp import dvcio, results
from gitxexp.collect import databases
from gitxexp.errors import NoAnswer, XexpError
from gitxexp.pointers import Output
from gitxexp.project import Project


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
    caches = dvcio.cache_dirs(project.top / out.root)
    home = dvcio.find_object(caches, out.oid, out.legacy) if out.oid else None
    table = project.config.results_table or None
    now = results.run_rows(database, table)
    try:
        before = results.run_rows(home, table) if home else {}
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
