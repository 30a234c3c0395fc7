"""Snapshot an experiment: decide everything first, then do it in one operation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, UsageError, XexpError, only_one
from gitxexp.common.text import lines_of, some
from gitxexp.common.values import is_ordered
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config as settings
from gitxexp.repository import config_hash, prefetch
from gitxexp.repository import version as versions
from gitxexp.repository.commit import Changes, refuse_dirty_submodules
from gitxexp.repository.numbers import Taken, taken, untagged
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment, Tags
from gitxexp.repository.version import AnyVersion, Level, Version
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.git import UNTRACKED, asked_once, begun
from gitxexp.trackers.run import Run, Window
from gitxexp.trackers.stamps import Stampable
from gitxexp.workflows.experiments import describe, warnings
from gitxexp.workflows.experiments.binding import Binding, bind, kept_of
from gitxexp.workflows.experiments.code_hash import code_changes, code_hash
from gitxexp.workflows.experiments.collect import (
    Collected,
    RunChoice,
    all_runs,
    collect,
    maximize,
    metrics_files,
)
from gitxexp.workflows.experiments.describe import LevelChoice
from gitxexp.workflows.experiments.outputs import (
    Outputs,
    Untracked,
    compare_rows,
    outputs_of,
    refuse_lost_rows,
    refuse_stale,
    untracked,
)
from gitxexp.workflows.experiments.resolve import newest_in
from gitxexp.workflows.explore.rows import ColumnNames, Row, select
from gitxexp.workflows.runs import record
from gitxexp.workflows.runs.record import RunRecord

if TYPE_CHECKING:
    from gitxexp.workflows.models.select import KeptFile


@dataclass(frozen=True)
class Ran:
    """What ``run`` knows about the run that it tags."""

    id: str  #: of its record
    commit: str  #: the code that ran
    version: AnyVersion  #: the version that it was given
    reason: str
    told: bool = False  #: that version is in its command line, so it cannot change
    written: tuple[str, ...] = ()  #: tracked files that it wrote
    made: tuple[str, ...] = ()  #: untracked files for DVC to track
    pointers: tuple[str, ...] = ()  #: its kept files for git to track


@dataclass(frozen=True)
class TagRequest:
    """What the user asked ``tag`` for."""

    version: AnyVersion | None = None
    level: Level | None = None
    name: str | None = None  #: for exp-NAME-vN
    wanted: RunChoice = field(default_factory=RunChoice)
    text: str = ""
    headline: str | None = None  #: the whole first line, when the user edited it
    labels: tuple[str, ...] = ()
    everything: bool = False  #: ``-a``: include all tracked changes
    commit: bool = True
    stamp: bool | None = None  #: None: unless a program of the project would fail because of it
    drop_rows: bool = False  #: even if the results lack rows of the last commit
    revert_outputs: bool = False  #: even if outputs belong to an older commit
    track: bool | None = None  #: add untracked files to DVC; False: tag without them
    bring_rows: bool = False  #: first merge the rows of the last commit
    mismatch: bool = False  #: even if files contradict the run
    all_runs: bool = False  #: also consider tagged runs for the best
    of: AnyVersion | None = None  #: only runs whose rows name this version
    where: str | None = None  #: only runs that match this filter
    ran: Ran | None = None  #: by ``run``, just now
    command: tuple[str, ...] = ()  #: the command of ``run``, if known
    record: RunRecord | None = None  #: of the requested run; set by :func:`plan`

    def __post_init__(self) -> None:
        """Raise UsageError for mutually exclusive options."""
        refuse_two_versions(self.version, self.level, self.name)
        only_one({"--run": self.wanted.run, "--best": self.wanted.best})
        if (self.where or self.of or self.all_runs) and not self.wanted.best:
            raise UsageError(
                "--where, --of and --all-runs choose runs for --best METRIC",
                "git xexp tag --best METRIC",
            )


def refuse_two_versions(version: AnyVersion | None, level: Level | None, name: str | None) -> None:
    """Raise UsageError if the version is given in two ways."""
    only_one({"a version": version, "a level or --name": level or name})


@dataclass(frozen=True)
class Plan:
    """What ``tag`` will do. ``files`` are the paths in its commit."""

    version: AnyVersion
    reason: str
    payload: Payload
    branch: str | None
    head: str
    outputs: tuple[Output, ...]  #: the DVC outputs of the work tree
    changed: tuple[Output, ...]  #: those that differ from their pointers, with their new hash
    absent: tuple[str, ...]  #: paths of those that are not in the work tree
    files: tuple[str, ...]
    modified: tuple[str, ...]  #: tracked files that differ from HEAD, except pointers and our own
    collected: Collected
    notes: tuple[str, ...] = ()
    stamps: tuple[Stampable, ...] = ()  #: the tables whose rows get the version
    changed_params: tuple[str, ...] = ()  #: since the parent
    lacking: tuple[str, ...] = ()  #: parameters of the parent that are unknown now
    evidence: tuple[str, ...] = ()  #: the run, its own files, and how that is known
    kept: tuple[KeptFile, ...] = ()  #: files of the run that replace those of a later one


def plan(project: Project, request: TagRequest, elsewhere: Iterable[AnyVersion] = ()) -> Plan:
    """Plan everything that ``tag`` would do now; changes nothing.

    ``elsewhere`` are versions taken on the remote. Raises XexpError naming modified tracked files
    without ``-a``, or runs that the results would lose.
    """
    project.require_set_up()
    at_top = project.git.question(()) == project.at_top.question(())
    with begun(project.at_top, prefetch.PLAN if at_top else ()), asked_once():
        return _plan(project, request, elsewhere)


def _plan(project: Project, request: TagRequest, elsewhere: Iterable[AnyVersion]) -> Plan:
    branch, head = repository_commit.check_ready(project)
    request = of_record(project, _in_project(project, request))
    changes = repository_commit.changes(project)
    modified = _accepted(project, changes, request)
    staged = [path for path in changes.staged_new if not is_ours(path)]
    outputs = _outputs(project, request, changes)
    tags = project.tags_as_made()  # as late as can be: git lists them meanwhile
    collected = _collect(project, request, tags, outputs, changes)
    records = () if request.ran else record.read(project)
    known = request.record or _of_tracker(records, collected)
    binding = _bind(project, request, collected, outputs, changes, known)
    if request.commit and request.track is None and not tags.count:
        _refuse_untracked(project, request)
    artifacts = _artifacts(outputs.every, outputs.changed)
    artifacts |= {k.path: f"md5:{k.md5}" for k in binding.kept if k.path in artifacts}
    parent = parent_of(project, tags)
    new = _changed_params(project, parent, collected)
    draft = describe_experiment(project, request, collected, artifacts, head, new)
    written = (*modified, *(request.ran.pointers if request.ran else ()))
    draft = draft._replace(code=code_hash(project.at_top, head, project.config, written))
    used = taken(project, tags, elsewhere)
    choice = _choice(project, request, draft, (head, modified), (tags, parent, collected))
    number, reason = _number(project, request, used, choice, declared(collected.run, used))
    run = collected.run if request.commit else None
    stamps, unstamped = warnings.stamps(project, run, request.stamp)
    before = parent.name if parent else ""
    context = dict(draft.context)
    if binding.writer is not None and not binding.kept:
        context["files_of"] = binding.writer
    payload = draft._replace(version=str(number), reason=reason, parent=before, context=context)
    pointed = {output.pointer for output in outputs.changed}
    files = {*modified, *_pointer_files(changes), *pointed, settings.REGISTRY}
    files |= _in_new_folders(project, changes, outputs)
    files |= {*request.ran.pointers} if request.ran else _measurements(project, records, known)
    files |= {k.path for k in binding.kept if _for_git(project, k.path, artifacts)}
    return Plan(
        version=number,
        reason=reason,
        payload=payload,
        branch=branch,
        head=head,
        outputs=outputs.every,
        changed=outputs.changed,
        absent=outputs.absent,
        files=tuple(sorted(files)) if request.commit else (),
        modified=modified,
        collected=collected,
        notes=(
            *warnings.of(project, payload, (collected, tags, branch), outputs.absent, staged),
            *_without_tag(project, tags),
            *binding.notes,
            *([_outcome(known)] if known and known.status != "done" else ()),
            *_undecided(parent, collected),
            *unstamped,
        ),
        stamps=stamps,
        changed_params=new,
        lacking=tuple(n for n in new if describe.find_param(collected.params, n) is None),
        evidence=tuple(_evidence(request, collected, outputs, binding)),
        kept=binding.kept,
    )


def _in_project(project: Project, request: TagRequest) -> TagRequest:
    """The request with the project's prefix. Raises XexpError for a version of another project."""
    if request.version is None:
        return request
    own = project.own(request.version)
    if own.prefix != project.prefix:
        mine = f"'{project.prefix}'" if project.prefix else "no prefix"
        raise XexpError(
            f"{own} is a version of another project: those of this one have {mine}",
            "run the command in the folder of that project",
        )
    return replace(request, version=own)


