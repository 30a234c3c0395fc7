"""Runs of other trackers that ``git xexp import`` brought in (:mod:`gitxexp.trackers.imported_tables`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.files import database_kind
from gitxexp.common.sql import quote
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.imported_tables import KINDS, RUN_COLUMNS, RUNS, VALUES
from gitxexp.trackers.roles import RoleDecision, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run, RunPart
from gitxexp.trackers.tables import all_tables, tables_of
from gitxexp.trackers.times import moment

_ROLES = dict(zip(KINDS, (Role.PARAM, Role.METRIC, Role.CONTEXT), strict=True))
_FACTS = ("origin", "name", "experiment", "status", "user")


class ImportedRuns(Adapter):
    """Reads imported runs from a file, which may also have the tables of a tracker."""

    name = "imported"
    order = 40

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether a database has imported runs but no tracker's tables."""
        if table is not None:
            return table == RUNS and _has(database)
        return _has(database) and not tables_of(database)

    def has(self, path: Path) -> bool:
        """Whether the file has imported runs."""
        return database_kind(path) in ("sqlite", "duckdb") and reading(path, _has)

    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """Every imported run, the one that ended last first."""
        found = reading(path, lambda d: [_run(path, row, query.rules) for row in _rows(d)])
        return sorted(found, key=lambda run: moment(run.ended), reverse=True)

    def latest(self, path: Path, query: RunQuery) -> Run | None:
        """Return None: imported runs did not write the files of the work tree."""
        return None

    def find(self, path: Path, query: RunQuery, id: str) -> Run | None:
        """The run of that id, or of that name where only one has it."""
        every = self.runs(path, query)
        exact = [run for run in every if run.id == id]
        named = exact or [run for run in every if run.context.get("name") == id]
        return named[0] if exact or len(named) == 1 else None

    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """Each parameter, metric and other fact, with the value of the newest run that has it."""
        found: dict[tuple[Role, str], ColumnFacts] = {}
        for run in self.runs(path, query):
            for name, role in run.roles.items():
                why = f"a {role} of the tracker that it was imported from"
                facts = ColumnFacts(path, RUNS, name, role, why, run.values.get(name))
                found.setdefault((role, name), facts)
        return list(found.values())

    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The values of a metric in the order in which they were logged."""
        origin = run.context.get("origin", "")
        sql = (
            f"SELECT value, step, time FROM {VALUES} WHERE origin = ? AND run_id = ? AND metric = ?"
            " AND value IS NOT NULL ORDER BY seq"
        )

        def action(database: Database) -> list[MetricPoint]:
            return [MetricPoint(*row) for row in database.rows(sql, [origin, run.id, metric])]

        return reading(run.database, action)


def _has(database: Database) -> bool:
    return any(table.name == RUNS for table in all_tables(database))


def _rows(database: Database) -> Iterator[dict[str, Any]]:
    names = next(table.columns for table in all_tables(database) if table.name == RUNS)
    listed = ", ".join(map(quote, names))
    for row in database.rows(f"SELECT {listed} FROM {RUNS} ORDER BY origin, run_id"):
        yield dict(zip(names, row, strict=True))


def _run(path: Path, row: dict[str, Any], rules: RoleRules) -> Run:
    own: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for column, value in row.items():
        kind, _, name = column.partition("_")
        if column not in RUN_COLUMNS and kind in own and name and value is not None:
            own[kind][name] = _value(value)
    for kind, values in _other(row.get("other")).items():
        own[kind] |= values
    own["tags"] |= {name: row[name] for name in _FACTS if row.get(name)}
    decided = {
        name: rules.decide(RUNS, name) or RoleDecision(_ROLES[kind], "imported")
        for kind in reversed(KINDS)
        for name in own[kind]
    }
    values = own["tags"] | own["metrics"] | own["params"]
    roles = {name: decision.role for name, decision in decided.items()}
    commit = row.get("code_commit")
    return Run(
        id=str(row["run_id"]),
        database=path,
        tracker=ImportedRuns.name,
        parts=(RunPart(RUNS, str(row["run_id"]), 1),),
        started=row.get("started"),
        ended=row.get("ended") or row.get("started"),
        params={name: v for name, v in values.items() if roles[name] is Role.PARAM},
        metrics={
            name: v
            for name, v in values.items()
            if roles[name] is Role.METRIC and isinstance(v, int | float)
        },
        context={name: v for name, v in values.items() if roles[name] is Role.CONTEXT},
        values=values,
        roles=roles,
        commits=(str(commit),) if commit else (),
        series=tuple(own["metrics"]),
    )


def _other(text: Any) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(text) if text else {}
    except (TypeError, ValueError, RecursionError):
        return {}
    groups: Sequence[tuple[str, Any]] = list(found.items()) if isinstance(found, dict) else []
    return {kind: values for kind, values in groups if kind in KINDS and isinstance(values, dict)}


def _value(value: Any) -> Any:
    """Truth values are written as text, because SQLite has none."""
    return value == "true" if value in ("true", "false") else value


ADAPTER = ImportedRuns()
