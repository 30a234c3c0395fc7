"""What a sweep will run: the configurations, those that already ran, and the sweep's id.

A sweep is its command, its configurations, the code and the data: the same command resumes the same
sweep, and a code change starts a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError, only_one, require_utf8
from gitxexp.common.text import some
from gitxexp.repository import commit as repository_commit
from gitxexp.repository.config_hash import canonical, config_hash, same_value
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import changed
from gitxexp.workflows.experiments import collect, describe, stores
from gitxexp.workflows.experiments.code_hash import code_hash
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.runs import parameters, record, uncommitted
from gitxexp.workflows.runs.environment import uses
from gitxexp.workflows.runs.execute import how_to_start
from gitxexp.workflows.sweeps import grid
from gitxexp.workflows.sweeps.grid import Axis, Configuration, Grid
from gitxexp.workflows.sweeps.queue import queue_of

#: The section of ``params.yaml`` with the default grid.
SECTION = "sweep"


@dataclass(frozen=True)
class SweepRequest:
    """What the user asked for. ``axes`` are the ``-S``; ``jobs`` None: as many as processors."""

    command: tuple[str, ...]
    axes: tuple[Axis, ...] = ()
    file: Path | None = None
    zipped: bool = False
    sample: int | None = None
    seed: int = 0
    sampler: str | None = None
    trials: int | None = None
    metric: str | None = None
    jobs: int | None = None
    timeout: float | None = None
    retries: int = 0
    gpus: tuple[str, ...] = ()
    keep: int | None = None  #: keep the models of this many best runs; None: of all
    force: bool = False
    retry_failed: bool = False
    engine: str | None = None
    clone: bool = False  #: workers of ``engine`` clone, because they cannot see our files
    everything: bool = False  #: ``-a``: commit modified tracked files first

    def __post_init__(self) -> None:
        """Raise UsageError for incompatible options."""
        if bool(self.sampler) != bool(self.trials):
            raise UsageError(
                "--sampler and --trials go together", "like: --sampler tpe --trials 50"
            )
        only_one({"--sampler": self.sampler,
                  "--sample" if self.sample else "--zip": self.sample or self.zipped})  # fmt: skip
        if self.clone and self.engine is None:
            raise UsageError(
                "--workers clone is for an engine", "name it: --engine tcp://HOST:8786"
            )


@dataclass(frozen=True)
class PlannedRun:
    """One configuration. ``key`` is the hash of all parameters; ``ran`` names the run that had it
    already, "" if none did."""

    number: int
    params: Configuration
    key: str
    ran: str = ""


@dataclass(frozen=True)
class SweepPlan:
    """Everything that is decided before anything runs. ``base`` are the parameters of the files,
    ``below`` the folder in the work tree that the command runs in."""

    id: str
    request: SweepRequest
    runs: tuple[PlannedRun, ...]
    grid: Grid
    base: Mapping[str, Any]
    revision: str
    branch: str
    code: str
    data: str
    below: str
    command: tuple[str, ...]
    metric: str | None
    uncommitted: tuple[str, ...] = ()  #: files to commit first, as they are in the work tree

    @property
    def left(self) -> list[PlannedRun]:
        """The configurations that have to run."""
        return [run for run in self.runs if not run.ran]

    @property
    def expected(self) -> dict[str, Any]:
        """For each varied parameter in files, one of its values, preferably a text."""
        varied: dict[str, Any] = {}
        for axis in self.grid.axes if self.request.sampler else ():
            varied[axis.name] = axis.interval.low if axis.interval else axis.values[0]
        for run in self.left:
            texts = {name: v for name, v in run.params.items() if isinstance(v, str)}
            varied = {**run.params, **varied, **texts}
        whole = collect.overlay(self.base, varied)
        return {name: whole[name] for name in self.base if whole[name] != self.base[name]}

    def key(self, params: Mapping[str, Any]) -> str:
        """The hash of a configuration with the parameters of the files."""
        return config_hash(collect.overlay(self.base, params))


def plan(project: Project, request: SweepRequest) -> SweepPlan:
    """The plan; changes nothing. Raises XexpError or UsageError if it cannot be run."""
    project.require_set_up()
    if not request.command:
        raise UsageError(
            "there is no command to run", "like: git xexp sweep -S lr=0.1,0.01 -- python train.py"
        )
    require_utf8(*request.command)
    branch, head = project.at_top.head()
    if head is None:
        raise XexpError("there are no commits yet", "git add -A && git commit")
    unsaved = _uncommitted(project, request)
    found = _grid(project, request)
    _check_names(project, request.command, found.names or [axis.name for axis in found.axes])
    code = code_hash(project.at_top, head, project.config, unsaved)
    data = _data(project)
    base = _base(project)
    configurations = [] if request.sampler else found.configurations(request.sample, request.seed)
    below = os.path.relpath(project.git.cwd.resolve(), project.top)
    command = _command(project, request.command)
    keys = [config_hash(collect.overlay(base, each)) for each in configurations]
    # without the files' values of varied parameters
    rest = {name: v for name, v in base.items() if name not in _varied(base, found)}
    space = sorted(keys) or [request.sampler or "", canonical(rest), *map(repr, found.axes)]
    identity = [request.command, below, code, data, space]
    id = hashlib.sha256(json.dumps(identity).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    before = ran_before(project, request.command, (code, data), base, configurations)
    ran = {} if request.force else before
    runs = tuple(
        PlannedRun(number, each, key, ran.get(number, ""))
        for number, (each, key) in enumerate(zip(configurations, keys, strict=True))
    )
    return SweepPlan(
        id, request, runs, found, base, head, branch or "", code, data, below, command,
        request.metric or project.config.metrics_primary or None, unsaved,
    )  # fmt: skip


def committed(project: Project, planned: SweepPlan) -> SweepPlan:
    """Commit what the plan runs; return the plan unchanged if everything is committed."""
    if not planned.uncommitted:
        return planned
    repository_commit.check_ready(project)
    with project.operation("sweep") as running:
        subject = f"Sweep {planned.id}: {shlex.join(planned.request.command)}"
        repository_commit.commit(
            project, running, planned.uncommitted, f"{subject}\n", everything=True
        )
        running.summary.append(f"committed what sweep {planned.id} runs")
    project.forget_config()
    return plan(project, planned.request)


def _varied(base: Mapping[str, Any], found: Grid) -> set[str]:
    """The parameters of the files that a configuration sets, by their whole names."""
    names = [*found.names, *(axis.name for axis in found.axes)]
    return {name for name in base for own in names if name == own or name.endswith(f".{own}")}


def _uncommitted(project: Project, request: SweepRequest) -> tuple[str, ...]:
    """Return changes of the work tree that the runs, based on the last commit, would not see.

    Raises XexpError unless they will be committed first, or if they are data.
    """
    changes = repository_commit.changes(project)
    config = project.config
    wrong = uncommitted.modified(project, changes)
    tracked = [] if request.everything else wrong
    others = [*changes.unmerged, *uncommitted.untracked(project, request.command, changes)]
    if tracked or others:
        names = some(sorted({*tracked, *others}), 5)
        raise XexpError(
            f"not in the last commit, which is what a sweep runs: {names}",
            "commit them: git add -A && git commit" if others else
            "commit them first: git xexp sweep -a",
        )  # fmt: skip
    outputs = [
        out
        for out in project.outputs()
        if describe.role(out.path, config) is describe.OutputRole.DATA and out.stage is None
    ]
    data = [out.path for out in changed(project.top, outputs, project.stat_cache)]
    if data:
        raise XexpError(
            f"data is not what its pointer says: {some(data, 5)}",
            f"keep it: dvc add {project.typed(data[0])} and commit,"
            f" or drop it: dvc checkout {project.typed(data[0])}",
        )
    return tuple(sorted(wrong))


def _grid(project: Project, request: SweepRequest) -> Grid:
    """The configurations that are asked for; by default the section in the parameter files."""
    grids = []
    if request.file is not None:
        grids.append(grid.read(request.file))
    if request.axes:
        grids.append(grid.multiplied(request.axes, zipped=request.zipped))
    if not grids:
        section = _section(project)
        if not section:
            raise UsageError(
                "there is nothing to vary",
                "like: -S lr=0.1,0.01, --file grid.toml, or a section sweep: in params.yaml",
            )
        grids.append(grid.of_mapping(section, SECTION))
    found = grid.joined(grids)
    if request.sampler is None:
        empty = next((axis.name for axis in found.axes if not axis.values), None)
        if empty:
            raise UsageError(
                f"{empty}: how many values?",
                f"like: -S '{empty}=log(1e-4,1e-1,4)', or --sampler tpe",
            )
    return found


def _section(project: Project) -> Mapping[str, Any]:
    from gitxexp.trackers.files import read_params

    for name in project.config.params_files:
        path = project.top / name
        section = read_params(path).get(SECTION) if path.is_file() else None
        if isinstance(section, dict):
            return section
    return {}


def _check_names(project: Project, command: Sequence[str], names: Sequence[str]) -> None:
    """Raises as :func:`parameters.plan` for parameters used by neither a file nor a word of the
    command."""
    missing = set(parameters.unknown(project.top, project.config, names))
    for name in names:
        if name not in missing or not uses(command, name):
            parameters.plan(project.top, project.config, {name: ""})


def _command(project: Project, command: Sequence[str]) -> tuple[str, ...]:
    """Return the command, with an absolute path for a program given by an untracked path
    (``.venv/bin/python``): a worktree does not have it."""
    program = command[0]
    if "/" in program and not Path(program).is_absolute():
        path = project.git.cwd / program
        if path.exists() and not project.git.tracks(program):
            return (str(path.absolute()), *command[1:])
    elif "/" not in program and shutil.which(program) is None:
        hint = how_to_start(program, project.git.cwd) or "name it by its path, or set PATH"
        if " " in program:
            hint = f"give its words one by one: {program}; or a line of a shell: sh -c '{program}'"
        raise XexpError(f"there is no command '{program}'", hint)
    return tuple(command)


def _data(project: Project) -> str:
    artifacts = {
        out.path: out.hash
        for out in pointers.outputs_at(project.at_top, "HEAD")
        if out.hash and project.config.has(out.path)
    }
    return describe.data_hash(describe.data_outputs(artifacts, project.config))


def _base(project: Project) -> dict[str, Any]:
    """The parameters of the files, as they are without the sweep's."""
    config = project.config._replace(results_databases=(stores.ONLY,), metrics_files=())
    return collect.collect(project.top, config, RunChoice()).params


def ran_before(
    project: Project,
    command: Sequence[str],
    state: tuple[str, str],
    base: Mapping[str, Any],
    configurations: Sequence[Configuration],
) -> dict[int, str]:
    """The configurations that ran well with this command and ``state`` (the hashes of code and
    data), in any sweep or run; number → run."""
    code, data = state
    keys = [config_hash(collect.overlay(base, each)) for each in configurations]
    done = queue_of(project).done(keys, command, code, data)
    found = {number: done[key] for number, key in enumerate(keys) if key in done}
    records = [
        each
        for each in record.read(project)
        if each.status == "done" and each.code_hash == code and each.data == data
        and not each.patch and each.command == tuple(command)
    ]  # fmt: skip
    if not records:
        return found
    by_hash = {each.config_hash: each.id for each in records}
    for number, (params, key) in enumerate(zip(configurations, keys, strict=True)):
        if number in found:
            continue
        wanted = collect.overlay(base, params)
        same = by_hash.get(key) or next(
            (each.id for each in records if _has(each.params, wanted)), None
        )
        if same:
            found[number] = same
    return found


def _has(params: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a run had all these parameters; its tracker may have logged more."""
    return all(name in params and same_value(params[name], v) for name, v in wanted.items())