def of_record(project: Project, request: TagRequest) -> TagRequest:
    """Return the request for a record's run: by the tracker's id, else by its content.

    Raises NoAnswer for a run that failed.
    """
    name = request.wanted.run
    if request.ran is not None or not (name or request.wanted.best):
        return request
    records = record.read(project)
    run_record = record.find(records, name) if name else _best_record(project, request, records)
    if run_record is None:
        return request
    if run_record.status != "done" and not request.mismatch:
        raise NoAnswer(
            _outcome(run_record),
            f"its log: git xexp explore log {run_record.id}; or tag it anyway: --allow-mismatch",
        )
    # the metrics files of the work tree may be those of another run
    wanted = replace(
        request.wanted,
        run=name if name and name != run_record.id else run_record.tracker_run,
        best=None,
        unwritten=frozenset(metrics_files(project.config)),
        metrics={**run_record.metrics, **request.wanted.metrics},
    )
    if _shares_id(run_record, records):
        windows = {
            (rows.table, rows.run): Window(rows.before, rows.rows) for rows in run_record.tables
        }
        wanted = replace(wanted, windows=windows)
    if not run_record.tables:
        params = {**run_record.params, **wanted.params}
        wanted = replace(wanted, run=None, files_only=True, params=params)
    return replace(request, wanted=wanted, record=run_record)


