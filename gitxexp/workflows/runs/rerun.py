"""``rerun``: run a past experiment again in a temporary worktree and compare.

The worktree is at the commit that ran, with that commit's data (fetched if needed) and results
databases without rows. The user's work tree, results, registry and operation log are unchanged,
unless the run is kept.
"""

from __future__ import annotations

import fcntl
import math
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.values import is_number
from gitxexp.repository import config as settings
from gitxexp.repository.config_hash import config_hash
from gitxexp.repository.numbers import taken
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.repository.version import Level
from gitxexp.storage.git import Git, GitError
from gitxexp.storage.objects import Progress, hash_file
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.collect import RunChoice, collect
from gitxexp.workflows.experiments.resolve import resolve
from gitxexp.workflows.runs import parameters, record
from gitxexp.workflows.runs.environment import RunContext, environment, uses
from gitxexp.workflows.runs.record import RowsFound, RunFolders, RunRecord, Status
from gitxexp.workflows.runs.software import Software, software
from gitxexp.workflows.sweeps import job as jobs
from gitxexp.workflows.sweeps import pool, results
from gitxexp.workflows.sweeps.job import Job, JobOutcome

#: The default relative tolerance: larger than the effect of summation order.
RTOL = 1e-6


@dataclass(frozen=True)
class RerunRequest:
    """What the user asked for. ``name``: a version, the id of a record, or a tracker's run."""

    name: str
    command: tuple[str, ...] = ()  #: () means the recorded one
    rtol: float = RTOL
    atol: float = 0.0
    keep: bool = False
    timeout: float | None = None


@dataclass(frozen=True)
class Past:
    """What to run again: the commit and the command, and the recorded results."""

    name: str
    version: str
    commit: str
    command: tuple[str, ...]
    metrics: Mapping[str, Any]
    record: RunRecord | None = None


@dataclass(frozen=True)
class ComparedMetric:
    """A metric then and now, None if absent; ``within`` the tolerance or not."""

    name: str
    before: Any
    after: Any
    within: bool

    @property
    def delta(self) -> float | None:
        """The change, if both are numbers."""
        both = is_number(self.before) and is_number(self.after)
        return float(self.after - self.before) if both else None


