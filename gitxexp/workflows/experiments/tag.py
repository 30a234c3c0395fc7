"""``tag``: carry out a plan of :mod:`gitxexp.workflows.experiments.plan` in one operation.

``tag --push``: artifacts first, then branch and tag atomically; the remote decides the version.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from gitxexp.common import processes
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, only_one
from gitxexp.common.files import atomic_write, rows_wait
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config as settings
from gitxexp.repository import registry, tag_message, unproved, version
from gitxexp.repository.operation import (
    Changed,
    Finished,
    Irreversible,
    Step,
    UndoContext,
    Undoing,
)
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.version import AnyVersion
from gitxexp.storage import paths
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.add import add
from gitxexp.storage.dvc.databases import held_still
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.git import (
    REFS,
    Git,
    PushRejected,
    asked_anew,
    asked_once,
    begun,
)
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import hash_file
from gitxexp.storage.sqlite_write import import_writer
from gitxexp.workflows.artifacts.push import push_artifacts
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments import plan as experiments_plan
from gitxexp.workflows.experiments.outputs import LostRows, outputs_of, track, untracked
from gitxexp.workflows.experiments.plan import Plan, TagRequest
from gitxexp.workflows.experiments.stamp import stamp_rows
from gitxexp.workflows.merge.inputs import Selection
from gitxexp.workflows.models.cache import objects_noted
from gitxexp.workflows.models.select import KeptFile
from gitxexp.workflows.runs import record

#: ``publish(running, version, branch, commit)``: the push, called while the operation can still be
#: undone.
Publish = Callable[[Running, AnyVersion, str | None, str], None]


@dataclass(frozen=True)
class Tagged:
    """What ``tag`` did. ``stamped`` counts the rows that got the version."""

    version: AnyVersion
    reason: str
    payload: Payload
    commit: str
    tag: str  #: object id of the tag
    added: tuple[str, ...]  #: DVC outputs that are new, or were added again
    stamped: int
    notes: tuple[str, ...]


def tag(
    project: Project,
    request: TagRequest,
    *,
    elsewhere: Iterable[AnyVersion] = (),
    publish: Publish | None = None,
    wait: bool = True,
) -> Tagged:
    """Snapshot the experiment: results stamped, outputs added, registry row, commit, tag, push.

    All or nothing: on any failure refs, index, pointers, registry and rows are restored.
    """
    only_one({"--all": request.everything, "--no-commit": not request.commit})
    project.recover_first(wait=wait)
    project.require_set_up()
    try:
        with project.operation("tag", wait=wait) as running:
            return within(project, running, request, elsewhere=elsewhere, publish=publish)
    except LostRows:
        if not request.bring_rows:
            raise
    bring_rows(project, wait=wait)
    with project.operation("tag", wait=wait) as running:
        return within(project, running, request, elsewhere=elsewhere, publish=publish)


def bring_rows(project: Project, *, wait: bool = True) -> None:
    """Merge the rows of the last commit's results into those of the work tree."""
    from gitxexp.workflows.merge.merge import (  # late: with the engines that merge
        MergeRequest,
        merge,
    )

    wanted = MergeRequest(("HEAD",), selection=Selection(("results",)))
    merge(project, wanted, project.progress, wait=wait)