def _outcome(run_record: RunRecord) -> str:
    """What became of a run that did not succeed."""
    how = f"exit code {run_record.code}" if run_record.code is not None else run_record.note
    return f"run {run_record.id} {_ENDS.get(run_record.status, 'failed')}: {how}"


def _of_tracker(records: Iterable[RunRecord], collected: Collected) -> RunRecord | None:
    """The record of the tagged run, by the id of its tracker."""
    run = collected.run
    return next((each for each in records if each.named(run.id)), None) if run else None


def _measurements(
    project: Project, records: Iterable[RunRecord], known: RunRecord | None
) -> set[str]:
    """Files for git to track, as in the commit of a run that is tagged at once: metrics files as a run
    on record left them, and what DVCLive keeps of the tagged one."""
    names = {*metrics_files(project.config)}
    written: dict[str, str] = {}
    for each in records:
        if not each.apart:
            for path in names.intersection(each.outputs):
                written.setdefault(path, each.outputs[path])
    ours = known.tables if known and not known.apart else ()
    folders = tuple(f"{t.database}/" for t in ours if "dvclive" in t.database.split("/"))
    if not written and not folders:
        return set()
    loose = project.at_top.fields(*UNTRACKED)
    files = [(project.top / path, False) for path in written if path in loose]
    hashes = file_hashes(project.top, files, project.stat_cache)
    own = {path for path in written if written[path] == f"md5:{hashes.get(project.top / path)}"}
    return own | {path for path in loose if folders and path.startswith(folders)}


def _shares_id(one: RunRecord, records: Iterable[RunRecord]) -> bool:
    """Whether other runs logged under the same id of their tracker."""
    return any(rows.before for rows in one.tables) or any(
        other.named(rows.run) for other in records if other.id != one.id for rows in one.tables
    )


#: What became of a run, after its name.
_ENDS = {
    "running": "is not done",
    "stopped": "was stopped",
    "timeout": "timed out",
    "killed": "was killed",
}


