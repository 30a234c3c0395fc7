"""How sure the difference of two runs is, by the predictions that both have in the results.

For ``explore diff``: the same intervals as ``check``'s rule few-samples. Only rates that follow from the
rows are looked at (accuracy and error rate from prediction and truth), and only where the value that was
recorded does; of each run its own rows are read, by the index that trackers make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.trackers import column_names
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.event_rows import condition
from gitxexp.trackers.tables import Table, quoted, tables_of
from gitxexp.workflows.checks import intervals
from gitxexp.workflows.checks.intervals import Interval
from gitxexp.workflows.checks.layout import ID_COLUMNS, PREDICTIONS, TRUTHS
from gitxexp.workflows.experiments import collect

#: Rows of a table without an index on its runs up to which it is read.
_SCANNED = 500_000


def of_runs(
    project: Project, before: str, after: str, values: Mapping[str, tuple[Any, Any]]
) -> dict[str, Interval]:
    """The interval of ``after`` minus ``before`` for each of ``values`` (accuracy or error rate, by any name
    → before and after) that can be told; nothing where the results here have not the rows of both."""
    wanted = {
        name: pair for name, pair in values.items()
        if all(isinstance(value, int | float) for value in pair)
    }  # fmt: skip
    if not wanted or not (before and after) or before == after or project.places.top is None:
        return {}
    for path in collect.databases(project.top, project.config):
        try:
            rates = reading(path, lambda database: _rates(database, before, after))
        except XexpError:  # for the verb that needs it to say
            continue
        if rates is not None:
            return _intervals(wanted, *rates)
    return {}


def _rates(database: Database, before: str, after: str) -> tuple[Interval, Interval] | None:
    for table in tables_of(database):
        pair = table.first_of(PREDICTIONS), table.first_of(TRUTHS)
        if None in pair or not (table.first_of(ID_COLUMNS) and table.run_column):
            continue
        if table.key[:1] != (table.run_column,) and _is_large(database, table):
            continue
        counts = [_count(database, table, run) for run in (before, after)]
        if all(n for _, n in counts):
            one, other = (intervals.wilson(hits, n) for hits, n in counts)
            return one, other
    return None


def _is_large(database: Database, table: Table) -> bool:
    if not table.has_rowid:
        return True
    ((last,),) = database.rows(f"SELECT max(rowid) FROM {quoted(table.name)}")
    return (last or 0) > _SCANNED


def _count(database: Database, table: Table, run: str) -> tuple[int, int]:
    """Right predictions of a run, and all."""
    one, other = (quoted(table.first_of(names) or "") for names in (PREDICTIONS, TRUTHS))
    same = f"CAST({one} AS VARCHAR) = CAST({other} AS VARCHAR)"
    if database.kind == "sqlite":
        same = f"{one} = {other}"
    where, params = condition(database, table, run)
    picks = f"count({same}), sum(CASE WHEN {same} THEN 1 ELSE 0 END)"
    ((n, hits),) = database.rows(f"SELECT {picks} FROM {quoted(table.name)}{where}", params)
    return int(hits or 0), int(n or 0)


def _intervals(
    wanted: Mapping[str, tuple[Any, Any]], before: Interval, after: Interval
) -> dict[str, Interval]:
    found = {}
    for name, values in wanted.items():
        right = intervals.difference_of_rates(after, before)
        rates = [before.value, after.value]
        if column_names.canonical(name) == "error_rate":
            rates = [1 - rate for rate in rates]
            right = Interval(-right.value, -right.high, -right.low, right.n)
        if all(abs(value - rate) < 0.005 for value, rate in zip(values, rates, strict=True)):
            found[name] = right
    return found
