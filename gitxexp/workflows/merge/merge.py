"""``merge`` and ``rebase``: merge the rows of other experiments into this work tree, as one
operation."""

from __future__ import annotations

import dataclasses
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, UsageError, XexpError
from gitxexp.common.files import Folder, atomic_write, database_kind
from gitxexp.common.text import counted
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config, registry
from gitxexp.repository.files import Created, FileSealed
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.tags import run_of_content
from gitxexp.storage import paths
from gitxexp.storage.dvc.add import add
from gitxexp.storage.dvc.changes import status
from gitxexp.storage.dvc.databases import own_copy
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.remote import checkout, fetch
from gitxexp.storage.objects import Objects, hash_file
from gitxexp.tables import engine, row_diff
from gitxexp.tables.duckdb.write import settle
from gitxexp.tables.engine import Engine
from gitxexp.tables.plan import MergeOptions, MergeReport, Mode, Progress
from gitxexp.tables.row_changes import TableDiff
from gitxexp.tables.rules import clashing_numbers
from gitxexp.workflows.experiments import collect
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.merge import inputs
from gitxexp.workflows.merge.inputs import (
    CommitContents,
    IncomingFile,
    MergeInputs,
    MergeJob,
    Selection,
)
from gitxexp.workflows.models import inventory
from gitxexp.workflows.models.cache import objects_noted

LISTED = 100  #: rows per table listed in a rebase plan; the total is always given


@dataclass(frozen=True)
class MergeRequest:
    """What to merge and how. ``mode`` REBASE is the ``rebase`` command; MERGE leaves it to the
    strategy."""

    sources: tuple[str, ...]
    mode: Mode = Mode.MERGE
    strategy: str | None = None
    selection: Selection = field(default_factory=Selection)
    options: MergeOptions = field(default_factory=MergeOptions)
    engine: Engine = Engine.AUTO
    commit: bool = False
    message: str | None = None


def request(sources: Sequence[str], rebase: bool, options: dict[str, Any]) -> MergeRequest:
    """Create a request from keyword arguments: those of MergeRequest, ``only``, ``models`` and
    MergeOptions'."""
    given = dict(options)
    own = ("strategy", "engine", "commit", "message")
    fixed = {name: given.pop(name) for name in own if name in given}
    if "engine" in fixed:
        fixed["engine"] = Engine(fixed["engine"])
    selection = Selection(tuple(given.pop("only", ())), bool(given.pop("models", False)))
    mode = Mode.REBASE if rebase else Mode.MERGE
    merge_options = MergeOptions(mode=mode, **given)
    return MergeRequest(tuple(sources), mode, selection=selection, options=merge_options, **fixed)


@dataclass(frozen=True)
class MergedSource:
    """One source: its name as given, its version and commit if any."""

    name: str
    version: str = ""
    commit: str = ""


@dataclass(frozen=True)
class MergedArtifact:
    """The outcome, actual or planned, for one target. Hashes are ``md5:…``, "" if unknown."""

    path: str
    mode: Mode
    origins: tuple[MergedSource, ...]
    report: MergeReport
    hash_before: str = ""
    hash_after: str = ""
    going: tuple[TableDiff, ...] = ()  #: in a rebase plan: the first rows that are replaced


@dataclass(frozen=True)
class Merged:
    """The result of one command: per artifact, models added as candidates, notes, the next command."""

    artifacts: tuple[MergedArtifact, ...]
    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    commit: str | None = None
    advice: str | None = None

    @property
    def changed(self) -> bool:
        """Whether anything changed (or would)."""
        return bool(self.models) or any(a.report.changed for a in self.artifacts)

    @property
    def conflicts(self) -> bool:
        """Whether a conflict prevents it from being written."""
        return any(a.report.conflicts and not a.report.written for a in self.artifacts)


class Conflicted(NoAnswer):
    """Conflicts that the options do not resolve; nothing was written. ``merged`` holds them."""

    def __init__(self, merged: Merged) -> None:
        count = sum(len(a.report.conflicts) for a in merged.artifacts)
        numbers = clashing_numbers(c for a in merged.artifacts for c in a.report.conflicts)
        super().__init__(
            f"{counted(count, 'conflict')}: nothing was written",
            "settle them in the sources, or take one side: --on-conflict ours, --on-conflict theirs"
            + ("; or keep both under new ids: --renumber" if numbers else ""),
        )
        self.merged = merged


def plan(project: Project, request: MergeRequest, progress: Progress | None = None) -> Merged:
    """Return what :func:`merge` would do, including conflicts; nothing is written. Raises XexpError
    for what it would refuse."""
    project.require_set_up()
    if request.commit and in_stage():
        raise UsageError("--commit inside a DVC stage", "let dvc repro finish, then commit")
    with _inputs(project, request, progress) as given:
        done = [_planned(project, request, job, progress) for job in given.jobs]
        models = tuple(model_path(project, item) for item in given.models)
        return Merged(tuple(done), models, given.notes)