@dataclass(frozen=True)
class ChangedPackage:
    """A package that differs now; "" if it is not installed."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Rerun:
    """A past experiment that was run again. ``outputs``: for each output with a recorded hash,
    whether it has the same bytes now. ``kept``: the record of the new run, if it was to be kept."""

    past: Past
    metrics: tuple[ComparedMetric, ...]
    packages: tuple[ChangedPackage, ...]
    outputs: Mapping[str, bool]
    seconds: float
    kept: RunRecord | None = None
    notes: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        """Whether every recorded metric came out the same, within the tolerance."""
        return all(one.within for one in self.metrics)


class NotRun(XexpError):
    """The command failed. ``code`` is its exit code, ``tail`` the end of its log."""

    def __init__(self, message: str, hint: str | None, code: int, tail: str) -> None:
        super().__init__(message, hint, 130 if code == 130 else None)
        self.code = code
        self.tail = tail


def rerun(
    project: Project,
    request: RerunRequest,
    *,
    echo: bool = False,
    out: int = 1,
    progress: Progress | None = None,
    started: Callable[[], None] | None = None,
    wait: bool = True,
) -> Rerun:
    """Run a past experiment again and compare its metrics; see the module. ``started`` is called when
    its worktree is ready, before the command prints anything.

    Raises XexpError if it cannot be run: no command or metric is recorded, its commit or data is
    missing, or the command is missing or fails (:class:`NotRun`).
    """
    project.require_set_up()
    past = find_past(project, request)
    id = record.new_id()
    with _folder(project, id) as folder:
        tree = pool.make(
            project, folder / "trees", past.commit, 1, progress,
            needs=lambda path: describe.role(path, project.config) is describe.OutputRole.DATA,
        )[0]  # fmt: skip
        _prepare(project, past, tree.top)
        tree.seal()
        config = settings.load(tree.top, project.settings, project.folder)
        job = _job(project, request, past, id, tree.top, config)
        new = software(job.command, environment(job.context), tree.top)
        if started is not None:
            started()
        try:
            outcome = jobs.run(job, lambda: False, echo=echo, out=out)
            _refuse_failed(past, outcome)
            done = Rerun(
                past=past,
                metrics=tuple(_compared(past.metrics, outcome.metrics, request)),
                packages=tuple(_changed(project, past, new)),
                outputs=_same_outputs(past, job, outcome),
                seconds=outcome.ended - outcome.started,
                notes=outcome.notes,
            )
            if request.keep:
                done = _kept(project, past, job, outcome, new, done, wait=wait)
            return done
        finally:
            if not request.keep:
                shutil.rmtree(job.folder, ignore_errors=True)


# -- the source ------------------------------------------------------------------------------------


def find_past(project: Project, request: RerunRequest) -> Past:
    """Return the run or experiment to rerun. Raises XexpError if it cannot be run again."""
    records = record.read(project)
    run_record = record.find(records, request.name)
    experiment = None if run_record else _experiment(project, request.name, records)
    if experiment is not None:
        named = [one for one in records if one.named(experiment.payload.run or "?")]
        untagged = (one for one in named if not one.version)
        run_record = next(untagged, named[0] if named else None)
    if run_record is None and experiment is None:
        raise AssertionError("unreachable: _experiment raises")
    command = request.command or (run_record.command if run_record else ())
    name = (
        experiment.name
        if experiment
        else run_record.version or run_record.id
        if run_record
        else request.name
    )
    if not command:
        raise XexpError(
            f"no command is recorded for {name}",
            f"name it: git xexp rerun {shlex.quote(request.name)} -- python train.py",
        )
    metrics = run_record.metrics if run_record else experiment.payload.metrics if experiment else {}
    if not metrics:
        raise XexpError(
            f"{name} has no metrics to compare with",
            "name a run with metrics: git xexp explore list --runs",
        )
    commit = run_record.run_commit if run_record else ""
    commit = commit or (experiment.commit if experiment else "")
    known = project.git.resolve(commit) if commit else None
    if known is None:
        raise XexpError(
            f"the commit that ran is not here: {commit or 'not known'}", "git fetch --all"
        )
    version = experiment.name if experiment else run_record.version if run_record else ""
    return Past(name, version, known, tuple(command), metrics, run_record)


def _experiment(project: Project, name: str, records: Sequence[RunRecord]) -> Experiment:
    resolved = resolve(project, name)
    if resolved.experiment is None or not resolved.exact:
        words = [one.name for one in project.experiments()] + [one.id for one in records]
        raise XexpError(
            f"'{name}' is not an experiment or a record of a run",
            suggestion(name, words, "git xexp explore list --runs"),
        )
    return resolved.experiment


# -- the worktree ----------------------------------------------------------------------------------


@contextmanager
def _folder(project: Project, id: str) -> Iterator[Path]:
    """A private folder, removed afterwards with those of killed reruns."""
    home = project.state / "rerun"
    _clean(project, home)
    folder = home / id
    folder.mkdir(parents=True)
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
    finally:
        _remove(project, folder)


def _clean(project: Project, home: Path) -> None:
    for lock in home.glob("*/lock"):
        with suppress(OSError), lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            jobs.end_processes(lock.parent.name)
            _remove(project, lock.parent)


def _remove(project: Project, folder: Path) -> None:
    pool.remove(project, folder / "trees")
    shutil.rmtree(folder, ignore_errors=True)


def _prepare(project: Project, past: Past, top: Path) -> None:
    """Restore uncommitted state of the run: a patch, or the parameters that a sweep set."""
    run_record = past.record
    if run_record is None:
        return
    folders = RunFolders(project.state)
    if run_record.patch:
        patch = folders.of(run_record.id) / "patch"
        if not patch.is_file():
            raise XexpError(
                f"{past.name} ran with changes that are in no commit, and its patch is not here",
                f"it was kept on {run_record.host}",
            )
        try:
            Git(top, foreign=True).raw("apply", "--whitespace=nowarn", "--", str(patch))
        except GitError as error:
            raise XexpError(
                f"the patch of {past.name} does not apply: {error.detail}",
                f"see how its code differed: git apply --stat {patch}",
            ) from error
    if run_record.sweep:
        _set_parameters(project, run_record, top)


def _set_parameters(project: Project, found: RunRecord, top: Path) -> None:
    """The parameter files as the sweep wrote them; if they are not kept, the values that it set."""
    config = settings.load(top, project.settings, project.folder)
    folders = RunFolders(project.state)
    for path in config.params_files:
        kept = folders.kept(found.id, path)
        if (
            kept.is_file()
            and (top / path).is_file()
            and f"md5:{hash_file(kept)}" == found.kept.get(path)
        ):
            shutil.copyfile(kept, top / path)
    missing = {*parameters.unknown(top, config, found.params)}
    values = {name: value for name, value in found.params.items() if name not in missing}
    parameters.write(top, parameters.plan(top, config, values))


def _job(
    project: Project, request: RerunRequest, past: Past, id: str, top: Path, config: settings.Config
) -> Job:
    folders, run_record = RunFolders(project.state), past.record
    version = past.version
    if request.keep:
        version = str(taken(project, project.tags()).following(Level.PATCH))
    own = collect(top, config, RunChoice(files_only=True, ahead=True)).params
    context = RunContext(
        run=id,
        version=version,
        commit=past.commit,
        branch="",
        data=run_record.data if run_record else "",
        config_hash=run_record.config_hash
        if run_record and run_record.config_hash
        else config_hash(own),
        log=folders.log(id),
    )
    recorded = run_record.params if run_record else {}
    return Job(
        number=1, attempt=1, tree=top, folder=folders.of(id), below=run_record.folder if run_record else "",
        command=_once_more(past.command),
        params={name: value for name, value in recorded.items() if uses(past.command, name)},
        whole=dict(recorded), context=context, variables={}, config=config, timeout=request.timeout,
        home=project.top,
    )  # fmt: skip


def _once_more(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command; of ``dvc repro`` without DVC's cache of runs, which would restore the old
    outputs and run nothing (dvc.org/doc/command-reference/repro, ``--force``)."""
    words = [Path(command[0]).name, *command[1:]] if command else []
    at = next((n for n in range(len(words) - 1) if words[n : n + 2] == ["dvc", "repro"]), None)
    if at not in (0, 2) or {"-f", "--force"}.intersection(words):  # dvc, or python -m dvc
        return command
    return (*command[: at + 2], "--force", *command[at + 2 :])


