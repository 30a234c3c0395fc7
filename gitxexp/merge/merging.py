"""``merge`` and ``rebase`` of artifacts: found at their sources, merged here, recorded, undoable."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gitxexp.errors import UsageError, XexpError
from gitxexp.merge import applying, engine, jobs, rowdiff
from gitxexp.merge.asking import Artifact, Conflicted, Merged, Origin, Request
from gitxexp.merge.contents import Contents
from gitxexp.merge.engine import Engine
from gitxexp.merge.jobs import Found, Job
from gitxexp.merge.plan import MergeOptions, MergeReport, Mode, Progress
from gitxexp.merge.rowchanges import TableDiff
from gitxexp.project import Project

LISTED = 100  #: rows of a table that the plan of a rebase names; their number is told anyway


def plan(project: Project, request: Request, progress: Progress | None = None) -> Merged:
    """What :func:`merge` would do; nothing is written."""
    with _found(project, request, progress) as found:
        done = [_planned(project, request, job, progress) for job in found.jobs]
        models = tuple(applying.model_path(project, item) for item in found.models)
        return Merged(tuple(done), models, found.notes)


def merge(
    project: Project, request: Request, progress: Progress | None = None, *, wait: bool = True
) -> Merged:
    """Merge the sources' artifacts into this work tree's, all or none, as one operation.

    Raises Conflicted where the options do not settle a conflict, XexpError for what cannot be read.
    """
    project.require_set_up()
    if request.commit and applying.in_stage():
        raise UsageError("--commit inside a DVC stage", "let dvc repro finish, then commit")
    with _found(project, request, progress) as found:
        work = applying.Work(project, request.engine, request.options, progress)
        with project.operation(str(request.mode), wait=wait) as running:
            done = [work.apply(running, job) for job in found.jobs]
            merged = Merged(tuple(_artifact(*item) for item in done), (), found.notes)
            if any(a.report.conflicts and not a.report.written for a in merged.artifacts):
                raise Conflicted(merged)
            models = work.lay_beside(running, found.models)
            record = work.record(running, merged.artifacts, request)
            commit = None
            if request.commit and record:
                commit = work.commit(running, record, request.message or title(merged))
            running.summary.append(title(merged))
            changed = any(artifact.report.changed for artifact in merged.artifacts)
            running.outcome["unchanged"] = not (changed or models)
        notes = (*merged.notes, *work.notes)
        advice = None if commit else applying.advice(record, models, title(merged))
        return replace(merged, models=models, notes=notes, commit=commit, advice=advice)


def _artifact(job: Job, report: MergeReport, before: str, after: str) -> Artifact:
    given = dict.fromkeys(item.source for item in job.incoming)
    origins = tuple(Origin(s.name, s.version, s.commit or "") for s in given)
    return Artifact(job.path, job.strategy.mode or Mode.MERGE, origins, report, before, after)


def title(merged: Merged) -> str:
    """One line: ``Merge results of lr-sweep into results/experiments.db``."""
    names = list(dict.fromkeys(o.name for a in merged.artifacts for o in a.origins))
    paths = [a.path for a in merged.artifacts if a.report.changed]
    rebase = any(a.mode is Mode.REBASE for a in merged.artifacts)
    verb = "Rebase" if rebase else "Merge"
    into = f" into {', '.join(paths)}" if paths else ""
    return f"{verb} results of {', '.join(names)}{into}"


def files(
    names: Sequence[str],
    out: Path,
    options: MergeOptions,
    chosen: Engine = Engine.AUTO,
    progress: Progress | None = None,
    *,
    write: bool = True,
) -> Merged:
    """Merge plain files into ``out``, no repository needed; an ``out`` that is there is the target.

    Raises Conflicted or XexpError.
    """
    given = engine.expand(names)
    incoming = [p for p in given if not (out.exists() and p.exists() and p.samefile(out))]
    if not incoming:
        raise UsageError("there is only one file", "name the files to merge into it as well")
    report = engine.merge(out, incoming, None, options, progress, engine=chosen, write=write)
    going: tuple[TableDiff, ...] = ()
    if options.mode is Mode.REBASE and not write and out.exists():
        with tempfile.TemporaryDirectory(prefix="xexp-plan-") as folder:
            going = _going(out, incoming, Path(folder), replace(options, in_place=False), report)
    origins = tuple(Origin(str(path)) for path in incoming)
    merged = Merged((Artifact(str(out), options.mode, origins, report, going=going),))
    if write and report.conflicts and not report.written:
        raise Conflicted(merged)
    return merged


@contextmanager
def _found(project: Project, request: Request, progress: Progress | None) -> Iterator[Found]:
    """The jobs, with a private folder for what has to be fetched."""
    try:
        project.state.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix="merge-", dir=project.state)
    except OSError as error:
        raise XexpError(f"cannot write to {project.state}: {error.strerror}") from error
    with folder as name:
        mode = request.mode if request.mode is Mode.REBASE else None
        contents = Contents(project, Path(name), progress)
        yield jobs.find(
            project, request.sources, request.selection, contents, request.strategy, mode
        )


def _planned(project: Project, request: Request, job: Job, progress: Progress | None) -> Artifact:
    """One job's plan. The output is elsewhere: a linked target may be planned for as it is."""
    options = replace(job.strategy.over(request.options), in_place=False)
    with tempfile.TemporaryDirectory(prefix="plan-", dir=project.state) as folder:
        target = applying.content_here(project, job, Path(folder))
        report = engine.merge(
            target,
            applying.distinct(job, target),
            Path(folder) / os.path.basename(job.path),  # noqa: PTH119
            options,
            progress,
            engine=request.engine,
            write=False,
        )
        artifact = _artifact(job, report, "", "")
        if options.mode is not Mode.REBASE or not target.exists():
            return artifact
        incoming = applying.distinct(job, target)
        return replace(artifact, going=_going(target, incoming, Path(folder), options, report))


def _going(
    target: Path, incoming: Sequence[Path], folder: Path, options: MergeOptions, report: MergeReport
) -> tuple[TableDiff, ...]:
    """The rows that a rebase replaces, as a difference to its result (made beside, thrown away)."""
    if report.conflicts or not any(table.replaced for table in report.tables):
        return ()
    out = folder / f"result-{target.name}"
    if not engine.merge(target, incoming, out, options).written:
        return ()
    return rowdiff.diff_files(target, out, options.key, limit=LISTED)