def merge(
    project: Project, request: MergeRequest, progress: Progress | None = None, *, wait: bool = True
) -> Merged:
    """Merge the sources' artifacts into this work tree's, all or none, as one operation.

    Raises Conflicted if the options do not resolve a conflict, XexpError for unreadable inputs.
    """
    project.recover_first(wait=wait)
    project.require_set_up()
    if request.commit and in_stage():
        raise UsageError("--commit inside a DVC stage", "let dvc repro finish, then commit")
    with _inputs(project, request, progress) as given:
        return merge_inputs(project, request, given, str(request.mode), progress, wait=wait)


def merge_inputs(
    project: Project,
    request: MergeRequest,
    given: MergeInputs,
    verb: str,
    progress: Progress | None = None,
    *,
    wait: bool = True,
) -> Merged:
    """Run :func:`merge` on already resolved inputs, as an operation named ``verb``."""
    work = _Merge(project, request.engine, request.options, progress)
    with project.operation(verb, wait=wait) as running:
        merged = Merged(tuple(work.apply(running, job) for job in given.jobs), (), given.notes)
        if merged.conflicts:
            raise Conflicted(merged)
        models = work.add_candidates(running, given.models)
        record = work.record(running, merged.artifacts)
        commit, said = None, title(merged)
        if verb != str(request.mode):
            said = request.message or said
        if request.commit and record:
            commit = work.commit(
                running, record, request.message or said, verbatim=bool(request.message)
            )
        running.summary.append(said)
        changed = any(artifact.report.changed for artifact in merged.artifacts)
        running.outcome["unchanged"] = not (changed or models)
    notes = (*merged.notes, *work.notes)
    advice = None if commit else advice_on_target(project, record, models, said)
    return replace(merged, models=models, notes=notes, commit=commit, advice=advice)


def _artifact(job: MergeJob, report: MergeReport, before: str, after: str) -> MergedArtifact:
    given = dict.fromkeys(item.source for item in job.incoming)
    origins = tuple(MergedSource(s.name, s.version, s.commit or "") for s in given)
    return MergedArtifact(job.path, job.strategy.mode or Mode.MERGE, origins, report, before, after)


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
    project: Project | None = None,
    strategy: str | None = None,
) -> Merged:
    """Merge plain files into ``out``, without needing a repository; an existing ``out`` is the
    target.

    ``strategy``, else the ``merge:`` section of the parameters of ``project`` (or of this folder
    without one), decides as for artifacts. Raises Conflicted or XexpError.
    """
    decided = inputs.strategy_of_file(project, out, strategy)
    if options.mode is Mode.REBASE:
        decided = replace(decided, mode=Mode.REBASE)
    if decided.mode is None:
        raise NoAnswer(f"{out} is left alone: {decided.where}", "choose another: --strategy merge")
    options = decided.over(options)
    given = engine.expand(names)
    incoming = [p for p in given if not (out.exists() and p.exists() and p.samefile(out))]
    if not incoming:
        raise UsageError("there is only one file", "name the files to merge into it as well")
    report = engine.merge(out, incoming, None, options, progress, engine=chosen, write=write)
    going: tuple[TableDiff, ...] = ()
    if options.mode is Mode.REBASE and not write and out.exists():
        with tempfile.TemporaryDirectory(prefix="xexp-plan-") as folder:
            going = _going(out, incoming, Path(folder), replace(options, in_place=False), report)
    origins = tuple(MergedSource(str(path)) for path in incoming)
    merged = Merged((MergedArtifact(str(out), options.mode, origins, report, going=going),))
    if write and report.conflicts and not report.written:
        raise Conflicted(merged)
    return merged


@contextmanager
def _inputs(
    project: Project, request: MergeRequest, progress: Progress | None
) -> Iterator[MergeInputs]:
    """Yield the jobs, with a private folder for fetched files."""
    with private_folder(project) as folder:
        mode = request.mode if request.mode is Mode.REBASE else None
        contents = CommitContents(project, folder, progress)
        yield inputs.find_jobs(
            project, request.sources, request.selection, contents, request.strategy, mode
        )


@contextmanager
def private_folder(project: Project) -> Iterator[Path]:
    """Create this process's folder in the state folder; leftovers of killed processes are removed."""
    try:
        project.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XexpError(f"cannot write to {project.state}: {error.strerror}") from error
    folder = Folder(project.state)
    try:
        yield folder.path
    finally:
        folder.close()


