"""Tables of experiments, runs and models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.tags import Experiment


@dataclass(frozen=True)
class Records:
    """A table: the kind of each column (see :mod:`gitxexp.tables.duckdb.parquet_writer`), and rows.

    ``moments`` are columns of microseconds since 1970, shown as times in UTC.
    """

    columns: Mapping[str, str]
    rows: Sequence[Sequence[Any]]
    moments: tuple[str, ...] = ()


_EXPERIMENT = {
    "version": "text", "date": "integer", "tagger": "text", "labels": "text", "headline": "text",
    "text": "text", "data": "text", "config_hash": "text", "run": "text", "run_commit": "text",
    "commit": "text", "parent": "text", "reason": "text", "results": "text", "table": "text",
}  # fmt: skip
_RUN = {
    "id": "text", "version": "text", "status": "text", "code": "integer", "command": "text",
    "started": "integer", "ended": "integer", "host": "text", "user": "text", "python": "text",
    "branch": "text", "sweep": "text", "config_hash": "text", "data": "text", "run_commit": "text",
    "params": "text", "metrics": "text", "results": "text", "table": "text", "rows": "integer",
    "note": "text",
}  # fmt: skip
_RUN_TIMES = ("started", "ended")


def experiments(project: Project) -> Records:
    """A row for each experiment, newest first; missing values are NULL."""
    rows = []
    for each in project.experiments():
        said = each.payload
        texts = (said.headline, said.text, said.data, said.config_hash, said.run, said.run_commit,
                 each.commit, said.parent, said.reason, said.results, said.table)  # fmt: skip
        labels = ", ".join(said.labels)
        rows.append(
            [each.name, each.date * 1_000_000, each.tagger or None, labels or None,
             *(t or None for t in texts)]
        )  # fmt: skip
    return Records(_EXPERIMENT, rows, ("date",))


def params(project: Project) -> Records:
    """A row for each parameter of each experiment; ``number`` is NULL if it is not numeric."""
    rows = [
        [each.name, name, _shown(value), _number(value)]
        for each in project.experiments()
        for name, value in each.payload.params.items()
    ]
    return Records({"version": "text", "name": "text", "value": "text", "number": "real"}, rows)


def metrics(project: Project) -> Records:
    """A row for each metric of each experiment; ``value`` is NULL if it is neither a number nor NaN."""
    rows = [
        [each.name, name, _number(value), _shown(value)]
        for each in project.experiments()
        for name, value in each.payload.metrics.items()
    ]
    return Records({"version": "text", "name": "text", "value": "real", "text": "text"}, rows)


def params_wide(project: Project) -> Records:
    """A row for each experiment, a column for each parameter."""
    return _wide(project, "param")


def metrics_wide(project: Project) -> Records:
    """A row for each experiment, a column for each metric."""
    return _wide(project, "metric")


def _wide(project: Project, kind: str) -> Records:
    from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, column, of_experiment

    known: list[Experiment] = project.experiments()
    rows = list(map(of_experiment, known))
    names = ColumnNames(rows)
    wanted = names.params if kind == "param" else names.metrics
    columns: dict[str, list[Any]] = {"version": [each.name for each in known]}
    taken = {"version"}
    for name in wanted:
        free = name if name.lower() not in taken else f"{kind}s.{name}"
        while free.lower() in taken:  # DuckDB does not tell names apart by case
            free += "_1"
        taken.add(free.lower())
        columns[free] = [_cell(value) for value in column(rows, ColumnName(kind, name))]
    values = [list(row) for row in zip(*columns.values(), strict=True)]
    return Records(dict.fromkeys(columns, "text"), values)


def artifacts(project: Project) -> Records:
    """A row for each DVC output of each experiment."""
    from gitxexp.workflows.experiments import describe

    rows = [
        [each.name, path, hash_, describe.role(path, project.config).value]
        for each in project.experiments()
        for path, hash_ in each.payload.artifacts.items()
    ]
    return Records({"version": "text", "path": "text", "hash": "text", "role": "text"}, rows)


def labels(project: Project) -> Records:
    """A row for each label of each experiment."""
    rows = [[each.name, label] for each in project.experiments() for label in each.payload.labels]
    return Records({"version": "text", "label": "text"}, rows)


def promotions(project: Project) -> Records:
    """A row for each promotion, newest first."""
    columns = dict.fromkeys(("id", "slot", "version", "run", "who", "at", "why", "metric"), "text")
    columns |= {"value": "real", "hash_before": "text", "hash_after": "text"}
    found = project.registry.promotions() if project.places.top else []
    return Records(columns, [[getattr(one, name) for name in columns] for one in found])


def runs(project: Project) -> Records:
    """A row for each run: those that ``run`` and ``sweep`` recorded, and those known only to a
    tracker, whose status is NULL. ``params`` and ``metrics`` are JSON; a time that cannot be read is
    NULL."""
    if project.places.top is None:
        return Records(_RUN, [], _RUN_TIMES)
    from gitxexp.workflows.experiments import collect

    recorded = project.registry.runs()
    rows = [[_run_cell(record, name) for name in _RUN] for record in recorded]
    known = {part.get("run") for record in recorded for part in _parts(record)}
    versions = {e.payload.run: e.name for e in reversed(project.experiments()) if e.payload.run}
    with suppress(XexpError):  # an unreadable database does not hide records
        for run in collect.all_runs(project.top, project.config):
            if run.id in known:
                continue
            facts: dict[str, Any] = {
                "id": run.id, "version": versions.get(run.id) or run.declared_version,
                "started": _microseconds(run.started), "ended": _microseconds(run.ended),
                "params": _json(run.params),
                "metrics": _json(run.metrics), "table": run.table or None, "rows": run.rows,
                "results": project.shown(run.database),
            }  # fmt: skip
            rows.append([facts.get(name) for name in _RUN])
    return Records(_RUN, rows, _RUN_TIMES)


def _parts(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [part for part in record.get("tables") or [] if isinstance(part, dict)]


def _run_cell(record: Mapping[str, Any], name: str) -> Any:
    parts = _parts(record)
    if name == "rows":
        return sum(int(part.get("rows") or 0) for part in parts) if parts else None
    if name in ("results", "table"):
        return str(parts[0].get("database" if name == "results" else name) or "") if parts else None
    value = record[name]
    if name in _RUN_TIMES:
        return _microseconds(value)
    if isinstance(value, list | dict):
        return _json(value)
    return None if value == "" else value


def _microseconds(value: Any) -> int | None:
    from gitxexp.trackers.times import moment

    when = moment(value)
    return round(when.seconds * 1_000_000) if when.rank == 2 else None


def _shown(value: Any) -> str | None:
    from gitxexp.repository.tag_message import show

    return None if value is None else show(value)


def _number(value: Any) -> float | None:
    from gitxexp.workflows.explore.filters import number

    if isinstance(value, float):
        return value
    found = number(value)
    return None if found is None else float(found)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else _shown(value)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)


#: The tables by name.
RECORDS: dict[str, Callable[[Project], Records]] = {
    "experiments": experiments,
    "params": params,
    "metrics": metrics,
    "params_wide": params_wide,
    "metrics_wide": metrics_wide,
    "runs": runs,
    "artifacts": artifacts,
    "labels": labels,
    "promotions": promotions,
}
