"""Resolve SOURCE on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.places import work_file
from gitxexp.trackers.adapters import dvclive, mlflow_database, mlflow_files
from gitxexp.workflows.experiments.column_roles import role_rules
from gitxexp.workflows.imports.dvc import DvcExperiments, DvcLiveFolder
from gitxexp.workflows.imports.mlflow import MlflowFolder, MlflowServer, MlflowStore, local_path
from gitxexp.workflows.imports.source import RunSource
from gitxexp.workflows.imports.tables import TableFile
from gitxexp.workflows.imports.tensorboard import EventFiles

#: Kinds of sources, with the argument of each.
KINDS = {
    "mlflow": "a store's file or folder, or the address of a server",
    "dvc-exp": "nothing",
    "dvclive": "a folder",
    "csv": "a file",
    "ndjson": "a file",
    "parquet": "a file",
    "wandb": "an export (.csv or .json)",
    "aim": "an export (.csv or .json)",
    "tensorboard": "a log folder",
}
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet",
    ".pq": "parquet",
}  # fmt: skip


def find_source(project: Project, words: tuple[str, ...]) -> RunSource:
    """Return the source for ``KIND FILE``, ``KIND:FILE`` or a file alone.

    Raises UsageError for an unknown kind, XexpError for a missing file.
    """
    kind, _, place = words[0].partition(":")
    if kind not in KINDS:
        kind, place = _kind_of(words[0]), words[0]
        if len(words) > 1:
            raise UsageError(
                f"'{words[0]}' is not a kind of source", f"these are: {', '.join(KINDS)}"
            )
    elif len(words) == 2 and not place:
        place = words[1]
    elif len(words) > 1:
        raise UsageError("one source at a time", "import one after the other")
    if kind == "mlflow":
        return _mlflow(project, place)
    if kind == "dvc-exp":
        if place:
            raise UsageError(
                "dvc-exp takes no path: it reads the experiments of this repository",
                "git xexp import dvc-exp",
            )
        return DvcExperiments(project)
    if not place:
        raise UsageError(f"{kind} is followed by {KINDS[kind]}", f"git xexp import {kind} PATH")
    path, name = Path(place), f"{kind}:{place}"
    _check_links(project, path)
    if not path.exists():
        raise XexpError(f"no such file or folder: {place}", f"{kind} is followed by {KINDS[kind]}")
    if kind == "dvclive":
        return DvcLiveFolder(path, name)
    if kind == "tensorboard":
        return EventFiles(path, name)
    if path.is_dir():
        raise XexpError(
            f"{place} is a folder, and {kind} is followed by {KINDS[kind]}",
            "git xexp import -h shows the usage",
        )
    return TableFile(path, kind, name, role_rules(project.config))


def _kind_of(place: str) -> str:
    """The kind of a file or folder that is named alone."""
    path = Path(place)
    scheme = urlsplit(place).scheme
    if scheme in ("http", "https", "sqlite", "file", "databricks"):
        return "mlflow"
    if not path.exists():
        names = [*KINDS, *(str(one) for one in Path().iterdir())]
        raise XexpError(
            f"'{place}' is not a file, folder or kind of source",
            suggestion(place, names, f"kinds are: {', '.join(KINDS)}"),
        )
    if path.is_dir():
        if mlflow_files.ADAPTER.knows(path):
            return "mlflow"
        if dvclive.ADAPTER.knows(path):
            return "dvclive"
        if next(path.rglob("*tfevents*"), None) is not None:
            return "tensorboard"
    elif mlflow_database.ADAPTER.knows(path):
        return "mlflow"
    elif path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if path.suffix.lower() in (".json", ".toml", ".yaml", ".yml"):
        raise XexpError(
            f"cannot tell what wrote {place}",
            f"an export of W&B or Aim: git xexp import wandb {place}\n"
            f"a configuration: git xexp registry import {place}",
        )
    raise XexpError(
        f"cannot tell what wrote {place}",
        f"name its kind: git xexp import KIND {place} ({', '.join(KINDS)})",
    )


def _check_links(project: Project, path: Path) -> None:
    """Raise Refused for a link of the work tree that leads out of it: it may have come with a
    clone."""
    below = project.inside(path.absolute())
    if below not in (None, "."):
        work_file(project.top, str(below))


def _mlflow(project: Project, place: str) -> RunSource:
    """MLflow's store at ``place``; by default where MLflow itself would look."""
    if not place:
        found = (p for p in ("mlflow.db", "mlruns") if Path(p).exists())
        place = os.environ.get("MLFLOW_TRACKING_URI") or next(found, "")
    if not place:
        raise XexpError("there is no mlflow.db and no mlruns here", "git xexp import mlflow:PATH")
    name, path = f"mlflow:{place}", local_path(place)
    if path is None:
        return MlflowServer(name, place)
    _check_links(project, path)
    if not path.exists():
        raise XexpError(f"no such MLflow store: {place}", "check the path")
    if path.is_dir():
        if not mlflow_files.ADAPTER.knows(path):
            inner = path / "mlruns"
            if not mlflow_files.ADAPTER.knows(inner):
                raise XexpError(
                    f"{place} is not an MLflow store", "it has no experiments (meta.yaml)"
                )
            path = inner
        return MlflowFolder(path, name)
    if not mlflow_database.ADAPTER.knows(path):
        raise XexpError(f"{place} is not an MLflow store", "it has no tables of MLflow")
    return MlflowStore(path, name)
