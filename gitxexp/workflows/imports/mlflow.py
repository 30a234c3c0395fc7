"""Runs of MLflow 1 to 3: its SQLite store and ``mlruns`` folders read as files, a server by its API."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.missing import missing_package
from gitxexp.common.notes import note
from gitxexp.trackers import mlflow
from gitxexp.trackers.adapters import mlflow_database, mlflow_files
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.mlflow import Record
from gitxexp.trackers.roles import NO_RULES
from gitxexp.workflows.imports.source import LoggedValue, Progress, Sink, SourceRun

ORIGIN = "mlflow"
#: Stored in separate columns.
_OWN = ("run_name", "experiment_name", "run_status", "git_commit", "user")


def _source_run(
    record: Record,
    points: Iterable[LoggedValue],
    artifacts: str = "",
    store: Path | None = None,
) -> SourceRun:
    """A record of a store in the folder ``store``; parameter texts are converted to numbers and
    booleans."""
    run = mlflow.run_of(record, Path(), ORIGIN, NO_RULES)
    params = run.params | {n: v for n, v in run.values.items() if n in record.params}
    params = {n: v for n, v in params.items() if n in record.params}
    tags = {n: v for n, v in run.context.items() if n not in (*_OWN, *params, *record.metrics)}
    metrics = {n: v for n, v in record.metrics.items() if v == v}  # SQLite has no NaN
    system = {n: v for n, v in metrics.items() if n.startswith("system/")}
    return SourceRun(
        origin=ORIGIN,
        id=record.id,
        name=record.name,
        experiment=record.experiment,
        status=record.status.lower(),
        user=record.tags.get("mlflow.user", ""),
        started=run.started,
        ended=run.ended if record.end is not None else None,
        commit=record.tags.get("mlflow.source.git.commit", ""),
        params=params,
        metrics={n: v for n, v in metrics.items() if n not in system},
        tags=tags | system,
        points=points,
        state=f"{record.status} {record.end} {len(record.params)} {len(record.tags)}"
        f" {sum(record.counts.values())} {len(metrics)}",
        models=tuple(_models(artifacts, store)) if store else (),
    )


#: Files beside ``MLmodel`` that are no model.
_OTHERS = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta")


def _models(artifacts: str, store: Path) -> Iterator[Path]:
    """Files of models that a run logged: those next to an ``MLmodel`` file, if local.

    A store may have come with a clone or a download: files outside of its folder are not its own.
    """
    place = local_path(artifacts) if artifacts else None
    if place is None or not place.is_dir():
        return
    home = store.resolve()
    if not place.resolve().is_relative_to(home):
        note(f"models in {place}, outside of the store's folder {store}, are not read")
        return
    for described in sorted(place.rglob("MLmodel")):
        files = [
            path
            for path in sorted(described.parent.rglob("*"))
            if path.is_file()
            and path.resolve().is_relative_to(home)
            and path.name not in _OTHERS
            and "input_example" not in path.name
        ]
        if files:
            yield max(files, key=lambda path: path.stat().st_size)


def local_path(uri: str) -> Path | None:
    """The folder or file of a path, ``file:`` or ``sqlite:`` URI; None if it is remote."""
    parts = urlsplit(uri)
    if not parts.scheme or len(parts.scheme) == 1:
        return Path(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme == "sqlite":
        return Path(uri.removeprefix("sqlite:///"))
    return None


@dataclass(frozen=True)
class MlflowStore:
    """MLflow's database file."""

    path: Path
    name: str

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Every run that was not deleted, with every value, in one pass over the file."""

        def action(database: Database) -> None:
            records = sorted(mlflow_database.read_records(database), key=lambda one: one.id)
            places = _artifact_places(database)
            values = _by_run(database)
            following = next(values, None)
            for number, record in enumerate(records):
                while following is not None and following[0] < record.id:  # of a deleted run
                    following = next(values, None)
                own: Iterable[LoggedValue] = ()
                if following is not None and following[0] == record.id:
                    own = map(_value, following[1])
                artifacts = places.get(record.id, "")
                sink(_source_run(record, own, artifacts, self.path.absolute().parent))
                if progress is not None:
                    progress(number + 1, len(records), "runs")

        reading(self.path, action)


def _by_run(database: Database) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    """The values of each run, by its id, in the order of their steps."""
    sql = (
        "SELECT run_uuid, key, step, timestamp, CASE WHEN is_nan THEN NULL ELSE value END FROM metrics"
        " ORDER BY run_uuid, key, step, timestamp"
    )
    return groupby(database.rows(sql), key=itemgetter(0))


def _value(row: tuple[Any, ...]) -> LoggedValue:
    _, key, step, time, value = row
    return key, step, None if time is None else time / 1000, value


def _artifact_places(database: Database) -> dict[str, str]:
    with suppress(Exception):  # a store without the column
        return dict(database.rows("SELECT run_uuid, artifact_uri FROM runs"))
    return {}


@dataclass(frozen=True)
class MlflowFolder:
    """An ``mlruns`` folder."""

    path: Path
    name: str

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Every run that was not deleted, with every value."""
        found = list(mlflow_files.run_folders(self.path))
        for number, (folder, experiment) in enumerate(found):
            record = mlflow_files.read_record(folder, experiment)
            if record is not None:
                place, store = str(folder / "artifacts"), self.path.absolute().parent
                sink(_source_run(record, _logged(folder, record), place, store))
            if progress is not None:
                progress(number + 1, len(found), "runs")


