"""The role of each column of the results, and the reason."""

from __future__ import annotations

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.trackers import runs
from gitxexp.trackers.run import ColumnFacts
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.experiments.column_roles import role_rules


def columns(project: Project, table: str | None = None) -> list[ColumnFacts]:
    """Every column of the results databases (only of ``table``, if given), as the newest run has it.

    Raises XexpError if there are no results, or none has such a table.
    """
    config = project.config
    rules = role_rules(config)
    wanted = config.results_table or None
    found = [
        each
        for path in stores.sources(project.top, config)
        for each in runs.columns(path, wanted, rules)
    ]
    if not found:
        raise XexpError(
            "there are no runs, so no columns",
            "train first, or name what the tracker writes: [results] databases in .xexp/config.toml",
        )
    chosen = [each for each in found if table in (None, each.table)]
    if not chosen:
        names = ", ".join(dict.fromkeys(each.table for each in found))
        raise XexpError(f"no table {table} holds runs", f"tables that do: {names}")
    return chosen
