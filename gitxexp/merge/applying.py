"""One merge made real: the target readied, merged, its pointer updated, the way back written down."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gitxexp import collect, config, dvcio, registry, snapshot
from gitxexp.collect import Wanted
from gitxexp.dvcio.objects import hash_file
from gitxexp.errors import XexpError
from gitxexp.history import run_of_content
from gitxexp.merge import engine
from gitxexp.merge.asking import Artifact, Request
from gitxexp.merge.contents import Contents
from gitxexp.merge.duck.outfile import settle
from gitxexp.merge.engine import Engine
from gitxexp.merge.jobs import Incoming, Job
from gitxexp.merge.plan import MergeOptions, MergeReport, Mode, Progress
from gitxexp.models import slots
from gitxexp.project import Project, Running

#: A job, its report, and the target's hash before and after.
Applied = tuple[Job, MergeReport, str, str]


def in_stage() -> bool:
    """Whether DVC runs this as a stage: then DVC itself takes the outputs into its cache."""
    return "DVC_STAGE" in os.environ


@dataclass
class Work:
    """The steps of one operation."""

    project: Project
    engine: Engine
    options: MergeOptions
    progress: Progress | None
    notes: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)  #: to be committed, from the top

    def apply(self, running: Running, job: Job) -> Applied:
        """Merge one job's files into its target and bring the pointer up to date."""
        target = self.project.top / job.path
        options = job.strategy.over(self.options)
        before = self.ready(running, job, target)
        if target.exists():
            self.save(running, job, target, options)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            running.record("created", path=str(target))
        incoming = distinct(job, target)
        report = engine.merge(target, incoming, None, options, self.progress, engine=self.engine)
        if not report.written or not report.changed:
            return job, report, before, before
        after = self.track(running, job, target)
        running.record("sealed", path=str(target), hash=after)
        return job, report, before, after

    def ready(self, running: Running, job: Job, target: Path) -> str:
        """The target in the work tree as a file of its own; its hash as it is.

        Raises XexpError when it is older than its pointer: merging into it would lose rows.
        """
        out = job.output if self.is_tracked(job) else None
        if target.is_dir():
            raise XexpError(
                f"{job.path} is a folder here", "merge its files one by one: --only PATH"
            )
        if out is not None and not target.exists() and out.oid:
            running.record("created", path=str(target))
            self.materialise(job)
        if not target.exists():
            return ""
        dvcio.own_copy(target)
        if dvcio.database_kind(target):
            settle(target)
        if out is None:
            return f"md5:{hash_file(target)}"
        (change,) = dvcio.status(self.project.top, [out], self.project.stat_cache) or (None,)
        if change is None:
            return out.hash or ""
        self.refuse_stale(job, change.actual)
        return change.actual or ""

    def is_tracked(self, job: Job) -> bool:
        """Whether this work tree has the target's pointer (a new one's is only at the source)."""
        return job.output is not None and (self.project.top / job.output.pointer).exists()

    def materialise(self, job: Job) -> None:
        """A tracked target that is not in the work tree comes from a cache or the remote."""
        assert job.output is not None
        folder = self.project.state / "ops" / "fetch"
        found = Contents(self.project, folder).cached(job.output)
        if found is None:
            dvcio.fetch(self.project.top, [job.output], progress=self.progress)
        dvcio.checkout(self.project.top, [job.output], force=True, links=["copy"])

    def refuse_stale(self, job: Job, actual: str | None) -> None:
        out = job.output
        if out is None or actual is None or in_stage() or out.hash is None:
            return
        caches = Contents(self.project, self.project.state).caches(out.root)
        if dvcio.find_object(caches, actual.partition(":")[2], out.legacy) is not None:
            raise XexpError(
                f"{job.path} is an older or newer version than its pointer says",
                f"bring it up to date first: dvc checkout {shlex.quote(out.pointer)}\n"
                f"or keep what is there: dvc add {shlex.quote(job.path)}",
            )

    def save(self, running: Running, job: Job, target: Path, options: MergeOptions) -> None:
        """The way back. A merge in place of a huge file keeps no copy: its transaction is one."""
        if options.in_place and options.mode is Mode.MERGE:
            self.notes.append(
                f"{job.path} was changed in place: git xexp undo cannot bring it back"
            )
            return
        running.save_file(target, undo=True)

    def track(self, running: Running, job: Job, target: Path) -> str:
        """The merged content into DVC's cache and its hash into the pointer; the hash."""
        if job.output is None or in_stage():
            if job.output is None:
                self.touched.append(job.path)
            return f"md5:{hash_file(target)}"
        top = self.project.top
        for name in (job.output.pointer, _ignore_file(job.path)):
            running.save_file(top / name, undo=True)
        added = dvcio.add(top, [job.path])
        self.touched += added.touched
        return next((out.hash or "" for out in added.outputs if out.path == job.path), "")

    def lay_beside(self, running: Running, models: Sequence[Incoming]) -> tuple[str, ...]:
        """Copies of models as candidates; their paths. One that is there already is left alone."""
        import shutil

        laid = []
        for item in models:
            path = model_path(self.project, item)
            target = self.project.top / path
            if target.exists() and hash_file(target) == hash_file(item.file):
                continue
            running.save_file(target, undo=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item.file, target)
            laid.append(path)
        return tuple(laid)

    def record(
        self, running: Running, artifacts: Sequence[Artifact], request: Request
    ) -> list[str]:
        """A registry row for each changed target; the files that a commit of it all would hold."""
        changed = [a for a in artifacts if a.report.changed]
        if not changed or in_stage():
            return []
        running.save_file(self.project.top / config.REGISTRY, undo=True)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self.project.registry.rewrite() as db:
            for item in changed:
                registry.put_merge(db, _row(item, at))
        return [*dict.fromkeys((*self.touched, config.REGISTRY))]

    def commit(self, running: Running, paths: Sequence[str], message: str) -> str:
        """Commit exactly these files."""
        snapshot.check_ready(self.project)
        return snapshot.commit(self.project, running, paths, message + "\n")


