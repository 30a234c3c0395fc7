"""Runs in tables: CSV, NDJSON and parquet files, and what W&B and Aim export.

Which column is a parameter and which a metric is decided as for any table of results
(:mod:`gitxexp.trackers.roles`). The rows of one run are its steps. Without a run column each row is
a run, named by its content.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.limits import scalar
from gitxexp.common.sql import quote
from gitxexp.common.values import is_number
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.configuration import read_json
from gitxexp.trackers.adapter import RunQuery
from gitxexp.trackers.adapters import plain_table
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.roles import RoleRules
from gitxexp.trackers.run import Run
from gitxexp.trackers.tables import RUN_COLUMNS, RunTable, tables_of
from gitxexp.trackers.times import moment
from gitxexp.workflows.imports.source import LoggedValue, Progress, Sink, SourceRun
from gitxexp.workflows.imports.staging import stored

#: Column names in exports → the run's fields.
_NAMES = {
    "wandb": {"id": "run_id", "name": "run_name", "state": "run_status", "user": "user",
              "created": "started", "end time": "ended", "created_at": "started",
              "updated": "ended", "commit": "git_commit", "notes": "notes", "group": "group"},
    "aim": {"hash": "run_id", "run hash": "run_id", "run.hash": "run_id", "run": "run_name",
            "experiment": "experiment_name", "date": "started", "creation_time": "started",
            "created_at": "started", "end_time": "ended"},
}  # fmt: skip
_STEPS = ("step", "_step", "global_step", "epoch", "iteration", "timestep")
#: Context that a run has a separate field for.
_FACTS = {"name": ("run_name", "name"), "experiment": ("experiment_name", "experiment"),
          "status": ("run_status", "status", "state"), "user": ("user",)}  # fmt: skip


@dataclass(frozen=True)
class TableFile:
    """A table in a file. ``kind`` is csv, ndjson, parquet, wandb or aim."""

    path: Path
    kind: str
    name: str
    rules: RoleRules

    @property
    def origin(self) -> str:
        """Runs of W&B and Aim have ids of their own wherever they are; others are told by the file."""
        return self.kind if self.kind in _NAMES else f"{self.kind}:{self.path.name}"

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Every run of the file."""
        if self.kind in _NAMES and self.path.suffix.lower() == ".json":
            documents = [_exported(one, self.origin) for one in _documents(self.path)]
            for number, run in enumerate(documents):
                sink(run)
                if progress is not None:
                    progress(number + 1, len(documents), "runs")
            return
        with self._table() as (path, table):
            self._of_table(path, table, sink, progress)

    @contextmanager
    def _table(self) -> Iterator[tuple[Path, str | None]]:
        """A database with the rows of the file, and the table that they are in."""
        if self.kind == "parquet" or self.path.suffix.lower() in (".parquet", ".pq"):
            yield self.path, None
            return
        rows = _rows(self.path)
        with tempfile.TemporaryDirectory(prefix="xexp-import-") as folder:
            database = Path(folder) / "rows.db"
            _fill(database, rows, _NAMES.get(self.kind, {}))
            yield database, "rows"

    def _of_table(
        self, path: Path, table: str | None, sink: Sink, progress: Progress | None
    ) -> None:
        adapter = plain_table.ADAPTER
        runs = adapter.runs(path, RunQuery(table, self.rules))
        if not runs:
            raise XexpError(
                f"{self.path} has no table of runs", "it needs a column of runs or of times"
            )
        series = _series(path, table, runs)
        for number, run in enumerate(runs):
            sink(self._source_run(run, series.get(run.id, ())))
            if progress is not None:
                progress(number + 1, len(runs), "runs")

    def _source_run(self, run: Run, points: Sequence[LoggedValue]) -> SourceRun:
        facts = {
            name: next((str(run.values[c]) for c in columns if run.values.get(c)), "")
            for name, columns in _FACTS.items()
        }
        kept = {c for columns in _FACTS.values() for c in columns}
        tags = {n: v for n, v in run.context.items() if n not in kept and n not in _TIMES}
        return SourceRun(
            origin=self.origin,
            id=run.id,
            started=run.started,
            ended=_time(run.values.get("ended")) or run.ended,
            commit=run.commits[-1] if run.commits else "",
            params=run.params,
            metrics=run.metrics,
            tags=tags,
            points=points,
            name=facts["name"],
            experiment=facts["experiment"],
            status=facts["status"],
            user=facts["user"],
        )