def _for_git(project: Project, path: str, artifacts: Mapping[str, str]) -> bool:
    """Whether git should track a file of a run: one that it already tracks (including pipeline
    outputs with ``cache: false``), but no new model or output."""
    is_model = describe.role(path, project.config) is describe.OutputRole.MODEL
    return project.at_top.tracks(path) or not (is_model or path in artifacts)


def _undecided(parent: Experiment | None, collected: Collected) -> list[str]:
    """Return a note on a changed value that may be a parameter but is not known to be one."""
    before = parent.payload if parent else Payload("")
    names = collected.undecided({**before.params, **before.context})
    if not names:
        return []
    said = f"{some(names, 3)} changed, and nothing says whether that is a parameter"
    return [f"{said}: git config xexp.roles.param {names[0]} (or .context)"]


def _changed_params(
    project: Project, parent: Experiment | None, collected: Collected
) -> tuple[str, ...]:
    """The parameters that differ from those of the parent, by today's roles."""
    if parent is None:
        return ()
    params = collected.comparable(parent.payload, project.config)
    before = parent.payload._replace(params=params)
    return tuple(describe.changed_params(before, Payload("", params=collected.params)))


def _evidence(
    request: TagRequest, collected: Collected, outputs: Outputs, binding: Binding
) -> Iterator[str]:
    run = collected.run
    if run is None:
        yield "run: none found; parameters and metrics are those of the files and options"
        return
    if request.wanted.best:
        why = f"the best {request.wanted.best}"
    else:
        why = "asked for" if request.wanted.run else "wrote last"
    yield f"run: {run.id} of {run.database.name}, {why}"
    last = binding.writer
    changed = some([output.path for output in outputs.changed], 5) or "no output"
    if last is None:
        yield f"files: of {run.id}, which wrote last ({changed} changed since the last commit)"
    else:
        kept = some([file.path for file in binding.kept], 5)
        yield f"files: {kept or 'as the last commit has them'}; {last} wrote last"
    checked = (
        "not checked" if request.mismatch else "parameter and metrics files do not contradict it"
    )
    yield f"values: {checked}"


def _without_tag(project: Project, tags: Tags) -> tuple[str, ...]:
    """Return a note on experiments that have no parent, because they have no tag here."""
    missing = untagged(project, tags)
    if not missing:
        return ()
    return (f"no tag here for {some(missing, 3)} of the registry: git xexp registry restore-tags",)


def _outputs(project: Project, request: TagRequest, changes: Changes) -> Outputs:
    """The outputs of the work tree. Raises XexpError for those that the tag must not include."""
    outputs = outputs_of(project)
    if not request.commit:
        _refuse_unrecorded(outputs, changes)
        return outputs
    if not request.revert_outputs:
        refuse_stale(project, outputs)
    return outputs


def _collect(
    project: Project,
    request: TagRequest,
    tags: Tags,
    outputs: Outputs,
    changes: Changes,
) -> Collected:
    """Return the run and its values. If the newest run is already tagged, for example after a
    merge, use the newest one that is not in the last commit. Raises LostRows."""
    wanted = request.wanted
    if wanted.best:
        wanted = replace(wanted, among=competing(project, request, tags))
    collected = collect(project.top, project.config, wanted)
    if not request.commit:
        return collected
    rows = [] if request.drop_rows else compare_rows(project, outputs, changes.modified)
    refuse_lost_rows(rows)
    run = collected.run
    if run is None or wanted.run or wanted.best or not tags.of_run(run.id):
        return collected
    new = {name for each in rows for name in each.new if not tags.of_run(name)}
    runs = all_runs(project.top, project.config)
    own = next((each.id for each in runs if each.id in new), None)
    models = _models(project, outputs)
    own = own or _run_of_models(project, models, tags)
    if own is None and not request.mismatch:
        touched = {*changes.modified, *(output.path for output in outputs.changed)}
        placed = {found.hash_after for found in project.registry.promotions()}
        models = {path: oid for path, oid in models.items() if oid not in placed}  # as promoted
        _refuse_models_of_others(run, tags.of_run(run.id), models, touched)
    if own is None or own == run.id:
        return collected
    return collect(project.top, project.config, replace(wanted, run=own))