def _planned(
    project: Project, request: MergeRequest, job: MergeJob, progress: Progress | None
) -> MergedArtifact:
    """Plan one job. The output goes elsewhere, so a linked target may be used as it is."""
    options = replace(job.strategy.over(request.options), in_place=False)
    _Merge(project, request.engine, request.options, progress).refuse(job)
    with private_folder(project) as folder:
        target = content_here(project, job, folder)
        report = engine.merge(
            target,
            distinct(job, target),
            folder / PurePosixPath(job.path).name,
            options,
            progress,
            engine=request.engine,
            write=False,
        )
        artifact = _artifact(job, report, "", "")
        if options.mode is not Mode.REBASE or not target.exists():
            return artifact
        incoming = distinct(job, target)
        return replace(artifact, going=_going(target, incoming, folder, options, report))


def _going(
    target: Path, incoming: Sequence[Path], folder: Path, options: MergeOptions, report: MergeReport
) -> tuple[TableDiff, ...]:
    """Return the rows that a rebase replaces, as a diff to its result (built separately and
    discarded)."""
    if report.conflicts or not any(table.replaced for table in report.tables):
        return ()
    out = folder / f"result-{target.name}"
    if not engine.merge(target, incoming, out, options).written:
        return ()
    return row_diff.diff_files(target, out, options.key, limit=LISTED)


def in_stage() -> bool:
    """Whether DVC runs this as a stage: then DVC itself adds the outputs to its cache."""
    return "DVC_STAGE" in os.environ


@dataclass
class _Merge:
    """The steps of one operation."""

    project: Project
    engine: Engine
    options: MergeOptions
    progress: Progress | None
    notes: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)  #: to be committed, from the top

    def apply(self, running: Running, job: MergeJob) -> MergedArtifact:
        """Merge one job's files into its target and update the pointer."""
        target = paths.inside(self.project.top, job.path)
        options = job.strategy.over(self.options)
        before = self.ready(running, job, target)
        if target.exists():
            self.save(running, job, target, options)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            running.record(Created(str(target)))
        incoming = distinct(job, target)
        report = engine.merge(target, incoming, None, options, self.progress, engine=self.engine)
        if not report.written or not report.changed:
            return _artifact(job, report, before, before)
        after = self.track(running, job, target)
        running.record(FileSealed(str(target), after))
        return _artifact(job, report, before, after)

    def ready(self, running: Running, job: MergeJob, target: Path) -> str:
        """Make the target in the work tree a real file; return its current hash. Raises as
        :meth:`refuse` does."""
        out = self.refuse(job)
        if out is not None and not target.exists() and out.oid:
            running.record(Created(str(target)))
            self.materialise(job)
        if not target.exists():
            return ""
        own_copy(target)
        if database_kind(target):
            settle(target)
        if out is None:
            return f"md5:{hash_file(target)}"
        (change,) = status(self.project.top, [out], self.project.stat_cache) or (None,)
        return (out.hash if change is None else change.actual) or ""

    def refuse(self, job: MergeJob) -> Output | None:
        """Return the target's output, if this work tree has one. Raises XexpError for an invalid
        target: a folder, or a file older than its pointer."""
        target = paths.inside(self.project.top, job.path)
        if target.is_dir():
            raise XexpError(
                f"{job.path} is a folder here", "merge its files one by one: --only PATH"
            )
        out = job.output if self.is_tracked(job) else None
        if out is not None and target.exists():
            for change in status(self.project.top, [out], self.project.stat_cache):
                self.refuse_stale(job, change.actual)
        return out

    def is_tracked(self, job: MergeJob) -> bool:
        """Whether this work tree has the target's pointer (a new one's is only at the source)."""
        return job.output is not None and (self.project.top / job.output.pointer).exists()

    def materialise(self, job: MergeJob) -> None:
        """Check out a tracked target that is missing from the work tree, from a cache or the
        remote."""
        assert job.output is not None
        folder = self.project.state / "ops" / "fetch"
        cached = CommitContents(self.project, folder).cached(job.output)
        if cached is None:
            fetch(self.project.top, [job.output], progress=self.progress)
        checkout(self.project.top, [job.output], force=True, links=["copy"])

    def refuse_stale(self, job: MergeJob, actual: str | None) -> None:
        out = job.output
        if out is None or actual is None or in_stage() or out.hash is None:
            return
        objects = Objects(self.project.top, self.project.tops)
        if objects.find(out, actual.partition(":")[2]) is not None:
            raise XexpError(
                f"{job.path} is an older or newer version than its pointer says",
                f"bring it up to date first: dvc checkout {self.project.typed(out.pointer)}\n"
                f"or keep what is there: dvc add {self.project.typed(job.path)}",
            )

    def save(self, running: Running, job: MergeJob, target: Path, options: MergeOptions) -> None:
        """Record the undo step. An in-place merge of a huge file keeps no copy: its transaction
        suffices."""
        if options.in_place and options.mode is Mode.MERGE:
            self.notes.append(
                f"{job.path} was changed in place: git xexp undo cannot bring it back"
            )
            return
        running.save_file(target)

    def track(self, running: Running, job: MergeJob, target: Path) -> str:
        """Add the merged content to DVC's cache and its hash to the pointer; return the hash."""
        if job.output is None or in_stage():
            if job.output is None:
                self.touched.append(job.path)
            return f"md5:{hash_file(target)}"
        top = self.project.top
        with objects_noted(self.project, running, [job.path]) as noted:
            for name in (job.output.pointer, _ignore_file(job.path)):
                running.save_file(top / name)
            added = add(top, [job.path])
            noted += added.every
        self.touched += added.touched
        return next((out.hash or "" for out in added.outputs if out.path == job.path), "")

    def add_candidates(self, running: Running, models: Sequence[IncomingFile]) -> tuple[str, ...]:
        """Copy models as candidates; return their paths. Existing ones are left alone."""
        import shutil

        laid = []
        for item in models:
            path = model_path(self.project, item)
            target = paths.inside(self.project.top, path)
            if target.exists() and hash_file(target) == hash_file(item.file):
                continue
            running.save_file(target)
            with (
                paths.held(self.project.top, path, create=True) as place,
                atomic_write(place) as temporary,
            ):
                shutil.copyfile(item.file, temporary)
            laid.append(path)
        return tuple(laid)

    def record(self, running: Running, artifacts: Sequence[MergedArtifact]) -> list[str]:
        """Add a registry row for each changed target; return the files to commit."""
        changed = [a for a in artifacts if a.report.changed]
        if not changed or in_stage():
            return []
        running.save_file(self.project.registry.path, renamed=True)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self.project.registry.rewrite() as db:
            for item in changed:
                registry.put_merge(db, _row(item, at))
        return [*dict.fromkeys((*self.touched, config.REGISTRY))]

    def commit(
        self, running: Running, paths: Sequence[str], message: str, *, verbatim: bool
    ) -> str:
        """Commit exactly these files."""
        repository_commit.check_ready(self.project)
        return repository_commit.commit(
            self.project, running, paths, message + "\n", verbatim=verbatim
        )


