"""``run``: run a command as an experiment. First check everything that could prevent its tag; keep
a record while it runs; then record and tag its outputs.

The record goes into the registry even if the tag fails, and the exit code is the command's.
"""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, UsageError, XexpError, only_one, require_utf8
from gitxexp.common.files import naming
from gitxexp.common.notes import stays
from gitxexp.common.text import counted, lines_of, some
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import prefetch
from gitxexp.repository.commit import Changes
from gitxexp.repository.config_hash import config_hash
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import show
from gitxexp.repository.version import AnyVersion, Level
from gitxexp.storage import git as storage_git
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.workflows.checks.rule import Finding
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.code_hash import code_hash
from gitxexp.workflows.experiments.collect import RunChoice, collect
from gitxexp.workflows.experiments.describe import OutputRole
from gitxexp.workflows.experiments.outputs import Outputs
from gitxexp.workflows.experiments.plan import (
    Plan,
    Ran,
    TagRequest,
    plan,
    refuse_two_versions,
)
from gitxexp.workflows.models.inventory import all_slots
from gitxexp.workflows.runs import parameters, record, traces, uncommitted
from gitxexp.workflows.runs.environment import RunContext, environment, uses, words
from gitxexp.workflows.runs.execute import Execution, execute
from gitxexp.workflows.runs.parameters import ParameterFile
from gitxexp.workflows.runs.record import RunFolders, RunRecord, UnderWay
from gitxexp.workflows.runs.software import Software, SoftwareQuery
from gitxexp.workflows.runs.traces import Before, Traces
from gitxexp.workflows.runs.warnings import QUESTIONS, warnings

if TYPE_CHECKING:
    from gitxexp.workflows.experiments.tag import Tagged

#: Files that a run writes are kept with its log up to this size.
_KEPT = 10_000_000


@dataclass(frozen=True)
class RunRequest:
    """What the user asked ``run`` for. ``command`` () means the configured one, or ``dvc repro``."""

    command: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)  #: ``-S``
    version: AnyVersion | None = None
    level: Level | None = None
    name: str | None = None  #: for exp-NAME-vN
    text: str = ""
    labels: tuple[str, ...] = ()
    everything: bool = False  #: ``-a``: commit modified tracked files first
    dirty: bool = False  #: run them uncommitted
    tag: bool = True
    push: bool = False
    remote: str | None = None
    stamp: bool | None = None
    track: bool = True  #: refuse the first experiment if its data is untracked
    timeout: float | None = None
    checks: bool = True  #: show the findings of ``check --before``
    keep: bool = True  #: keep its model as a candidate


@dataclass(frozen=True)
class Prepared:
    """A prepared run: ``words`` is the command to start, ``params`` those used only in its words."""

    request: RunRequest
    command: tuple[str, ...]
    words: tuple[str, ...]
    folder: str
    planned: Plan
    context: RunContext
    before: Before
    params: Mapping[str, Any]
    code: str
    patch: bytes
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class CompletedRun:
    """A run that has ended. ``problem``: why tagging it failed."""

    record: RunRecord
    execution: Execution
    log: Path
    tagged: Tagged | None = None
    problem: XexpError | None = None
    notes: tuple[str, ...] = ()


#: ``begin(prepared)`` is called when all is ready, before the command starts.
Begin = Callable[[Prepared], None]


