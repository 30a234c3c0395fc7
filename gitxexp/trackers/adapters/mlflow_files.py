"""MLflow's file store (``mlruns/``), of MLflow 1 to 3.

``EXPERIMENT/meta.yaml`` and, for each run, ``EXPERIMENT/RUN/`` with ``meta.yaml``, ``params/KEY`` (the
value), ``metrics/KEY`` (lines of time, value and, since 1.0, step) and ``tags/KEY``; a ``/`` in a key is a
folder
(``mlflow/store/tracking/file_store.py``). Only regular files of moderate size are read, and no link
is followed.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitxexp.common.limits import scalar
from gitxexp.storage.paths import problem
from gitxexp.trackers import mlflow
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery
from gitxexp.trackers.files import file_of
from gitxexp.trackers.mlflow import Record
from gitxexp.trackers.run import ColumnFacts, Run

#: Parameters are at most 6,000 characters; series of metrics may be long.
_LARGEST = 64_000_000
#: Folders of a store that hold no runs.
_OTHER = frozenset((".trash", "models", "traces"))


class MlflowFiles(Adapter):
    """Reads the runs of an ``mlruns`` folder."""

    name = "mlflow-files"
    order = 11

    def knows(self, path: Path, table: str | None = None) -> bool:
        """Whether a folder holds experiments of MLflow."""
        return path.is_dir() and any(True for _ in _described(path))

    def runs(self, path: Path, query: RunQuery) -> list[Run]:
        """Every run that was not deleted."""
        found = [self._run(folder, name, path, query) for folder, name in run_folders(path)]
        return mlflow.newest_first([run for run in found if run is not None])

    def latest(self, path: Path, query: RunQuery) -> Run | None:
        """The run that ended last; of the others only ``meta.yaml`` is read."""
        best: tuple[int, Path, str] | None = None
        for folder, name in run_folders(path):
            meta = _meta(folder)
            when = _number(meta.get("end_time")) or _number(meta.get("start_time")) or 0
            if not _deleted(meta) and (best is None or when >= best[0]):
                best = when, folder, name
        return self._run(best[1], best[2], path, query) if best else None

    def find(self, path: Path, query: RunQuery, id: str) -> Run | None:
        """The run of that id, or of that name where only one has it."""
        named = []
        for folder, name in run_folders(path):
            if folder.name == id:
                return self._run(folder, name, path, query)
            named += [(folder, name)] if _run_name(folder, _meta(folder)) == id else []
        return self._run(*named[0], path, query) if len(named) == 1 else None

    def columns(self, path: Path, query: RunQuery) -> list[ColumnFacts]:
        """The values of the newest run, and of others the names that it does not have."""
        records = [
            record for folder, name in run_folders(path) if (record := read_record(folder, name))
        ]
        records.sort(key=lambda record: record.end or record.start or 0, reverse=True)
        found: dict[str, ColumnFacts] = {}
        for record in records:
            for each in mlflow.facts(record, path, query.rules):
                found.setdefault(each.column, each)
        return list(found.values())

    def series(self, run: Run, metric: str) -> list[MetricPoint]:
        """The values of a metric by step and time."""
        for folder, _ in run_folders(run.database):
            if folder.name == run.id:
                return [p for p in read_points(folder, metric) if p.value == p.value]
        return []

    def _run(self, folder: Path, experiment: str, path: Path, query: RunQuery) -> Run | None:
        record = read_record(folder, experiment)
        return mlflow.run_of(record, path, self.name, query.rules) if record else None


def run_folders(path: Path) -> Iterator[tuple[Path, str]]:
    """The folders of runs, each with the name of its experiment."""
    for experiment in _described(path):
        name = str(_meta(experiment).get("name") or experiment.name)
        yield from ((folder, name) for folder in _described(experiment))


def _described(path: Path) -> Iterator[Path]:
    """The folders in ``path`` that have a ``meta.yaml``."""
    try:
        folders = sorted(path.iterdir())
    except OSError:
        return
    for folder in folders:
        if folder.name not in _OTHER and _is_folder(folder) and _is_file(folder / "meta.yaml"):
            yield folder


def read_record(folder: Path, experiment: str) -> Record | None:
    """Return what a run's folder holds, except earlier values; None for a deleted run."""
    meta = _meta(folder)
    if _deleted(meta) or not (meta.get("run_id") or meta.get("run_uuid")):
        return None
    record = Record(
        id=folder.name,
        name=_run_name(folder, meta),
        experiment=experiment,
        start=_number(meta.get("start_time")),
        end=_number(meta.get("end_time")),
        status=_STATUS.get(meta.get("status"), str(meta.get("status") or "")),
        params=dict(_texts(folder / "params")),
        tags=mlflow.clean_tags(dict(_texts(folder / "tags"))),
    )
    for key, text in _texts(folder / "metrics"):
        points = [p for line in text.splitlines() if (p := _point(line)) is not None]
        record.counts[key] = len(points)
        if points:
            value = max(points, key=lambda p: (p.step or 0, p.time)).value
            record.metrics[key] = value if value == value else math.nan  # one NaN, equal to itself
    return record


def read_points(folder: Path, metric: str) -> list[MetricPoint]:
    """Every value of a metric by step and time (milliseconds), NaN included."""
    file = None if problem(metric) else file_of(folder / "metrics", metric)
    if file is None or not _is_folder(folder / "metrics"):
        return []
    points = [_point(line) for line in _read(file).splitlines()]
    kept = [point for point in points if point is not None]
    return sorted(kept, key=lambda point: (point.step or 0, point.time))


#: ``RunStatus`` in ``mlflow/entities/run_status.py``; text since MLflow 1.
_STATUS: dict[Any, str] = {
    1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED",
}  # fmt: skip


_LINE = re.compile(r"(\w+): (.*)")


def _meta(folder: Path) -> dict[str, Any]:
    """The names and plain values of ``meta.yaml``: a line each, as MLflow dumps them."""
    found: dict[str, Any] = {}
    for line in _read(folder / "meta.yaml").splitlines():
        match = _LINE.fullmatch(line.strip())
        if match:
            found[match[1]] = _plain(match[2].strip())
    return found


def _plain(text: str) -> Any:
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return None if text in ("null", "~") else scalar(text)


def _deleted(meta: dict[str, Any]) -> bool:
    return meta.get("lifecycle_stage") == "deleted"


def _run_name(folder: Path, meta: dict[str, Any]) -> str:
    named = meta.get("run_name") or meta.get("name")
    tags = folder / "tags"
    return str(named or (_read(tags / "mlflow.runName") if _is_folder(tags) else ""))


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Key and content of each file below a folder, which is no link."""
    if not _is_folder(folder):
        return
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if _is_file(path):
                yield path.relative_to(folder).as_posix(), _read(path).strip("\n")


def _read(path: Path) -> str:
    if not _is_file(path):
        return ""
    return path.read_text("utf-8", "replace")


def _is_file(path: Path) -> bool:
    found = _lstat(path)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST


def _is_folder(path: Path) -> bool:
    found = _lstat(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _point(line: str) -> MetricPoint | None:
    """``TIME VALUE [STEP [DATASET MODEL ...]]``."""
    parts = line.split()
    if len(parts) < 2:
        return None
    try:
        step = int(parts[2]) if len(parts) > 2 else 0
        return MetricPoint(float(parts[1]), step, int(parts[0]))
    except ValueError:
        return None


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


ADAPTER = MlflowFiles()
