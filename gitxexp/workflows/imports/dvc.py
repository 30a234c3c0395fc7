"""Experiments of ``dvc exp`` and folders of DVCLive.

``dvc exp run`` keeps each experiment as a commit under ``refs/exps/BB/BASELINE/NAME``
(``dvc/repo/experiments/refs.py``); DVC itself reports its parameters and metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.values import is_number
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.repository import Project
from gitxexp.trackers.adapter import RunQuery
from gitxexp.trackers.adapters import dvclive
from gitxexp.workflows.imports.source import LoggedValue, Progress, Sink, SourceRun

_REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38,62})/([^/]+)")


@dataclass(frozen=True)
class DvcExperiments:
    """The experiments that ``dvc exp`` keeps in the repository."""

    project: Project
    name: str = "dvc-exp"

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Every experiment of every baseline."""
        refs = self.project.git.refs("refs/exps/")
        matches = [
            (match, commit) for ref, commit in refs.items() if (match := _REF.fullmatch(ref))
        ]
        if not matches:
            raise XexpError(
                "there are no experiments of dvc exp here",
                "fetch them from a git remote: dvc exp pull REMOTE --all-commits",
            )
        commits = list(dict.fromkeys(commit for _, commit in matches))
        values = _values(self.project, commits)
        written = _commits(self.project, commits)
        for number, (match, commit) in enumerate(matches):
            params, metrics = values.get(commit, ({}, {}))
            numbers = {name: value for name, value in metrics.items() if is_number(value)}
            others = {name: value for name, value in metrics.items() if name not in numbers}
            user, date = written[commit]
            sink(
                SourceRun(
                    origin="dvc-exp",
                    id=commit,
                    name=match[3],
                    user=user,
                    ended=date,
                    commit=commit,
                    params=params,
                    metrics=numbers,
                    tags={"baseline": match[1] + match[2], **others},
                )
            )
            if progress is not None:
                progress(number + 1, len(matches), "experiments")


def _values(
    project: Project, commits: list[str]
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Commit → parameters and metrics by dotted name, as ``dvc params`` and ``dvc metrics`` have them."""
    from gitxexp.storage.dvc.session import opened

    with opened(project.top, "show") as repo:
        params = repo.params.show(revs=commits, hide_workspace=True)
        metrics = repo.metrics.show(revs=commits, hide_workspace=True)
    return {
        commit: (_of_files(params.get(commit, {})), _of_files(metrics.get(commit, {})))
        for commit in commits
    }


def _of_files(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all files of one revision; none for an unreadable one."""
    values: dict[str, Any] = {}
    files = shown.get("data")
    for file in files.values() if isinstance(files, Mapping) else ():
        content = file.get("data") if isinstance(file, Mapping) else None
        if isinstance(content, Mapping):
            values |= {str(name): value for name, value in flatten(_plain(content)).items()}
        elif is_number(content):
            values.setdefault("metric", content)
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _commits(project: Project, commits: list[str]) -> dict[str, tuple[str, str]]:
    """Commit → who made it, and when (ISO 8601)."""
    stdin = "".join(f"{commit}\n" for commit in commits).encode()
    fields = project.git.raw(
        "log", "--no-walk=unsorted", "--stdin", "-z", "--format=%H%x1f%an%x1f%ct", stdin=stdin
    )
    found: dict[str, tuple[str, str]] = {}
    for line in fields.decode("utf-8", "replace").split("\0"):
        if line:
            commit, name, seconds = line.split("\x1f")
            date = datetime.fromtimestamp(int(seconds), UTC).isoformat(" ")
            found[commit] = name, date
    return found


@dataclass(frozen=True)
class DvcLiveFolder:
    """A folder of DVCLive, which has one run."""

    path: Path
    name: str

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Its run."""
        adapter = dvclive.ADAPTER
        if not adapter.knows(self.path):
            raise XexpError(f"{self.path} is not a DVCLive folder", "it has no metrics.json")
        for run in adapter.runs(self.path, RunQuery()):

            def logged(own: Any = run) -> Iterator[LoggedValue]:
                for metric in own.metrics:
                    for point in adapter.series(own, metric):
                        yield metric, point.step, None, point.value

            sink(
                SourceRun(
                    origin="dvclive", id=run.id, params=run.params, metrics=run.metrics,
                    tags=run.context, points=logged(),
                )
            )  # fmt: skip