def run(
    project: Project,
    request: RunRequest,
    *,
    cwd: Path,
    begin: Begin | None = None,
    echo: bool = True,
    out: int = 1,
    wait: bool = True,
) -> CompletedRun:
    """Run a command as an experiment, in the folder ``cwd`` of the work tree.

    ``echo`` and ``out`` are those of :func:`.execute.execute`. Raises XexpError before anything
    runs if the code is not committed, data differs from its pointers, the command or a parameter
    does not exist, or the tag would be refused anyway.
    """
    early = QUESTIONS if request.checks else ()
    with storage_git.begun(project.at_top, early), storage_git.asked_once():
        prepared = prepare(project, request, cwd=cwd, wait=wait)
    if begin is not None:
        begin(prepared)
    folders = RunFolders(project.state)
    first = _first_record(prepared)
    with folders.under_way(first, project.top) as under_way:
        if prepared.patch:
            with naming(under_way.folder / "patch"):
                (under_way.folder / "patch").write_bytes(prepared.patch)
        env = environment(prepared.context)
        asked = SoftwareQuery(prepared.words, env, cwd)
        if request.tag:
            threading.Thread(target=_import_the_rest, daemon=True).start()
        try:
            execution = execute(
                prepared.words, cwd=cwd, env=env, log=under_way.log, echo=echo, out=out,
                timeout=request.timeout, started=lambda group: under_way.note(first, group),
            )  # fmt: skip
        except BaseException:  # it never began
            under_way.forget()
            raise
        try:
            ended = _ended(first, execution)
            under_way.note(ended)
            with storage_git.begun(project.at_top, prefetch.RUN_AFTER), storage_git.asked_once():
                software = asked.answer()
                left = traces.look_after(project, prepared.before, first)
                done = _recorded(project, prepared, ended, left, software, under_way)
            under_way.note(done)
            _write(project, done, software, wait=wait)
        except BaseException as error:
            told = f"run {first.id} has ended: the next command that changes something records it"
            stays(told)
            if isinstance(error, XexpError):
                hint = f"{error.hint}\n{told}" if error.hint else told
                raise XexpError(error.message, hint, error.exit_code) from error
            raise
        under_way.settled()
    result = CompletedRun(done, execution, under_way.log, notes=_notes(left, execution))
    if execution.code:
        return result
    return _finish(project, prepared, result, left, wait=wait)


def _import_the_rest() -> None:
    """Import what a tag needs while the command runs: it takes as long as everything before."""
    with suppress(ImportError):
        from gitxexp.storage.sqlite_write import database

        with closing(sqlite3.connect(":memory:")) as memory:
            database(memory)


# -- before ----------------------------------------------------------------------------------------


def prepare(project: Project, request: RunRequest, *, cwd: Path, wait: bool = True) -> Prepared:
    """Prepare everything before the command starts; set and commit the parameters.

    Raises as :func:`run` does.
    """
    project.recover_first(wait=wait)
    project.require_set_up()
    only_one({"--all": request.everything, "--dirty": request.dirty})
    refuse_two_versions(request.version, request.level, request.name)
    command = request.command or default_command(project)
    require_utf8(*command)
    in_files, in_words = _split(project, command, request.params)
    files = parameters.plan(project.top, project.config, in_files)
    changes = repository_commit.changes(project)
    _refuse_uncommitted(project, changes, request, command)
    id = record.new_id()
    written = [file.path for file in files if file.changed]
    if not request.dirty and (written or (request.everything and uncommitted.tracked(changes))):
        _commit_first(project, id, request, files, changes.staged_new, wait=wait)
    elif files:
        with storage_git.asked_anew():
            parameters.write(project.top, files)
    if written or request.everything:
        project.forget_config()
        changes = repository_commit.changes(project)
    given = RunChoice(files_only=True, ahead=True, params=in_words)
    own = collect(project.top, project.config, given)
    planned = plan(project, _before_request(request, command, own.params))
    _refuse_data(project, planned)
    before = traces.look_before(project, Outputs(planned.outputs, planned.changed), changes)
    if request.tag and request.track and not planned.payload.parent:
        _refuse_untracked(project, before)
    dirty = uncommitted.modified(project, changes)
    untracked = uncommitted.untracked(project, command, changes)
    context = RunContext(
        run=id,
        version=str(planned.version),
        commit=planned.head,
        branch=planned.branch or "",
        data=planned.payload.data,
        config_hash=config_hash(own.params),
        log=RunFolders(project.state).log(id),
    )
    return Prepared(
        request=request,
        command=tuple(command),
        words=tuple(words(command, context, request.params)),
        folder=_folder(project, cwd),
        planned=planned,
        context=context,
        before=before,
        params=in_words,
        code=code_hash(project.at_top, planned.head, project.config, (*dirty, *untracked)),
        patch=_patch(project, dirty, untracked),
        findings=warnings(project) if request.checks else (),
    )