def _best_record(
    project: Project, request: TagRequest, records: Sequence[RunRecord]
) -> RunRecord | None:
    """Return the best record for ``--best`` if no tracker logged the metric and records have it
    from metrics files; else None."""
    metric = request.wanted.best
    known = [r for r in records if r.status == "done" and not r.tables]
    ranked = [r for r in known if metric and is_ordered(r.metrics.get(metric))]
    if not ranked or metric is None:
        return None
    if any(is_ordered(run.metrics.get(metric)) for run in all_runs(project.top, project.config)):
        return None
    kept = ranked
    if request.of is not None:
        kept = [r for r in ranked if r.version == str(request.of)]
    elif not request.all_runs:
        kept = [r for r in ranked if not r.version]
    if request.where is not None:
        rows = [Row(r.params, r.metrics, None, {"run": r.id}) for r in kept]
        ids = {row.field("run") for row in select(rows, request.where, ColumnNames(rows))[0]}
        kept = [r for r in kept if r.id in ids]
    if not kept:
        _refuse_none_left(request, len(ranked))
    pick = max if maximize(project.config, metric) else min
    return pick(kept, key=lambda r: r.metrics[metric])


def _models(project: Project, outputs: Outputs) -> dict[str, str]:
    """The hash of each model of the work tree."""
    artifacts = _artifacts(outputs.every, outputs.changed)
    is_model = describe.OutputRole.MODEL
    return {p: oid for p, oid in artifacts.items() if describe.role(p, project.config) is is_model}


def _run_of_models(project: Project, models: Mapping[str, str], tags: Tags) -> str | None:
    """Return the run of the newest experiment with the models of the work tree: after a merge that
    kept ours, the newest run is theirs but the models are not. If its tag was recreated by hand,
    the registry has the run."""
    if not models:
        return None
    for said in (e.payload for e in tags):
        if said.run and all(said.artifacts.get(path) == oid for path, oid in models.items()):
            return said.run
    return project.registry.run_with(models)


def _refuse_models_of_others(
    run: Run, tagged: Sequence[Experiment], models: Mapping[str, str], touched: Collection[str]
) -> None:
    """Raise NoAnswer if the newest run came with a merge but the models here belong to another
    commit: the run's experiments have other models, and nothing was trained here since."""
    others = [
        path
        for path, oid in models.items()
        if path not in touched and all(e.payload.artifacts.get(path, oid) != oid for e in tagged)
    ]
    if others:
        raise NoAnswer(
            f"the newest run is {run.id} of {tagged[0].name}, and {some(others, 3)} is not its model",
            "commit what was merged: git commit -a; or name the run whose model it is:"
            " git xexp tag --run RUN; or tag anyway: --allow-mismatch",
        )


def competing(project: Project, request: TagRequest, tags: Tags) -> frozenset[str]:
    """The runs that ``--best`` chooses from: those not tagged yet, unless told otherwise."""
    runs = all_runs(project.top, project.config)
    tagged = {run.id: found[-1].name for run in runs if (found := tags.of_run(run.id))}
    kept = runs
    if request.of is not None:
        names = {str(request.of), str(project.own(request.of))}
        kept = [run for run in runs if names.intersection((*run.versions, tagged.get(run.id)))]
    elif not request.all_runs:
        kept = [run for run in runs if run.id not in tagged]
    if request.where is not None:
        rows = [Row(run.params, run.metrics, None, {"run": run.id}) for run in kept]
        kept_rows, _ = select(rows, request.where, ColumnNames(rows))
        ids = {row.field("run") for row in kept_rows}
        kept = [run for run in kept if run.id in ids]
    if runs and not kept:
        _refuse_none_left(request, len(runs))
    return frozenset(run.id for run in kept)


def _refuse_none_left(request: TagRequest, number: int) -> NoReturn:
    """Raise XexpError: ``--best`` has no run left to choose from."""
    if request.of is None and request.where is None and not request.all_runs:
        raise XexpError(
            f"no run is untagged ({number} in total)", "to include tagged runs: --all-runs"
        )
    raise XexpError(f"no run matches ({number} in total)", "git xexp explore list --runs")


