"""DVCLive: a folder with ``metrics.json``, ``params.yaml`` and ``plots/metrics/NAME.tsv`` (dvclive 1 to 3).

It has one run, the last, without id or time of its own: the run is named by the content of its files, so that
unchanged files are the same run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitxexp.common.files import read_file
from gitxexp.common.values import is_number
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery
from gitxexp.trackers.column_names import Role, is_counter
from gitxexp.trackers.files import file_of, read_metrics, read_params, read_rows
from gitxexp.trackers.roles import RoleDecision, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run

_METRICS = "metrics.json"
_PARAMS = "params.yaml"
_PLOTS = "plots/metrics"
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class DvcLive(Adapter):
    """Reads the run of a ``dvclive`` folder."""

    name = "dvclive"
    order = 20
    identified = False

    def knows(self, path: Path, table: str | None = None) -> bool:
        """Whether a folder has DVCLive's files."""
        if not (path / _METRICS).is_file():
            return False
        return path.name == "dvclive" or (path / _PLOTS).is_dir() or (path / "dvc.yaml").is_file()

    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """The run."""
        values = _flat(_metrics(path)) | _flat(_params(path))
        decided = _decisions(path, query.rules)
        roles = {name: decision.role for name, decision in decided.items()}
        numbers = {n: v for n, v in values.items() if is_number(v)}
        return [
            Run(
                id=f"dvclive-{_digest(path)}",
                database=path,
                tracker=self.name,
                params={n: v for n, v in values.items() if roles[n] is Role.PARAM},
                metrics={n: v for n, v in numbers.items() if roles[n] is Role.METRIC},
                context={n: v for n, v in values.items() if roles[n] is Role.CONTEXT},
                values=values,
                roles=roles,
                series=tuple(n for n in numbers if len(_points(path, n)) > 1),
            )
        ]

    def files(self, path: Path) -> list[Path]:
        """Its metrics, which every step writes, and parameters."""
        return [file for name in (_METRICS, _PARAMS) if (file := file_of(path, name))]

    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """The role of each parameter and metric."""
        values = _flat(_metrics(path)) | _flat(_params(path))
        decided = _decisions(path, query.rules)
        return [
            ColumnFacts(path, "", n, decided[n].role, decided[n].why, v) for n, v in values.items()
        ]

    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The values of a metric by step."""
        return _points(run.database, metric)


def _decisions(path: Path, rules: RoleRules) -> dict[str, RoleDecision]:
    own: dict[str, RoleDecision] = {}
    for name, value in _flat(_metrics(path)).items():
        if is_counter(name) or not is_number(value):
            own[name] = RoleDecision(Role.CONTEXT, "a counter or text of DVCLive")
        else:
            own[name] = RoleDecision(Role.METRIC, "a metric of DVCLive")
    own |= dict.fromkeys(_flat(_params(path)), RoleDecision(Role.PARAM, "a parameter of DVCLive"))
    return {name: rules.decide("", name) or decision for name, decision in own.items()}


def _metrics(path: Path) -> dict[str, Any]:
    file = file_of(path, _METRICS)
    return _numbers(read_metrics(file)) if file else {}


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics with the numbers that JSON does not have, which DVCLive writes as texts."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found[name] = _numbers(value)
        else:
            found[name] = _NOT_FINITE.get(value, value) if isinstance(value, str) else value
    return found


def _params(path: Path) -> dict[str, Any]:
    file = file_of(path, _PARAMS)
    return read_params(file) if file else {}


def _points(path: Path, metric: str) -> list[MetricPoint]:
    """``plots/metrics/train/loss.tsv`` is the metric ``train.loss``."""
    file = file_of(path, f"{_PLOTS}/{metric.replace('.', '/')}.tsv")
    if file is None:
        return []
    last = metric.rpartition(".")[2]
    rows = read_rows(file)
    return [MetricPoint(row[last], row.get("step")) for row in rows if is_number(row.get(last))]


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    for name in (_METRICS, _PARAMS):
        file = file_of(path, name)
        found.update(read_file(file) if file else b"\0")
    return found.hexdigest()[:8]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


ADAPTER = DvcLive()