def within(
    project: Project,
    running: Running,
    request: TagRequest,
    *,
    elsewhere: Iterable[AnyVersion] = (),
    publish: Publish | None = None,
) -> Tagged:
    """Like :func:`tag`, as part of a running operation."""
    listed = (*REFS, *version.patterns(project.prefix))
    with begun(project.git, [listed]), asked_once():
        request = experiments_plan.of_record(project, request)
        loose = untracked(project).every if request.track else ()
        if request.track is None or request.ran is not None:
            loose = experiments_plan.made_by_run(request, untracked(project))
        tracked: tuple[str, ...] = ()
        if loose:
            with asked_anew():
                tracked = track(project, running, loose)
        plan = experiments_plan.plan(project, request, elsewhere)
    if plan.kept:
        place_kept(project, running, plan.kept)
        project.forget_config()  # its dvc.lock lists the outputs
        own = experiments_plan.made_by_run(request, untracked(project))
        if own:  # it did not exist, and nothing tracks it
            tracked, loose = (*tracked, *track(project, running, own)), (*loose, *own)
        plan = replace(plan, outputs=tuple(project.outputs()))
    stamped = stamp_rows(project, running, plan)
    added = _add(project, running, plan, request)
    plan, touched = added.plan, added.touched
    if request.commit and (database := _in_git(project, plan, written=stamped > 0)):
        touched = (*touched, database)
    final = _final(project, plan, request, added.outputs)
    commit = plan.head
    if request.commit:
        _register(project, running, final, experiments_plan.own_id(request))
        files = [*plan.files, *tracked, *touched, settings.REGISTRY]
        commit = repository_commit.commit(
            project, running, sorted(set(files)), f"{final.headline}\n", version=final.version,
            everything=request.everything,
        )  # fmt: skip
    oid = repository_commit.tag(project, running, final.version, tag_message.encode(final), commit)
    running.summary.append(f"{final.version} {final.headline}")
    running.outcome.update(version=final.version, commit=commit)
    unproved.tagged(project.state, oid)
    if publish is not None:
        publish(running, plan.version, plan.branch, commit)
        unproved.proved(project.state, [oid])
    names = tuple(dict.fromkeys((*loose, *(output.path for output in plan.changed))))
    return Tagged(plan.version, plan.reason, final, commit, oid, names, stamped, plan.notes)


def place_kept(project: Project, running: Running, kept: Iterable[KeptFile]) -> None:
    """Replace a later run's files by those of the tagged run."""
    for file in kept:
        with paths.held(project.top, file.path, create=True) as place:
            running.save_file(project.top / file.path)
            with atomic_write(place) as temporary:
                shutil.copyfile(file.file, temporary)
                if hash_file(temporary) != file.md5:
                    raise XexpError(f"the kept copy of {file.path} has changed", "try again")


def _in_git(project: Project, plan: Plan, *, written: bool) -> str | None:
    """Return the run's database by path from the top, if git tracks it and it was written to or has
    rows in its ``-wal``, which are checkpointed first, because git sees only the file."""
    run = plan.collected.run
    path = project.inside(run.database) if run else None
    if run is None or path is None or not (written or rows_wait(run.database)):
        return None
    if not project.at_top.tracks(path):
        return None
    with held_still([run.database]):
        return path


@dataclass(frozen=True)
class _AddedOutputs:
    """The plan after ``dvc add``, all outputs, and the files that DVC touched."""

    plan: Plan
    outputs: Sequence[Output]
    touched: tuple[str, ...] = ()


def _add(project: Project, running: Running, plan: Plan, request: TagRequest) -> _AddedOutputs:
    """``dvc add`` what changed."""
    outputs = plan.outputs
    if not request.commit or not outputs:
        return _AddedOutputs(plan, outputs)
    changed = outputs_of(project, outputs).changed
    if not changed:
        return _AddedOutputs(replace(plan, changed=()), outputs)
    names = [output.path for output in changed]
    with objects_noted(project, running, names) as noted:
        written = [
            str(path)
            for pointer in {output.pointer for output in changed}
            for path in (PurePosixPath(pointer), PurePosixPath(pointer).parent / ".gitignore")
        ]
        repository_commit.save_left_out(project, running, written)
        for path in written:
            running.save_file(project.top / path)
        added = add(project.top, names, project.progress)
        noted += added.every
    every = [output for output in added.every if project.config.has(output.path)]
    return _AddedOutputs(replace(plan, changed=tuple(changed)), every, tuple(added.touched))


def _final(project: Project, plan: Plan, request: TagRequest, outputs: Iterable[Output]) -> Payload:
    """The payload with the hashes that the outputs really have."""
    if not request.commit:
        return plan.payload
    artifacts = pointers.contents(outputs)
    data = describe.data_hash(describe.data_outputs(artifacts, project.config))
    line = request.headline or describe.headline(
        plan.collected.params, plan.collected.metrics, data, request.text, project.config,
        plan.changed_params,
    )  # fmt: skip
    return plan.payload._replace(artifacts=artifacts, data=data, headline=line)