def _bind(
    project: Project,
    request: TagRequest,
    collected: Collected,
    outputs: Outputs,
    changes: Changes,
    known: RunRecord | None,
) -> Binding:
    if request.mismatch:
        return Binding()
    if collected.run is None:
        return _bind_recorded(project, request)
    modified = changes.modified if request.commit else ()
    earlier = bool(request.wanted.run or request.wanted.best)
    run = collected.run
    apart = known is not None and known.apart
    return bind(project, run, outputs, modified, earlier=earlier, apart=apart)


def _bind_recorded(project: Project, request: TagRequest) -> Binding:
    """Return the files, from its record, of a run that no tracker knows."""
    stored = request.record
    if stored is None:
        return Binding()
    last = next((one for one in record.read(project) if one.outputs or one.kept), stored)
    kept = kept_of(project, stored.name)  # tagging another run may have replaced them since
    if last.id == stored.id and not stored.apart:
        return Binding(stored.id, (), kept) if kept else Binding()
    models = [
        path
        for path in stored.outputs
        if describe.role(path, project.config) is describe.OutputRole.MODEL
        and last.outputs.get(path, stored.outputs[path]) != stored.outputs[path]
        and path not in {file.path for file in kept}
    ]
    if models:
        raise NoAnswer(
            f"{some(models, 3)} in the work tree is of run {last.id}, which wrote last, not of"
            f" {stored.id}, of which none is kept",
            f"run it again: git xexp rerun {stored.id} --keep; or tag anyway: --allow-mismatch",
        )
    return Binding(last.id, (), kept)


def made_by_run(request: TagRequest, loose: Untracked) -> tuple[str, ...]:
    """Return untracked files that the tagged run is known to have created."""
    if request.ran is not None:
        return request.ran.made
    if request.record is None:
        return ()
    own = {*request.record.outputs, *(found.database for found in request.record.tables)}
    return tuple(path for path in (*loose.models, *loose.results) if path in own)


def _refuse_untracked(project: Project, request: TagRequest) -> None:
    """Raise XexpError if the first experiment would contain nothing that was trained."""
    loose = untracked(project)
    own = {*made_by_run(request, loose)}
    loose = replace(loose, models=tuple(path for path in loose.models if path not in own))
    if loose.data or loose.models:
        raise XexpError(
            f"neither git nor DVC tracks {some(loose.every, 6)}",
            f"track them with the tag: --track (or dvc add {project.typed(*loose.every)}),"
            " or tag without them: --no-track",
        )


def declared(run: Run | None, used: Taken) -> AnyVersion | None:
    """The version that the rows of ``run`` name, if they name one and it is free."""
    named = [versions.parse(text) for text in run.versions] if run else []
    if len(named) != 1 or named[0] is None:
        return None
    own = named[0] if named[0].prefix else named[0]._replace(prefix=used.prefix)
    return None if own in used or own.prefix != used.prefix else own


def _refuse_unrecorded(outputs: Outputs, changes: Changes) -> None:
    """Raise XexpError if HEAD does not contain the work tree's data."""
    pointed = {*changes.modified, *changes.staged_new, *changes.untracked}
    differ = [output.path for output in outputs.changed]
    differ += [output.path for output in outputs.every if output.pointer in pointed]
    if differ:
        raise XexpError(
            f"the last commit does not hold these outputs: {some(sorted(set(differ)), 5)}",
            "commit them with the tag: leave out --no-commit",
        )


def describe_experiment(
    project: Project,
    request: TagRequest,
    collected: Collected,
    artifacts: Mapping[str, str],
    head: str,
    changed: Sequence[str] = (),
) -> Payload:
    """The payload without version, code and reason, at the commit ``head``; ``changed`` names the
    parameters that differ from the parent's."""
    config, run = project.config, collected.run
    data = describe.data_hash(describe.data_outputs(artifacts, config))
    line = request.headline or describe.headline(
        collected.params, collected.metrics, data, request.text, config, changed
    )
    return Payload(
        headline=line,
        text=describe.prose(line),
        config_hash=config_hash.config_hash(collected.params),
        data=data,
        run=run.id if run else own_id(request),
        run_commit=_ran_at(project, run.commits if run else (), request, head),
        results=run.database.relative_to(project.top).as_posix() if run else "",
        table=run.table if run else "",
        labels=tuple(sorted(set(request.labels))),
        params=collected.params,
        metrics=collected.metrics,
        context=_context(collected, head),
        artifacts=artifacts,
    )


