"""Databases with a table of runs: a row for each thing logged, a column for each name.

The base of :mod:`gitxexp.trackers.adapters.xetrack` and of
:mod:`gitxexp.trackers.adapters.plain_table`, which differ in how such a database is recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from gitxexp.common.sql import quote
from gitxexp.common.values import is_number
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.databases import Database, kind_of, reading
from gitxexp.trackers.event_rows import (
    Newest,
    RunRows,
    condition,
    count_rows,
    last_runs,
    last_writer,
    logged_rows,
    newest_run,
    plain,
    summed,
)
from gitxexp.trackers.join import Joined, Piece, join_all, join_one
from gitxexp.trackers.logged import Logged
from gitxexp.trackers.roles import RoleDecision, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run, RunPart, Windows
from gitxexp.trackers.tables import RunTable, tables_of
from gitxexp.trackers.times import Moment, moment

T = TypeVar("T")


class EventTables(Adapter):
    """Reads runs from the tables of a SQLite, DuckDB or parquet file."""

    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """Every run of all tables of runs; those without a readable time come last."""

        def action(database: Database) -> list[Joined]:
            tables, newest = tables_of(database, query.table), query.newest
            chosen = [last_runs(database, each, newest) if newest else None for each in tables]
            found = {
                each.name: summed(database, each, *(runs or ()))
                for each, runs in zip(tables, chosen, strict=True)
            }
            return join_all(tables, found)

        found = reading(path, action)[::-1]  # of equal times, the one listed later is newer
        found.sort(key=_ended, reverse=True)
        return [_run(self.name, path, joined, query.rules) for joined in found]

    def latest(self, path: Path, query: RunQuery) -> Run | None:
        """Return the run that wrote last; of other runs at most the times are read."""

        def action(database: Database) -> Joined | None:
            tables = tables_of(database, query.table)
            best: tuple[Newest, RunTable] | None = None
            for table in tables:
                found = newest_run(database, table)
                if found.run is not None and (best is None or found.when > best[0].when):
                    best = found, table
            if best is None or best[0].run is None:
                return None
            return _whole(database, tables, best[1], best[0].run, best[0].rows)

        joined = reading(path, action)
        return _run(self.name, path, joined, query.rules) if joined else None

    def find(self, path: Path, query: RunQuery, id: str) -> Run | None:
        """Return the run of that id; if several tables have unjoined runs of it, the one that wrote last."""

        def action(database: Database) -> list[Joined]:
            tables = tables_of(database, query.table)
            found = (_whole(database, tables, t, id, windows=query.windows) for t in tables)
            return [joined for joined in found if joined]

        found = reading(path, action)
        if not found:
            return None
        return _run(self.name, path, max(found, key=_ended), query.rules, query.windows)

    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """The role of every column, as the newest run of its table has it."""

        def action(database: Database) -> list[ColumnFacts]:
            found = []
            for table in tables_of(database, query.table):
                _, run = last_writer(database, table)
                rows = summed(database, table, run).get(run) if run is not None else None
                if rows is None:
                    continue
                values = rows.values()
                found += [
                    ColumnFacts(path, table.name, name, each.role, each.why, values.get(name))
                    for name, each in rows.decisions(query.rules).items()
                ]
            return found

        return reading(path, action)

    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The values of a metric in the rows of a run, by time."""

        def action(database: Database) -> list[MetricPoint]:
            points = []
            for part in run.parts:
                (table,) = tables_of(database, part.table)
                if metric in table.columns:
                    points += list(_points(database, table, part.run, metric))
            return points

        points = reading(run.database, action)
        return sorted(points, key=lambda point: moment(point.time))

    def rows(self, path: Path, table: str | None) -> dict[tuple[str, str], int]:
        """The number of rows by (table, run)."""

        def action(database: Database) -> dict[tuple[str, str], int]:
            tables = tables_of(database, table)
            return {(t.name, run): rows for t in tables for run, rows in count_rows(database, t)}

        return reading(path, action)

    def logged(self, path: Path, table: str | None) -> dict[tuple[str, str], Logged]:
        """What each run has now, by (table, run)."""

        def action(database: Database) -> dict[tuple[str, str], Logged]:
            return {
                (each.name, run): rows
                for each in tables_of(database, table)
                for run, rows in logged_rows(database, each).items()
            }

        return reading(path, action)


def is_database(path: Path) -> bool:
    """Whether a file holds tables; raises XexpError for a file named as a database that is none."""
    return kind_of(path) is not None


def _whole(
    database: Database,
    tables: Sequence[RunTable],
    table: RunTable,
    run: str,
    rows: RunRows | None = None,
    windows: Windows | None = None,
) -> Joined | None:
    windows = windows or {}
    rows = rows or summed(database, table, run, window=windows.get((table.name, run))).get(run)
    return join_one(database, tables, Piece(table, run, rows), windows) if rows else None


def _ended(joined: Joined) -> Moment:
    return max(piece.rows.last for piece in joined.pieces)


def _run(
    tracker: str, path: Path, joined: Joined, rules: RoleRules, windows: Windows | None = None
) -> Run:
    pieces, within = joined.pieces, windows or {}
    decided = [(piece, piece.rows.decisions(rules)) for piece in pieces]
    # The preferred table's values win; for metrics, those of the table with fewer rows, the summary.
    splits = [piece.rows.split(found) for piece, found in decided]
    by_rows = sorted(zip(pieces, splits, strict=True), key=lambda pair: -pair[0].rows.count)
    times = [t for p in pieces for t in (p.rows.first, p.rows.last) if t.rank]
    params = _first(split.params for split in splits)
    metrics = {name: v for _, split in by_rows for name, v in split.metrics.items()}
    return Run(
        id=pieces[0].run,
        database=path,
        tracker=tracker,
        parts=tuple(
            RunPart(p.table.name, p.run, p.rows.count, within.get((p.table.name, p.run)))
            for p in pieces
        ),
        started=min(times).text if times else None,
        ended=max(times).text if times else None,
        params=params,
        metrics={name: value for name, value in metrics.items() if name not in params},
        context=_first(split.context for split in splits),
        values=_first(piece.rows.values() for piece in pieces),
        roles=_roles(found for _, found in decided),
        versions=tuple(dict.fromkeys(v for p in pieces for v in p.rows.versions)),
        commits=tuple(dict.fromkeys(c for p in pieces for c in p.rows.commits)),
        series=tuple(dict.fromkeys(name for split in splits for name in split.series)),
        notes=tuple(dict.fromkeys(joined.notes)),
    )


def _first(dicts: Iterable[dict[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for each in dicts:
        for name, value in each.items():
            found.setdefault(name, value)
    return found


def _roles(decided: Iterable[dict[str, RoleDecision]]) -> dict[str, Role]:
    return _first({name: decision.role for name, decision in each.items()} for each in decided)


#: Columns with the step at which a row was logged.
_STEPS = ("step", "global_step", "epoch", "iteration", "timestep")


def _points(database: Database, table: RunTable, run: str, metric: str) -> Iterable[MetricPoint]:
    step = table.first_of(_STEPS)
    names = [quote(name) if name else "NULL" for name in (metric, step, table.time_column)]
    where, values = condition(database, table, run)
    sql = f"SELECT {', '.join(names)} FROM {quote(table.name)}{where}"
    for value, at, time in database.rows(sql, values):
        number = plain(value)
        if is_number(number):
            yield MetricPoint(number, at if isinstance(at, int | float) else None, time)