def _row(item: MergedArtifact, at: str) -> dict[str, object]:
    counts = {
        t.name: {"new": t.new, "filled": t.filled, "replaced": t.replaced, "identical": t.identical}
        for t in item.report.tables
    }
    return {
        "target": item.path,
        "sources": [dataclasses.asdict(origin) for origin in item.origins],
        "at": at,
        "mode": str(item.mode),
        "counts": counts,
        "hash_before": item.hash_before,
        "hash_after": item.hash_after,
    }


def _ignore_file(path: str) -> str:
    return (PurePosixPath(path).parent / ".gitignore").as_posix()


def _run_of(project: Project, item: IncomingFile) -> str:
    """Return the run of a model: its experiment's, unless another run in the work tree produced it
    since."""
    source = item.source
    if source.worktree is None:
        return source.run
    tagged = run_of_content(project.experiments(), item.path, f"md5:{hash_file(item.file)}")
    if tagged:
        return tagged
    latest = collect.collect(source.worktree, project.config, RunChoice()).run
    return latest.id if latest and latest.id != source.run else ""


def model_path(project: Project, item: IncomingFile) -> str:
    """Return the path for another experiment's model: the candidate of its run, else of its name."""
    slot = inventory.all_slots(project.config)[0]
    name = _run_of(project, item) or item.source.version or item.source.name
    return slot.candidate(name, extension=PurePosixPath(item.path).suffix)


def content_here(project: Project, job: MergeJob, folder: Path) -> Path:
    """Return the target's content for planning: the work tree's file, else what its pointer names."""
    target = project.top / job.path
    if target.exists() or job.output is None or not job.output.oid:
        return target
    if not (project.top / job.output.pointer).exists():
        return target
    return CommitContents(project, folder).cached(job.output) or target


def distinct(job: MergeJob, target: Path) -> list[Path]:
    """Return the files to merge, without duplicates or the target itself."""
    files: dict[str, Path] = {}
    for item in job.incoming:
        if not (target.exists() and item.file.exists() and item.file.samefile(target)):
            files.setdefault(os.path.realpath(item.file), item.file)
    if not files:
        raise XexpError(f"{job.path}: the source is the target itself", "name another source")
    return list(files.values())


def advice_on_target(
    project: Project, paths: Sequence[str], models: Sequence[str], title: str
) -> str | None:
    """The next command."""
    if paths:
        return f"git add {project.typed(*paths)} && git commit -m {shlex.quote(title)}"
    if models:
        return "git xexp candidates"
    return None