#: Longer texts are not useful to say where something ran.
_LONGEST = 200


def _context(collected: Collected, head: str) -> dict[str, Any]:
    """Where it ran, as far as its rows tell; never part of a configuration."""
    own = dict(collected.context)
    if collected.run is None or not collected.run.commits:
        own.setdefault("git_commit", head)
    return {
        name: value
        for name, value in sorted(own.items())
        if isinstance(value, bool | int | float)
        or (isinstance(value, str) and len(value) <= _LONGEST)
    }


def parent_of(project: Project, tags: Tags) -> Experiment | None:
    """Return the experiment to compare with: the newest that HEAD contains, else the newest of all."""
    return newest_in(project, "HEAD", tags) or next(iter(tags.newest(1)), None)


def rerun_of(
    tags: Tags,
    payload: Payload,
    config: settings.Config,
    collected: Collected,
) -> Experiment | None:
    """The newest experiment with the same configuration (by today's roles), data and code."""
    data = describe.data_outputs(payload.artifacts, config)
    for experiment in tags.of_code(payload.code):
        other = experiment.payload
        if not other.config_hash:
            continue
        if describe.data_outputs(other.artifacts, config) != data:
            continue
        params = collected.comparable(other, config)
        if payload.config_hash in (other.config_hash, config_hash.config_hash(params)):
            return experiment
    return None


def own_id(request: TagRequest) -> str:
    """The id of the record of the run that is tagged; "" if none is known."""
    known = request.ran or request.record
    return known.id if known else ""


def _ran_at(project: Project, commits: Sequence[str], request: TagRequest, head: str) -> str:
    """Return the commit that ran; else the one that the run recorded, if it is in this repository,
    else HEAD."""
    if request.ran is not None:
        return request.ran.commit
    if request.record is not None and request.record.run_commit:
        return project.git.resolve(request.record.run_commit) or head
    known = project.git.resolve(commits[-1]) if commits else None
    return known or head


def _artifacts(outputs: Iterable[Output], changed: Iterable[Output]) -> dict[str, str]:
    merged = {output.path: output for output in (*outputs, *changed)}
    return pointers.contents(merged.values())


def _accepted(project: Project, changes: Changes, request: TagRequest) -> tuple[str, ...]:
    """The modified tracked files that the commit may take: all with ``-a``, else none."""
    if changes.unmerged:  # git stash pop leaves conflicts with nothing in progress
        raise XexpError(
            f"not merged yet: {', '.join(changes.unmerged[:10])}",
            "settle rows with git xexp conflicts, files by hand and git add",
        )
    modified = tuple(path for path in changes.modified if not is_ours(path))
    if request.ran is not None:
        return tuple(path for path in modified if path in request.ran.written)
    if request.record is not None:
        own = {*request.record.kept, *request.record.outputs} - {*project.config.params_files}
        accepted = tuple(path for path in modified if path in own)
        modified = tuple(path for path in modified if path not in own)
        if not modified:
            return accepted
    if modified and not request.everything:
        raise XexpError(
            f"tracked files are modified, so no commit holds what ran:\n{lines_of(modified)}",
            "include them: git xexp tag -a, or commit or restore them first",
        )
    if modified:
        refuse_dirty_submodules(project)
    return modified


def is_ours(path: str) -> bool:
    """Whether a tracked file is maintained by this program or by DVC, not by hand."""
    return (
        path == settings.REGISTRY
        or pointers.is_data_pointer(path)
        or PurePosixPath(path).name == ".gitignore"
    )


def _pointer_files(changes: Changes) -> set[str]:
    """Pointers and their .gitignore that ``dvc add`` or ``dvc repro`` left uncommitted."""
    paths = {*changes.modified, *changes.staged_new, *changes.untracked}
    found = {path for path in paths if pointers.is_data_pointer(path)}
    folders = {PurePosixPath(path).parent for path in found}
    ignores = {p for p in paths if PurePosixPath(p).name == ".gitignore"}
    beside = {p for p in ignores if PurePosixPath(p).parent in folders}
    return found | beside | ({settings.REGISTRY} & paths)