def _register(project: Project, running: Running, final: Payload, own: str) -> None:
    """Write the experiment's row, and its version to the record of its run: the record ``own``,
    else the newest one without a version that logged under its tracker's id."""
    imported = processes.begun(import_writer)  # while the disk is waited for
    running.save_file(project.registry.path, renamed=True)
    stored = tag_message.decode(tag_message.encode(final))  # exactly what the tag will read back
    known = [record.loaded(row) for row in (project.registry.runs() if final.run or own else ())]
    named = [one for one in known if one.id == own] or [
        one for one in known if one.named(final.run) and not one.version
    ]
    ran = [replace(one, version=final.version) for one in named[:1]]
    imported()
    with project.registry.rewrite() as db:
        registry.put(db, final.version, stored)
        record.put(db, ran)


#: How many times to move to the next version if somebody else pushed the same one meanwhile.
_TRIES = 5


def tag_and_push(
    project: Project, request: TagRequest, remote: str | None = None, *, wait: bool = True
) -> Tagged:
    """Tag, push the artifacts, then branch and tag atomically.

    If the remote already has that version, the snapshot is undone, renumbered and pushed again. Any
    other failure undoes everything, so no stale tag is left behind.
    """
    project.recover_first(wait=wait)
    branch, _ = project.git.head()
    name = project.git_remote(branch, remote)
    for left in reversed(range(_TRIES)):
        elsewhere = _taken_on(project.git, name, project.prefix)
        try:
            return tag(
                project,
                request,
                elsewhere=elsewhere,
                publish=lambda *made: _publish(project, name, *made),
                wait=wait,
            )
        except PushRejected as error:
            taken = error.is_overtaken and any(ref.startswith("refs/tags/") for ref in error.first)
            if request.version is not None or not taken or not left:
                raise XexpError(error.outcome("nothing was tagged"), error.advice) from error
    raise AssertionError("unreachable: the last try returns or raises")


def _taken_on(git: Git, remote: str, prefix: str) -> list[AnyVersion]:
    names = GitWriter(git).remote_tags(remote, f"refs/tags/{prefix}e*")
    return [found for found in map(version.parse, names) if found is not None]


def _publish(
    project: Project,
    remote: str,
    running: Running,
    made: AnyVersion,
    branch: str | None,
    commit: str,
) -> None:
    push_artifacts(project, commit, remote)
    ref = f"refs/tags/{made}"
    oid = project.git.text("rev-parse", ref)
    running.record(Published(remote, ref, oid, running.summary[-1], dict(running.outcome)))
    refs = [ref]
    if branch is not None:
        refs.insert(0, f"{commit}:refs/heads/{branch}")
    GitWriter(project.git).push(remote, refs, project.progress)
    running.outcome["pushed"] = remote


@dataclass(frozen=True, slots=True)
class Published(Step):
    """The last step: the tag ``ref`` is pushed to ``remote``; ``summary`` and ``outcome`` are the
    operation's."""

    kind: ClassVar[str] = "published"

    remote: str
    ref: str
    oid: str
    summary: str
    outcome: dict[str, Any]

    def check(self, at: UndoContext) -> Changed | None:
        return None

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        return

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        return (Irreversible(self.kind),)

    def finish(self, at: UndoContext) -> Finished | None:
        """A pushed tag is not undone here, nor if the remote cannot be asked."""
        if at.git.resolve(self.ref, "tag") != self.oid:
            return None
        try:
            there = GitWriter(at.git).remote_refs(self.remote, self.ref).get(self.ref)
        except XexpError:
            return Finished(f"{self.summary} ({self.remote} could not be asked)", self.outcome)
        if there != self.oid:
            return None
        unproved.proved(at.state, [self.oid])
        return Finished(self.summary, self.outcome | {"pushed": self.remote})
