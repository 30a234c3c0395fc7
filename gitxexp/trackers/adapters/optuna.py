"""Optuna's storage in SQLite (``sqlite:///study.db``), of Optuna 2 to 4: a trial is a run.

Tables as in ``optuna/storages/_rdb/models.py``. ``trial_params`` holds numbers; the value of a
categorical choice is in its distribution (``optuna/distributions.py``). Optuna's migrations check the
schema, so nothing is ever written there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any
from zlib import crc32

from gitxexp.common.dataclass import dataclass
from gitxexp.common.limits import MOST_DIGITS
from gitxexp.trackers import roles
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery
from gitxexp.trackers.column_names import Role, maximize
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.roles import ColumnValues, RoleDecision, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run, RunPart
from gitxexp.trackers.tables import all_tables

_TABLES = {"studies", "study_directions", "trials", "trial_params", "trial_values"}
_TABLE = "trials"
#: A waiting trial has not begun.
_BEGUN = "t.state != 'WAITING'"
_ORDER = "coalesce(t.datetime_complete, t.datetime_start)"


@dataclass
class _Trial:
    key: int
    id: str
    started: str | None
    ended: str | None
    state: str
    study: str
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    steps: int = 0  #: intermediate values


class OptunaStorage(Adapter):
    """Reads the trials of all studies of a storage."""

    name = "optuna"
    order = 11

    def recognises(self, database: Database, table: str | None) -> bool:
        """Whether a database has Optuna's tables."""
        return _is_optuna(database)

    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """Every trial that has begun, the one that ended last first."""
        trials = reading(path, lambda database: _trials(database, ""))
        return [_run(trial, path, query.rules) for trial in trials]

    def latest(self, path: Path, query: RunQuery) -> Run | None:
        """The trial that ended last."""
        found = reading(path, lambda database: _trials(database, " LIMIT 1"))
        return _run(found[0], path, query.rules) if found else None

    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """The values of the newest trial, and of others the names that it does not have."""
        found: dict[str, ColumnFacts] = {}
        for trial in reading(path, lambda database: _trials(database, "")):
            values = _values(trial)
            for name, decision in _decisions(trial, query.rules).items():
                facts = ColumnFacts(path, _TABLE, name, decision.role, decision.why, values[name])
                found.setdefault(name, facts)
        return list(found.values())

    def find(self, path: Path, query: RunQuery, id: str) -> Run | None:
        """The trial of that id, or of a study and a number where only one has them."""
        found = self.runs(path, query)
        exact = [run for run in found if run.id == id]
        near = exact or [run for run in found if run.id.rpartition("-")[0] == id]
        return near[0] if len(near) == 1 else None

    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The intermediate values that a trial reported of its objective."""
        if metric not in run.series:
            return []
        return reading(run.database, lambda database: _reported(database, run.id))


def _reported(database: Database, id: str) -> list[MetricPoint]:
    keys = [trial.key for trial in _trials(database, "") if trial.id == id]
    sql = (
        "SELECT intermediate_value, step FROM trial_intermediate_values"
        " WHERE trial_id = ? AND intermediate_value IS NOT NULL ORDER BY step"
    )
    return [MetricPoint(*row) for key in keys[:1] for row in database.rows(sql, [key])]


def _id(study: str, number: Any, started: Any) -> str:
    """Build an id from number and start: two clones continue with the same numbers."""
    return f"{study}-{number}-{crc32(str(started).encode()):08x}"


def _is_optuna(database: Database) -> bool:
    tables = {table.name: table for table in all_tables(database)}
    return tables.keys() >= _TABLES and "distribution_json" in tables["trial_params"].columns


def _trials(database: Database, limit: str) -> list[_Trial]:
    sql = (
        "SELECT t.trial_id, t.number, t.datetime_start, t.datetime_complete, t.state, s.study_name"
        " FROM trials t JOIN studies s ON s.study_id = t.study_id"
        f" WHERE {_BEGUN} ORDER BY {_ORDER} DESC, t.trial_id DESC{limit}"
    )
    found = {
        key: _Trial(key, _id(study, number, started), started, ended, state, study)
        for key, number, started, ended, state, study in database.rows(sql)
    }
    only, keys = (" WHERE trial_id = ?", list(found)) if limit else ("", [])
    if limit and not found:
        return []
    sql = f"SELECT trial_id, param_name, param_value, distribution_json FROM trial_params{only}"
    for key, name, value, distribution in database.rows(f"{sql} ORDER BY param_id", keys):
        if key in found:
            found[key].params[str(name)] = _chosen(value, distribution)
    names = _objectives(database)
    sql = f"SELECT trial_id, objective, value FROM trial_values{only} ORDER BY objective"
    of_trial = database.rows("SELECT trial_id, study_id FROM trials")
    studies: dict[Any, Any] = dict(of_trial)
    for key, objective, value in database.rows(sql, keys):
        if key in found and isinstance(value, int | float):
            found[key].metrics[names.get((studies[key], objective), f"values_{objective}")] = value
    tables = {table.name for table in all_tables(database)}
    if "trial_user_attributes" in tables:
        sql = f"SELECT trial_id, key, value_json FROM trial_user_attributes{only}"
        for key, name, text in database.rows(sql, keys):
            value = _decoded(text)
            if key in found and isinstance(value, str | int | float | bool):
                found[key].attributes[str(name)] = value
    if "trial_intermediate_values" in tables:
        sql = f"SELECT trial_id, count(*) FROM trial_intermediate_values{only} GROUP BY trial_id"
        for key, count in database.rows(sql, keys):
            if key in found:
                found[key].steps = int(count)
    return list(found.values())


def _objectives(database: Database) -> dict[tuple[int, int], str]:
    """Return the names of each study's objectives: the study's own, else those of Optuna's data frames
    (``value``, ``values_0``), with a prefix for a minimised one whose name does not tell."""
    sql = "SELECT study_id, objective, direction FROM study_directions"
    directions = list(database.rows(sql))
    given: dict[int, list[str]] = {}
    if "study_system_attributes" in {table.name for table in all_tables(database)}:
        sql = "SELECT study_id, value_json FROM study_system_attributes WHERE key = 'study:metric_names'"
        for study, text in database.rows(sql):
            said = _decoded(text)
            given[study] = [str(name) for name in said] if isinstance(said, list) else []
    count: dict[int, int] = {}
    for study, _, _ in directions:
        count[study] = count.get(study, 0) + 1
    found = {}
    for study, objective, direction in directions:
        own = given.get(study, [])
        name = "value" if count[study] == 1 else f"values_{objective}"
        name = own[objective] if 0 <= objective < len(own) else name
        if direction == "MINIMIZE" and maximize(name):
            name = f"minimized_{name}"
        found[study, objective] = name
    return found


def _chosen(value: Any, distribution: Any) -> Any:
    """Return the value that a number of ``trial_params`` means."""
    said = _decoded(distribution)
    kind = str(said.get("name", "")) if isinstance(said, dict) else ""
    attributes = said.get("attributes", {}) if isinstance(said, dict) else {}
    if kind == "CategoricalDistribution" and isinstance(attributes, dict):
        choices = attributes.get("choices")
        if (
            isinstance(choices, list)
            and isinstance(value, int | float)
            and 0 <= value < len(choices)
        ):
            choice = choices[int(value)]
            return choice if isinstance(choice, str | int | float | bool) else json.dumps(choice)
    if kind.startswith("Int") and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text, parse_int=lambda digits: int(digits[:MOST_DIGITS]))
    except (TypeError, ValueError, RecursionError):
        return None


def _values(trial: _Trial) -> dict[str, Any]:
    own = {"study_name": trial.study, "trial_state": trial.state}
    return {**own, **trial.attributes, **trial.metrics, **trial.params}


def _decisions(trial: _Trial, rules: RoleRules) -> dict[str, RoleDecision]:
    """Role by the storage's own structure, unless the configuration says otherwise; user attributes
    of a trial are judged by name."""

    def own() -> Iterator[tuple[str, RoleDecision]]:
        for name in ("study_name", "trial_state"):
            yield name, RoleDecision(Role.CONTEXT, "recorded by Optuna")
        for name, value in trial.attributes.items():
            number = value if isinstance(value, int | float) else None
            decision = roles.decide(_TABLE, name, ColumnValues(1, 1, value, number=number))
            measured = decision.role is Role.METRIC
            yield (
                name,
                decision
                if measured
                else RoleDecision(Role.CONTEXT, "a user attribute of the trial"),
            )
        for name in trial.metrics:
            yield name, RoleDecision(Role.METRIC, "an objective of Optuna")
        for name in trial.params:
            yield name, RoleDecision(Role.PARAM, "a parameter of Optuna")

    return {name: rules.decide(_TABLE, name) or decision for name, decision in own()}


def _run(trial: _Trial, path: Path, rules: RoleRules) -> Run:
    values = _values(trial)
    decided = {name: decision.role for name, decision in _decisions(trial, rules).items()}
    numbers = {name: v for name, v in values.items() if isinstance(v, int | float)}
    return Run(
        id=trial.id,
        database=path,
        tracker=OptunaStorage.name,
        parts=(
            RunPart(_TABLE, trial.id, 1 + len(trial.params) + len(trial.metrics) + trial.steps),
        ),
        started=trial.started,
        ended=trial.ended or trial.started,
        params={n: v for n, v in values.items() if decided[n] is Role.PARAM},
        metrics={n: v for n, v in numbers.items() if decided[n] is Role.METRIC},
        context={n: v for n, v in values.items() if decided[n] is Role.CONTEXT},
        values=values,
        roles=decided,
        series=tuple(trial.metrics) if trial.steps > 1 and len(trial.metrics) == 1 else (),
    )


ADAPTER = OptunaStorage()