def _logged(folder: Path, record: Record) -> Iterator[LoggedValue]:
    for key in record.counts:
        for point in mlflow_files.read_points(folder, key):
            value = point.value if point.value == point.value else None
            yield key, point.step, point.time / 1000, value


@dataclass(frozen=True)
class MlflowServer:
    """A tracking server, asked by MLflow's own client."""

    name: str
    uri: str

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Every active run of every experiment. Raises XexpError if MLflow is not installed, or the
        server does not answer."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else it retries for minutes
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise missing_package(
                "mlflow-skinny", "reading from an MLflow server needs it"
            ) from error
        client = MlflowClient(tracking_uri=self.uri)
        done = 0
        try:
            for experiment in _pages(lambda token: client.search_experiments(page_token=token)):
                for run in _pages(
                    lambda token, id=experiment.experiment_id: client.search_runs(  # type: ignore[misc]
                        [id], max_results=1000, page_token=token
                    )
                ):
                    sink(_of_server(client, run, experiment.name))
                    done += 1
                    if progress is not None:
                        progress(done, 0, "runs")
        except MlflowException as error:
            raise XexpError(
                f"{self.uri}: {str(error).splitlines()[0][:300]}",
                "check the address, and MLFLOW_TRACKING_TOKEN or _USERNAME and _PASSWORD",
            ) from error


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _of_server(client: Any, run: Any, experiment: str) -> SourceRun:
    """Convert a run from MLflow's entities (``mlflow/entities/run.py``)."""
    info, data = run.info, run.data
    numbers = {name: value for name, value in data.metrics.items() if value == value}
    record = Record(
        info.run_id, info.run_name or "", experiment, info.start_time, info.end_time, info.status,
        dict(data.params), numbers, dict.fromkeys(data.metrics, 1), mlflow.clean_tags(data.tags),
    )  # fmt: skip

    def logged() -> Iterator[LoggedValue]:
        for key in data.metrics:
            history = client.get_metric_history(info.run_id, key)
            for one in sorted(history, key=lambda each: (each.step, each.timestamp)):
                value = one.value if one.value == one.value else None
                yield key, one.step, one.timestamp / 1000, value

    found = _source_run(record, logged())
    found.state = f"{found.state} {sorted(numbers.items())}"
    return found
