"""Warnings that ``tag`` shows with its result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitxexp.common.text import some
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Tags
from gitxexp.trackers.run import Run
from gitxexp.trackers.stamps import Stampable, stampable
from gitxexp.workflows.experiments.collect import Collected

#: Words of schedulers and trackers for a run that failed or has not finished.
_NOT_FINISHED = frozenset(("failed", "fail", "crashed", "killed", "error", "aborted", "cancelled", "canceled",
                           "preempted", "timeout", "pruned", "running"))  # fmt: skip


def of(
    project: Project,
    payload: Payload,
    found: tuple[Collected, Tags, str | None],
    absent: Sequence[str],
    staged: Sequence[str],
) -> Iterable[str]:
    """Return warnings about outputs ``absent`` from the work tree, files that the user ``staged``
    and the commit ignores, the run, the branch (the last of ``found``, None if HEAD is detached)
    and the results databases."""
    collected, tags, branch = found
    if absent:
        names = some(absent, 3)
        yield f"not in the work tree, and taken as the last commit has it: {names} (dvc pull)"
    if staged:
        yield f"staged, and not part of the snapshot: {', '.join(staged)}"
    if left_out := _left_out(project):
        yield f"left out of this sparse checkout, so not on record: {some(left_out, 3)}"
    yield from collected.notes
    if collected.run is not None:
        yield from _end(collected.run)
    if branch is None:
        yield "HEAD is detached: only the tag will keep this commit"
    before = next(iter(tags.of_run(payload.run)), None)
    if before:
        yield f"run {payload.run} was tagged before, as {before.name}"
    databases = dict.fromkeys(project.config.results_databases)
    if collected.run and (inside := project.inside(collected.run.database)):
        databases[inside] = None
    for database in databases:
        if not project.config.has(database):
            continue  # another project tracks it
        if (project.top / database).is_file() and not _is_tracked(project, database, payload):
            add = project.typed(database)
            yield f"{database} is tracked by neither git nor DVC: dvc add {add}"


def _left_out(project: Project) -> list[str]:
    """The files of parameters and metrics that a sparse checkout keeps out of the work tree."""
    config = project.config
    names = (*config.params_files, *config.metrics_files)
    missing = [f":(literal){name}" for name in names if not (project.top / name).exists()]
    listed = project.at_top.fields("ls-files", "-t", "-z", "--", *missing) if missing else []
    return [line[2:] for line in listed if line.startswith("S ")]


def _end(run: Run) -> Iterable[str]:
    """Return a warning about a run that its tracker says did not finish."""
    for name, value in run.values.items():
        said = isinstance(value, str) and value.casefold() in _NOT_FINISHED
        if said and name.casefold().split("_")[-1] in ("status", "state"):
            yield f"run {run.id} did not finish: its tracker says {name}={value}"


def _is_tracked(project: Project, path: str, payload: Payload) -> bool:
    inside = any(path == out or path.startswith(f"{out}/") for out in payload.artifacts)
    return inside or project.at_top.tracks(path)


def stamps(
    project: Project, run: Run | None, asked: bool | None
) -> tuple[tuple[Stampable, ...], list[str]]:
    """Return the tables of ``run`` to stamp, and a warning if the user requested it and there is
    none. ``asked`` is the command-line choice, None if not given."""
    if run is None:
        return (), []
    wanted = project.config.results_stamp if asked is None else asked
    found = tuple(stampable(run, wanted))
    if found or not wanted:
        return found, []
    name = project.inside(run.database) or run.database
    return (), [f"rows are not stamped: {name} is a store of another program or a parquet file"]