def _in_new_folders(project: Project, changes: Changes, outputs: Outputs) -> set[str]:
    """Pointers, and their .gitignore, in untracked folders, of which git lists only the folder."""
    folders = tuple(path for path in changes.untracked if path.endswith("/"))
    found = {out.pointer for out in outputs.every if folders and out.pointer.startswith(folders)}
    beside = {str(PurePosixPath(path).with_name(".gitignore")) for path in found}
    return found | {path for path in beside if (project.top / path).is_file()}


def _number(
    project: Project,
    request: TagRequest,
    used: Taken,
    choice: LevelChoice,
    said: AnyVersion | None,
) -> tuple[AnyVersion, str]:
    """Return the version and the reason; ``said`` is the version in the run's rows."""
    if request.version is not None:
        if request.version in used:
            here = project.git.resolve(f"refs/tags/{request.version}", "object")
            raise XexpError(
                f"{request.version} exists already",
                f"the next free version is {used.following(Level.PATCH)}"
                + ("" if here else "; its tag is not here: git xexp registry restore-tags"),
            )
        return request.version, "as asked"
    reason = f"{choice.level}: {choice.reason}"
    ran = request.ran
    if said is not None and request.level is None and request.name is None:
        if ran is not None and said == ran.version:
            return said, ran.reason
        return said, f"as its run says ({reason})"
    if request.name is not None:
        number = _named(project, used, request.name)
    elif used.latest is None and request.level is None:
        number, reason = used.following(Level.MINOR), "the first experiment"
    else:
        number = used.following(choice.level)
    return _as_told(ran, used, number) or (number, reason)


def _as_told(ran: Ran | None, used: Taken, number: AnyVersion) -> tuple[AnyVersion, str] | None:
    """Return the version that the run was given, unless it is taken by now, or its changes require
    a higher one (``number``) and nothing in it names the given version."""
    if ran is None or ran.version in used or ran.version == number:
        return None
    comparable = isinstance(number, Version) and isinstance(ran.version, Version)
    if comparable and number > ran.version and not ran.told:
        return None
    return ran.version, ran.reason


def _choice(
    project: Project,
    request: TagRequest,
    draft: Payload,
    code: tuple[str, Sequence[str]],
    known: tuple[Tags, Experiment | None, Collected],
) -> LevelChoice:
    tags, parent, collected = known
    if request.level is not None:
        return LevelChoice(request.level, "as asked")
    if parent is None:
        return LevelChoice(Level.MINOR, "no tag here to compare with")
    before = parent.payload
    if before.handwritten:
        every = pointers.outputs_at(project.git, parent.commit)
        at_parent = _artifacts([out for out in every if project.config.has(out.path)], ())
        row = project.registry.row(parent.name)
        if row is not None and row.run and row.artifacts.items() <= at_parent.items():
            before = row  # the tag was recreated with different text
        before = before._replace(artifacts=at_parent)
    before = before._replace(params=collected.comparable(before, project.config))
    head, modified = code
    files = code_changes(project.at_top, parent.commit, head, project.config, modified)
    choice = describe.choose_level(before, draft, parent.name, project.config, files)
    if choice.level is Level.PATCH and _other_command(project, request.command, parent):
        choice = LevelChoice(Level.MINOR, f"the command changed since {parent.name}")
    again = rerun_of(tags, draft, project.config, collected)
    if again is None:
        return choice
    return LevelChoice(choice.level, f"{choice.reason} (reruns {again.name})")


def _other_command(project: Project, command: tuple[str, ...], parent: Experiment) -> bool:
    """Whether the parent ran another command, whose options may be parameters that are in no file."""
    if not command:
        return False
    records = map(record.loaded, project.registry.runs())
    before = next((one.command for one in records if one.version == parent.name), command)
    return before != command


def _named(project: Project, used: Taken, name: str) -> AnyVersion:
    found = used.following_named(name)
    if (
        not project.git.ok("check-ref-format", f"refs/tags/{found}")
        or versions.parse(str(found)) is None
    ):
        raise UsageError(f"'{name}' cannot be part of a tag name", "see git help check-ref-format")
    return found