_TIMES = ("started", "ended")


def _time(value: Any) -> str | None:
    when = moment(value)
    return when.text if when.rank == 2 else None


def _series(path: Path, table: str | None, runs: Sequence[Run]) -> dict[str, list[LoggedValue]]:
    """The values of every metric with more than one row per run, in row order."""
    wanted = {
        metric for run in runs for metric in run.series if run.roles.get(metric) is Role.METRIC
    }
    if not wanted:
        return {}

    def action(database: Database) -> dict[str, list[LoggedValue]]:
        found: dict[str, dict[str, list[LoggedValue]]] = {}
        for each in tables_of(database, table):
            for run, step, time, values in _logged(database, each, wanted):
                for metric, value in values:
                    points = found.setdefault(run, {}).setdefault(metric, [])
                    points.append((metric, step, time, value))
        return {run: [p for own in by.values() for p in own] for run, by in found.items()}

    return reading(path, action)


def _logged(
    database: Database, table: RunTable, wanted: Iterable[str]
) -> Iterator[tuple[str, Any, float | None, list[tuple[str, float]]]]:
    metrics = [name for name in table.columns if name in set(wanted)]
    step = table.first_of(_STEPS)
    names = [quote(name) if name else "NULL" for name in (step, table.time_column)]
    listed = ", ".join([table.run_id, *names, *map(quote, metrics)])
    for run, at, time, *values in database.rows(f"SELECT {listed} FROM {quote(table.name)}"):
        when = moment(time)
        numbers = [
            (name, float(value))
            for name, value in zip(metrics, values, strict=True)
            if is_number(value)
        ]
        number = at if isinstance(at, int | float) else None
        yield str(run), number, when.seconds if when.rank == 2 else None, numbers


# -- files -----------------------------------------------------------------------------------------


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV, TSV, JSON or NDJSON file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix.lower() in (".csv", ".tsv"):
                delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
                rows: list[dict[str, Any]] = [
                    {name: _cell(text) for name, text in row.items() if name}
                    for row in csv.DictReader(stream, delimiter=delimiter)
                ]
            else:
                rows = [flatten(one) for one in _json_lines(stream, path)]
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise XexpError(
            f"cannot read {path}: {error}", "correct the file, then try again"
        ) from error
    if not rows:
        raise XexpError(f"{path} has no rows", "export it again")
    return rows


def _json_lines(stream: Iterable[str], path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() == ".json":
        yield from _documents(path)
        return
    for line in stream:
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"a line holds a {type(row).__name__}, not names and values")
            yield row