def _refuse_failed(past: Past, outcome: JobOutcome) -> None:
    """Raise NotRun if the command failed."""
    command = " ".join(map(shlex.quote, past.command))
    if outcome.why == "error":
        raise NotRun(f"cannot run {past.name} again: {outcome.tail}", None, 127, "")
    if outcome.why == "timeout":
        raise NotRun(f"{past.name} timed out", None, outcome.code, outcome.tail)
    if outcome.why == "interrupted":
        raise NotRun("interrupted; nothing was changed", None, 130, "")
    if outcome.code:
        raise NotRun(
            f"{past.name} could not be run again: exit code {outcome.code}",
            f"the command was: {command}", outcome.code, outcome.tail,
        )  # fmt: skip


# -- the comparison --------------------------------------------------------------------------------


def _compared(
    before: Mapping[str, Any], after: Mapping[str, Any], request: RerunRequest
) -> Iterator[ComparedMetric]:
    for name, old in before.items():
        new = after.get(name)
        yield ComparedMetric(name, old, new, within(old, new, request.rtol, request.atol))


def within(before: Any, after: Any, rtol: float, atol: float) -> bool:
    """Whether two values are equal within ``atol + rtol * |before|`` (as in numpy.isclose, with the
    recorded value as reference); two NaN are equal."""
    if not (is_number(before) and is_number(after)):
        return bool(before == after)
    if math.isnan(before) or math.isnan(after):
        return math.isnan(before) and math.isnan(after)
    if math.isinf(before) or math.isinf(after):
        return bool(before == after)
    return bool(abs(after - before) <= atol + rtol * abs(before))