def default_command(project: Project) -> tuple[str, ...]:
    """The configured command, else ``dvc repro``. Like a Makefile's, it is run because the user
    asks for it. Raises UsageError if there is none."""
    if project.config.run_command:
        try:
            return tuple(shlex.split(project.config.run_command))
        except ValueError as error:
            raise XexpError(f"[run] command: {error}", "fix .xexp/config.toml") from error
    if (project.top / "dvc.yaml").is_file():
        return ("dvc", "repro")
    raise UsageError(
        "there is no command to run",
        "git xexp run -- python train.py, or name it once: [run] command in .xexp/config.toml",
    )


def _split(
    project: Project, command: Sequence[str], params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that go into files, and those that only words of the command use."""
    unknown = set(parameters.unknown(project.top, project.config, params))
    in_words = {name: value for name, value in params.items()
                if name in unknown and uses(command, name)}  # fmt: skip
    return {n: v for n, v in params.items() if n not in in_words}, in_words


def _refuse_uncommitted(
    project: Project, changes: Changes, request: RunRequest, command: Sequence[str]
) -> None:
    if request.dirty:
        return
    untracked = uncommitted.untracked(project, command, changes)
    if untracked:
        names = project.typed(*untracked)
        raise XexpError(
            f"no commit holds what would run: git does not track {some(untracked, 5)}",
            f"commit it first: git add {names} && git xexp run -a; or run it as it is, without a tag:"
            " --dirty",
        )
    modified = uncommitted.modified(project, changes)
    if modified and not request.everything:
        raise XexpError(
            f"tracked files are modified, so no commit holds what would run:\n{lines_of(modified)}",
            "commit them first: git xexp run -a; or run them as they are, without a tag: --dirty",
        )


_WHOLE = ("--binary", "--no-ext-diff", "--no-textconv")


def _patch(project: Project, dirty: Sequence[str], untracked: Sequence[str]) -> bytes:
    """What the work tree has beyond HEAD, for ``git apply``."""
    git = project.at_top
    patch = git.raw("diff", *_WHOLE, "HEAD", "--", *dirty) if dirty else b""
    for path in untracked:
        patch += git.raw("diff", *_WHOLE, "--no-index", "--", "/dev/null", path, ok=(0, 1))
    return patch


def _commit_first(
    project: Project,
    id: str,
    request: RunRequest,
    files: Sequence[ParameterFile],
    added: Sequence[str],
    *,
    wait: bool,
) -> None:
    """Set the parameters and commit what will run; with ``-a`` all tracked changes and the files
    that were ``added`` to the index. If the commit is refused, the parameters are restored."""
    repository_commit.check_ready(project)
    said = " ".join(f"{name}={show(value)}" for name, value in request.params.items())
    with project.operation("run", wait=wait) as running:
        for file in files:
            if file.changed:
                running.save_file(project.top / file.path)
        written = parameters.write(project.top, files)
        if request.everything:
            written += added
        subject = f"Run {id}" + (f": {said}" if said else "")
        repository_commit.commit(
            project, running, written, f"{subject}\n", everything=request.everything
        )
        running.summary.append(f"committed what run {id} runs")


def _before_request(
    request: RunRequest, command: Sequence[str], params: Mapping[str, Any]
) -> TagRequest:
    """Plan the tag before the run: its version, and what would prevent it."""
    return TagRequest(
        version=request.version, level=request.level, name=request.name,
        wanted=RunChoice(use_run=False, ahead=True, params=params), everything=True, mismatch=True,
        track=False, command=tuple(command), drop_rows=not request.tag,
    )  # fmt: skip


def _refuse_data(project: Project, planned: Plan) -> None:
    """Raise XexpError if source data differs from its pointers: no commit would contain what was
    read."""
    data = [
        out.path
        for out in planned.changed
        if out.stage is None and describe.role(out.path, project.config) is OutputRole.DATA
    ]
    if data:
        names = project.typed(*data[:5])
        raise XexpError(
            f"data differs from its pointer: {some(data, 5)}",
            f"add it: dvc add {names} && git commit -am 'new data'; or restore it:"
            f" dvc checkout {names}",
        )
    absent = [
        path for path in planned.absent if describe.role(path, project.config) is OutputRole.DATA
    ]
    if absent:
        raise XexpError(f"data is not here: {some(absent, 5)}", "fetch it: dvc pull")


def _refuse_untracked(project: Project, before: Before) -> None:
    """Raise XexpError if the first experiment would not contain its training data."""
    data = before.loose.data
    if data:
        raise XexpError(
            f"neither git nor DVC tracks {some(data, 6)}",
            f"track them first: dvc add {project.typed(*data)} && git add . && git commit;"
            " or run without them: --no-track",
        )


def _folder(project: Project, cwd: Path) -> str:
    folder = project.inside(cwd.resolve()) or project.inside(cwd)
    return "" if folder in (None, ".") else str(folder)


def _first_record(prepared: Prepared) -> RunRecord:
    """The record of a run that begins now."""
    context, patch = prepared.context, prepared.patch
    return RunRecord(
        id=context.run,
        status="running",
        command=prepared.command,
        folder=prepared.folder,
        started=record.timestamp(),
        params=dict(prepared.planned.payload.params) | dict(prepared.params),
        config_hash=context.config_hash,
        data=context.data,
        run_commit=context.commit,
        code_hash=prepared.code,
        branch=context.branch,
        patch=f"sha256:{hashlib.sha256(patch).hexdigest()}" if patch else "",
        **record.whose(),
    )


# -- after -----------------------------------------------------------------------------------------


def _ended(first: RunRecord, execution: Execution) -> RunRecord:
    """The record of a run whose command has ended, as far as that alone is known."""
    return replace(
        first,
        status=status_of(execution),
        code=execution.code,
        started=record.timestamp(execution.started),
        ended=record.timestamp(execution.ended),
        log=execution.log_hash,
        note=f"its log is incomplete: {execution.log_error}" if execution.log_error else "",
    )


def _recorded(
    project: Project,
    prepared: Prepared,
    ended: RunRecord,
    left: Traces,
    software: Software,
    under_way: UnderWay,
) -> RunRecord:
    """The record of the run as it ended, with copies of the small files that it wrote kept."""
    known = collect(project.top, project.config, _wanted(prepared, left))
    kept = _kept(project, left, under_way)
    return replace(
        ended,
        python=software.python,
        packages=software.hash,
        params=known.params,
        metrics=known.metrics,
        outputs={} if left.doubt else left.outputs,
        kept=kept,
        tables=left.rows,
        note="; ".join(filter(None, (left.doubt, left.earlier, ended.note))),
    )


def status_of(execution: Execution) -> record.Status:
    """How a command ended, for records. One that was asked to end and exits with 0 is done."""
    if execution.why == "timeout":
        return "timeout"
    if execution.code == 0:
        return "done"
    return "failed" if execution.why == "exit" else "stopped"


def _wanted(prepared: Prepared, left: Traces) -> RunChoice:
    """Return the selection of this run's values, without files that another run may have written."""
    if left.doubt:
        return RunChoice(
            run=left.run or None, params={**prepared.planned.payload.params, **prepared.params},
            files_only=not left.run, unwritten=left.unwritten | {*left.metrics},
            windows=left.windows, beside=left.beside,
        )  # fmt: skip
    return RunChoice(
        run=left.run or None,
        params=prepared.params,
        files_only=not left.run,
        unwritten=left.unwritten,
        windows=left.windows,
        beside=left.beside,
    )


def _kept(project: Project, left: Traces, under_way: UnderWay) -> dict[str, str]:
    """Copies of parameter files, and of the metrics files and the dvc.lock that it wrote: path → hash."""
    config = project.config
    locks = config.pipelines.read.declared.locks if config.pipelines else ()
    own = (*config.params_files, *left.metrics, *(path for path in locks if path in left.written))
    there = [
        path
        for path in dict.fromkeys(() if left.doubt else own)
        if (file := project.top / path).is_file() and not file.is_symlink()
        and file.stat().st_size <= _KEPT
    ]  # fmt: skip
    for path in there:
        under_way.keep(project.top, path)
    files = [(project.top / path, False) for path in there]
    digests = file_hashes(project.top, files, project.stat_cache)
    return {path: f"md5:{digests[project.top / path]}" for path in there}


def _write(project: Project, done: RunRecord, software: Software, *, wait: bool) -> None:
    with project.locked(wait=wait):
        record.write(project, [done], {software.hash: software.packages} if software.hash else {})


def _notes(left: Traces, execution: Execution) -> tuple[str, ...]:
    notes = [left.earlier] if left.earlier else []
    others = list(dict.fromkeys(rows.run for rows in left.rows if rows.run != left.run))
    if others and not left.beside:
        notes.append(
            f"{counted(len(others) + 1, 'run')} logged rows; using the last, {left.run}"
            f" (others: git xexp tag --run {shlex.quote(others[0])})"
        )
    if execution.log_error:
        notes.append(f"the log is incomplete: {execution.log_error}")
    return tuple(notes)


def _finish(
    project: Project, prepared: Prepared, done: CompletedRun, left: Traces, *, wait: bool
) -> CompletedRun:
    """Keep the model and tag the experiment; a refusal is reported, and the run stays."""
    request = prepared.request
    pointers: tuple[str, ...] = ()
    if request.keep and not left.doubt:
        try:
            pointers = _keep_models(project, done.record, left, wait=wait)
        except XexpError as error:
            done = replace(done, notes=(*done.notes, f"its model is not kept: {error.message}"))
    if not request.tag:
        return done
    from gitxexp.workflows.experiments.tag import tag, tag_and_push  # late: see _import_the_rest

    try:
        if prepared.patch:
            note = "not tagged: no commit holds the code that ran (--dirty)"
            return replace(done, notes=(*done.notes, note))
        if not left.any:
            note = (
                "not tagged: it left no rows, no metrics and no outputs (write metrics.json, log with"
                " a tracker, or track what it writes: dvc add)"
            )
            return replace(done, notes=(*done.notes, note))
        if left.doubt:
            raise NoAnswer(
                left.doubt,
                "give each run a work tree: git xexp sweep, or git xexp worktree new NAME",
            )
        wanted = _tag_request(prepared, done.record, left, pointers)
        if request.push:
            tagged = tag_and_push(project, wanted, request.remote, wait=wait)
        else:
            tagged = tag(project, wanted, wait=wait)
    except XexpError as error:
        return replace(done, problem=error)
    version = str(tagged.version)
    if prepared.context.version != version:
        note = (
            f"the command was given version {prepared.context.version}; it is tagged as {version}"
        )
        done = replace(done, notes=(*done.notes, note))
    return replace(done, tagged=tagged, record=replace(done.record, version=version))


def _tag_request(
    prepared: Prepared, done: RunRecord, left: Traces, pointers: tuple[str, ...]
) -> TagRequest:
    request, planned = prepared.request, prepared.planned
    ran = Ran(
        id=done.id,
        commit=prepared.context.commit,
        version=planned.version,
        reason=planned.reason,
        told=request.version is not None or uses(prepared.command, "version"),
        written=left.written,
        made=left.made,
        pointers=(*pointers, *left.fresh),
    )
    return TagRequest(
        level=request.level, name=request.name, wanted=_wanted(prepared, left), text=request.text,
        labels=request.labels, stamp=request.stamp, track=False, ran=ran,
        command=prepared.command, mismatch=True,
    )  # fmt: skip


def _keep_models(project: Project, done: RunRecord, left: Traces, *, wait: bool) -> tuple[str, ...]:
    """Add the production models that the run wrote as its candidates; return the changed pointers."""
    if not left.models:
        return ()
    from gitxexp.workflows.models.add import add  # late: most runs leave no model

    by_path = {slot.production: slot.name for slot in all_slots(project.config)}
    touched: list[str] = []
    for path in left.models:
        slot = by_path.get(path)
        kept = add(project, project.top / path, done.name, slot, linked=True, wait=wait)
        touched += kept.touched
    return tuple(touched)