def _documents(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON file: a list of them, or one."""
    document = read_json(path)
    document = document.get("runs", document) if isinstance(document, dict) else document
    document = [document] if isinstance(document, dict) else document
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise XexpError(f"{path} holds no list of runs", "export the runs as a list of objects")
    return document


def _cell(text: str | None) -> Any:
    return None if text is None or text == "" else scalar(text)


def _fill(database: Path, rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    """Write rows into the table ``rows``, columns renamed as ``names`` (in lower case) says, and
    add a run column if there is none."""
    columns: dict[str, str] = {}
    for row in rows:
        for name in row:
            columns.setdefault(name.lower(), names.get(name.lower(), name))
    taken: dict[str, str] = {}
    for folded, name in columns.items():  # the first of two equal names keeps it
        taken.setdefault(name.lower(), folded)
    columns = {f: n if taken[n.lower()] == f else f for f, n in columns.items()}
    added = not any(name.lower() in RUN_COLUMNS for name in columns.values())
    if added:
        columns["\0run"] = "run_id"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(f"CREATE TABLE rows ({', '.join(map(quote, columns.values()))})")
        marks = ", ".join("?" * len(columns))
        places = {folded: at for at, folded in enumerate(columns)}
        db.executemany(f"INSERT INTO rows VALUES ({marks})", _filled(rows, places, added=added))


def _filled(
    rows: Iterable[Mapping[str, Any]], places: Mapping[str, int], *, added: bool
) -> Iterator[list[Any]]:
    seen: dict[str, int] = {}
    for row in rows:
        values: list[Any] = [None] * len(places)
        for name, value in row.items():
            values[places[name.lower()]] = stored(value)
        if added:
            digest = hashlib.sha256(repr(values).encode("utf-8", "replace")).hexdigest()[:12]
            seen[digest] = seen.get(digest, 0) + 1
            values[-1] = f"row-{digest}" + (f"-{seen[digest]}" if seen[digest] > 1 else "")
        yield values


def _exported(document: Mapping[str, Any], origin: str) -> SourceRun:
    """A run in the form of W&B's and Aim's APIs: ``config`` and ``summary`` apart."""
    names = {name.lower(): value for name, value in document.items()}
    config = _mapping(names, "config", "params", "hparams")
    summary = _mapping(names, "summary", "summary_metrics", "summarymetrics", "metrics")
    values = flatten({n: _unwrapped(v) for n, v in config.items() if not n.startswith("_")})
    ended = flatten({n: v for n, v in summary.items() if not n.startswith("_")})
    numbers = {n: v for n, v in ended.items() if is_number(v)}
    known = _NAMES[origin]
    facts = {known[n]: v for n, v in names.items() if n in known and isinstance(v, str | int)}
    id = str(facts.get("run_id") or facts.get("run_name") or "")
    if not id:
        raise XexpError("a run of the export has neither id nor name", "give each run an id")
    tags = {n: v for n, v in ended.items() if n not in numbers and isinstance(v, str)}
    if isinstance(names.get("tags"), list) and names["tags"]:
        tags["tags"] = ", ".join(map(str, names["tags"]))
    return SourceRun(
        origin=origin,
        id=id,
        name=str(facts.get("run_name", "")),
        experiment=str(names.get("project") or facts.get("experiment_name", "")),
        status=str(facts.get("run_status", "")),
        user=str(facts.get("user", "")),
        started=_time(facts.get("started")),
        ended=_time(facts.get("ended")),
        commit=str(facts.get("git_commit", "")),
        params={n: v for n, v in values.items() if v is not None},
        metrics=numbers,
        tags=tags,
        points=tuple(_history(names.get("history"))),
    )


def _mapping(names: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The first of the keys that holds an object, or an object as JSON text."""
    for key in keys:
        value = names.get(key)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                continue
        if isinstance(value, Mapping):
            return value
    return {}


def _unwrapped(value: Any) -> Any:
    """W&B's files hold each setting as ``{"desc": …, "value": …}``."""
    wrapped = isinstance(value, Mapping) and set(value) <= {"desc", "value"} and "value" in value
    return value["value"] if wrapped else value


def _history(rows: Any) -> Iterator[LoggedValue]:
    by_metric: dict[str, list[LoggedValue]] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, Mapping):
            continue
        step = row.get("_step", row.get("step"))
        time = row.get("_timestamp")
        for name, value in row.items():
            if not name.startswith("_") and name != "step" and is_number(value):
                point = name, step if is_number(step) else None, time if is_number(time) else None
                by_metric.setdefault(name, []).append((*point, float(value)))
    for points in by_metric.values():
        yield from points