def _changed(project: Project, past: Past, new: Software) -> Iterator[ChangedPackage]:
    """Return what differs, as far as both are known: Python, then the packages."""
    run_record = past.record
    if run_record is None or not run_record.packages or not new.packages:
        return
    if run_record.python and run_record.python != new.python:
        yield ChangedPackage("python", run_record.python, new.python)
    if run_record.packages == new.hash:
        return
    before = dict(_pair(line) for line in project.registry.packages(run_record.packages))
    after = dict(map(_pair, new.packages))
    for name in sorted(before.keys() | after.keys()) if before else ():
        if before.get(name) != after.get(name):
            yield ChangedPackage(name, before.get(name, ""), after.get(name, ""))


def _pair(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return name, version


def _same_outputs(past: Past, job: Job, outcome: JobOutcome) -> dict[str, bool]:
    hashes = past.record.outputs if past.record else {}
    same = {}
    for kept in outcome.kept:
        then = hashes.get(kept.path, "")
        file = job.kept / kept.path.replace("%", "%25").replace("/", "%2F")
        if then and kept.role in ("model", "output") and file.is_file():
            same[kept.path] = then == f"md5:{hash_file(file)}"
    return same


# -- kept ------------------------------------------------------------------------------------------


def _kept(
    project: Project,
    past: Past,
    job: Job,
    outcome: JobOutcome,
    new: Software,
    done: Rerun,
    *,
    wait: bool,
) -> Rerun:
    """Record the run, merge its rows into the results and keep its files with its log."""
    folders = RunFolders(project.state)
    kept: dict[str, str] = {}
    rows: dict[str, list[Path]] = {}
    for each in outcome.kept:
        file = folders.kept(job.context.run, each.path)
        if each.role == "results":
            rows.setdefault(each.path, []).append(file)
        else:
            kept[each.path] = f"md5:{hash_file(file)}"
    found: tuple[RowsFound, ...] = ()
    before = past.record
    if outcome.tracker_run:
        found = (RowsFound(outcome.results, outcome.table, outcome.tracker_run, outcome.rows),)
    status: Status = "done"
    made = RunRecord(
        id=job.context.run, status=status, command=past.command, folder=job.below, code=outcome.code,
        started=record.timestamp(outcome.started), ended=record.timestamp(outcome.ended),
        python=new.python, packages=new.hash, params=outcome.params, metrics=outcome.metrics,
        config_hash=job.context.config_hash, data=job.context.data, run_commit=past.commit,
        code_hash=before.code_hash if before else "", patch=before.patch if before else "",
        outputs=kept, kept=kept, log=outcome.log_hash, tables=found,
        note=f"{record.RERUN}{past.name}", **record.whose(),
    )  # fmt: skip
    with project.locked(wait=wait):
        merged = results.merge(project, rows)
        record.write(project, [made], {new.hash: new.packages} if new.hash else {})
    for files in rows.values():
        for file in files:
            if file not in merged.refused:
                file.unlink(missing_ok=True)
    (job.folder / "outcome.json").unlink(missing_ok=True)
    if before is not None and before.patch:
        with suppress(OSError):
            os.link(folders.of(before.id) / "patch", job.folder / "patch")
    notes = [f"its rows are not merged: {why}" for why in merged.refused.values()]
    return replace(done, kept=made, notes=(*done.notes, *notes))