def _row(item: Artifact, at: str) -> dict[str, object]:
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


def _run_of(project: Project, item: Incoming) -> str:
    """The run of a model: its experiment's, but in a work tree another run may have made it since."""
    source = item.source
    if source.worktree is None:
        return source.run
    tagged = run_of_content(project.experiments(), item.path, f"md5:{hash_file(item.file)}")
    if tagged:
        return tagged
    latest = collect.collect(source.worktree, project.config, Wanted()).run
    return latest.id if latest and latest.id != source.run else ""


def model_path(project: Project, item: Incoming) -> str:
    """Where a model of another experiment is laid: as the candidate of its run, else of its name."""
    slot = slots.slots(project.config)[0]
    name = _run_of(project, item) or item.source.version or item.source.name
    return slot.candidate(name, extension=PurePosixPath(item.path).suffix)


def content_here(project: Project, job: Job, folder: Path) -> Path:
    """The target's content to plan with: the work tree's file, else what its pointer names."""
    target = project.top / job.path
    if target.exists() or job.output is None or not job.output.oid:
        return target
    if not (project.top / job.output.pointer).exists():
        return target
    return Contents(project, folder).cached(job.output) or target


def distinct(job: Job, target: Path) -> list[Path]:
    """The files to merge, each once and never the target itself."""
    found: dict[str, Path] = {}
    for item in job.incoming:
        if not (target.exists() and item.file.exists() and item.file.samefile(target)):
            found.setdefault(os.path.realpath(item.file), item.file)
    if not found:
        raise XexpError(f"{job.path}: the source is the target itself")
    return list(found.values())


def advice(paths: Sequence[str], models: Sequence[str], title: str) -> str | None:
    """The next command."""
    if paths:
        named = " ".join(shlex.quote(path) for path in paths)
        return f"git add {named} && git commit -m {shlex.quote(title)}"
    if models:
        return "git xexp candidates"
    return None
