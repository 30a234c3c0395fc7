"""``sweep``: run every configuration of a plan, surviving interruptions.

The coordinator gives jobs to an engine, records the state of each, and merges ended runs into the
user's results and registry in batches. If it is killed, the same command resumes: unfinished runs
are terminated and restarted, ended ones are merged and recorded, and neither is done twice.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from pathlib import Path
from types import FrameType
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.repository.repository import Project
from gitxexp.storage.objects import hash_file
from gitxexp.workflows.experiments import collect, describe
from gitxexp.workflows.models.add import RunModel, add_all
from gitxexp.workflows.models.inventory import all_slots
from gitxexp.workflows.runs import record
from gitxexp.workflows.runs.environment import RunContext
from gitxexp.workflows.runs.record import RowsFound, RunFolders, RunRecord
from gitxexp.workflows.runs.software import SoftwareQuery
from gitxexp.workflows.sweeps import pool, results
from gitxexp.workflows.sweeps.engine import EngineLost, JobEngine, Threads
from gitxexp.workflows.sweeps.job import Job, JobOutcome, end_processes
from gitxexp.workflows.sweeps.plan import SweepPlan
from gitxexp.workflows.sweeps.queue import Queue, Result, State, Sweep, Task, queue_of
from gitxexp.workflows.sweeps.ranking import ranked, value_of
from gitxexp.workflows.sweeps.sampler import Sampler

#: Seconds between merges, and the number of ended runs that triggers one.
_EVERY, _BATCH = 2.0, 100
#: Seconds between checks of the flag that ends a sweep.
_TICK = 0.25


@dataclass
class Progress:
    """The progress of a sweep. ``best`` is the best run by the metric so far, ``ended`` the run
    that has just ended; None if nothing has."""

    sweep: str
    total: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    began: float = field(default_factory=time.monotonic)
    metric: str | None = None
    best: Task | None = None
    ended: Task | None = None
    said: str = ""  #: a message, such as what it waits for

    @property
    def left(self) -> int:
        """Runs that have not begun."""
        return self.total - self.done - self.failed - self.skipped - self.running

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the speed so far; None while nothing has ended."""
        ended = self.done + self.failed
        if not ended:
            return None
        passed = time.monotonic() - self.began
        return passed / ended * (self.left + self.running / 2)


#: ``watch(progress)``: called whenever something changes, and a few times a second.
Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Swept:
    """The outcome of a sweep. ``interrupted``: something is left to run; ``tasks`` are all of its
    runs, ``rows`` the rows that are new in the results."""

    id: str
    metric: str | None
    maximize: bool
    tasks: tuple[Task, ...]
    rows: int
    interrupted: bool
    notes: tuple[str, ...] = ()
    version: str = ""  #: version of the best run, if it is already an experiment

    @property
    def ranking(self) -> list[Task]:
        """The runs with a number for the metric, best first."""
        return ranked(self.tasks, self.metric, maximize=self.maximize)

    @property
    def failures(self) -> list[Task]:
        """The runs that failed."""
        return [task for task in self.tasks if task.result in (Result.FAILED, Result.TIMEOUT)]


def sweep(project: Project, plan: SweepPlan, watch: Watch) -> Swept:
    """Run the remaining configurations of the plan and merge their results; returns when all is
    done, or when interrupted (Ctrl-C, ``--stop``), with nothing left behind.

    Raises NoAnswer if another process runs the same sweep.
    """
    project.recover_first()
    queue = queue_of(project)
    try:
        with queue.held(plan.id):
            return _Coordinator(project, plan, queue, watch).run()
    finally:
        queue.close()


def trees_of(project: Project, sweep: str) -> Path:
    """The folder of a sweep's worktrees."""
    return project.state / "sweeps" / sweep / "trees"


@dataclass(frozen=True)
class WorktreeSlot:
    """A slot for one job at a time: its number, and the worktree at ``top``."""

    number: int
    top: Path


class _Coordinator:
    """One running sweep."""

    def __init__(self, project: Project, plan: SweepPlan, queue: Queue, watch: Watch) -> None:
        self.project, self.plan, self.queue, self.watch = project, plan, queue, watch
        self.request = plan.request
        self.folders = RunFolders(project.state)
        self.stop = queue.stop_file(plan.id)
        self.trees = trees_of(project, plan.id)
        self.progress = Progress(plan.id, 0, metric=plan.metric)
        self.futures: dict[Future[JobOutcome], tuple[Task, WorktreeSlot]] = {}
        self.waiting: list[Task] = []  #: what other sweeps are running
        self.jobs = 0  #: how many run at a time
        self.asked = 0  #: how often it was asked to end
        self.told = False  #: whether the engine was told
        self.rows = 0
        self.notes: list[str] = []
        self.owners: dict[str, str] = {}  #: id of a tracker's run → the run that logged it
        self.apart: list[str] = []  #: runs whose rows have another run's id
        self.flushed = time.monotonic()
        self.engine: JobEngine | None = None
        self.sampler: Sampler | None = None
        self.who = record.whose()
        self.outputs = project.outputs()
        self.software = SoftwareQuery(plan.command, os.environ, project.git.cwd)

    # -- the whole ---------------------------------------------------------------------------------

    def run(self) -> Swept:
        self.stop.unlink(missing_ok=True)
        self._enter()
        self.owners = self._known_ids()
        self._take_up()
        try:
            with self._signals():
                if self._open():
                    self._work()
                self._flush(patient=True)
                if not self._open():
                    self._keep_models()
        finally:
            self._leave()
        is_left = bool(self._open())
        if not is_left:
            self.queue.finish(self.plan.id)
            shutil.rmtree(self.trees.parent, ignore_errors=True)
        metric = self.progress.metric
        tasks = tuple(self.queue.tasks(self.plan.id))
        done = Swept(
            self.plan.id, metric, self._maximize(metric), tasks, self.rows,
            is_left, (*self.notes, *self._said_of_ids()),
        )  # fmt: skip
        best = next((task.run for task in done.ranking), None)
        versions = (each.version for each in record.read(self.project) if each.id == best)
        return replace(done, version=next(versions, "") if best else "")

    def _enter(self) -> None:
        """Add the sweep to the queue, or resume an existing one."""
        plan, now = self.plan, time.time()
        before = {sweep.id: sweep for sweep in self.queue.sweeps()}.get(plan.id)
        request = {
            "command": list(self.request.command),
            "settings": sorted({name for run in plan.runs for name in run.params}),
            "metric": plan.metric,
            "retries": self.request.retries,
            "branch": plan.branch,
        }
        new = Sweep(plan.id, request, plan.code, plan.data, plan.revision, now, None, os.getpid())
        tasks = [Task(plan.id, run.number, run.params, run.key) for run in plan.runs]
        self.queue.begin(new, tasks)
        known = {task.number: task for task in self.queue.tasks(plan.id)}
        if self.request.force and (before is None or before.ended is not None):
            self._again(known.values())
        elif self.request.retry_failed:
            self._again(t for t in known.values() if t.result in (Result.FAILED, Result.TIMEOUT))
        elif before is None:
            self._skip([(known[run.number], run.ran) for run in plan.runs if run.ran])
        if self.request.sampler:
            self._begin_study()

    def _skip(self, ran: list[tuple[Task, str]]) -> None:
        """Record which runs already had these configurations, and their metrics."""
        records = {each.id: each for each in record.read(self.project)} if ran else {}
        measured = self.queue.measured([id for _, id in ran])
        facts: dict[int, dict[str, Any]] = {}
        for task, id in ran:
            known = records.get(id)
            metrics = dict(known.metrics) if known else measured.get(id, {})
            facts[task.number] = {
                "result": Result.SKIPPED, "run": id, "outcome": {"metrics": metrics},
            }  # fmt: skip
        self.queue.move([task for task, _ in ran], State.RECORDED, facts)

    def _begin_study(self) -> None:
        metric = self.plan.metric
        if metric is None:
            raise XexpError(
                "a sampler needs a metric", "name it: --metric f1, or [metrics] primary"
            )
        journal = self.trees.parent.with_suffix(".study")
        self.sampler = Sampler(
            journal, self.plan.grid.axes, self.request.sampler or "", self.request.seed,
            maximize=self._maximize(metric),
        )  # fmt: skip
        known = {task.number for task in self.queue.tasks(self.plan.id)}
        lost = {n: c for n, c in self.sampler.trials().items() if n not in known}
        self.queue.add([Task(self.plan.id, n, c, self.plan.key(c)) for n, c in lost.items()])

    def _again(self, tasks: Iterable[Task]) -> None:
        every = list(tasks)
        blank = {"result": Result.NONE, "attempts": 0, "run": "", "outcome": {}}
        self.queue.move(every, State.QUEUED, {task.number: blank for task in every})

    def _take_up(self) -> None:
        """Clean up after a killed process: ended runs are kept, running ones are restarted."""
        pool.remove(self.project, self.trees)
        for task in self.queue.tasks(self.plan.id, State.STARTED):
            end_processes(task.run)
            outcome = JobOutcome.load(self.folders.of(task.run))
            if outcome is not None and outcome.attempt == task.attempts:
                self._ended(task, outcome)
            else:
                self.queue.move([task], State.QUEUED)
        self._count()

    def _open(self) -> list[Task]:
        """The remaining runs, including one that a sampler may still choose."""
        queued = self.queue.tasks(self.plan.id, State.QUEUED, State.STARTED)
        if not queued and self.sampler and self.sampler.asked < (self.request.trials or 0):
            return [Task(self.plan.id, -1, {}, "")]
        return queued

    def _leave(self) -> None:
        """Remove everything except the sweep's queue entry and its runs' outputs."""
        if self.engine is not None:
            self.stop.touch()
            self.engine.kill()
            self.engine.close()
        pool.remove(self.project, self.trees)
        with suppress(OSError):
            self.trees.parent.rmdir()
        self.stop.unlink(missing_ok=True)
        back = [task for task, _ in self.futures.values()]
        self.queue.move(back, State.QUEUED)

    # -- the loop ----------------------------------------------------------------------------------

    def _work(self) -> None:
        jobs = self._at_most(self._jobs())
        self.engine = self._engine(jobs)
        if self.engine.slots and not self._wanted:
            jobs = self._at_most(self.engine.slots)
        self.jobs = jobs
        ahead = 0 if self.request.gpus else self.engine.ahead(jobs)
        free = self._slots(self._at_most(jobs + ahead))
        queued = self._queued()
        self.progress.began = time.monotonic()
        while True:
            self._heed()
            while free and not self.asked:
                task = next(queued, None)
                if task is None:
                    break
                if self._start(task, free[0]):
                    free.pop(0)
            if not self.futures and (self.asked or not self.waiting):
                break
            if self.waiting:
                queued, self.waiting = itertools.chain(queued, self.waiting), []
            if not self.futures:
                time.sleep(_TICK)
            done, _ = wait(self.futures, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in done:
                task, tree = self.futures.pop(future)
                self._count_running()
                again = self._finish(task, future)
                free.append(tree)
                if again is not None:
                    queued = _and_then(queued, again)
            self._flush_in_time()
            self._tell(None)

    def _at_most(self, jobs: int) -> int:
        """As many, or as there are runs."""
        return max(1, jobs if self.sampler else min(jobs, len(self._open())))

    def _slots(self, jobs: int) -> list[WorktreeSlot]:
        """Return where jobs run: our worktrees, or a worker's clone."""
        if self.request.clone:
            return [WorktreeSlot(number, self.trees / str(number)) for number in range(1, jobs + 1)]
        self._say(f"making {jobs} worktrees" if jobs > 1 else "making a worktree")
        trees = pool.make(self.project, self.trees, self.plan.revision, jobs, needs=self._is_data)
        self._say("")
        return [WorktreeSlot(tree.number, tree.top) for tree in trees]

    def _is_data(self, path: str) -> bool:
        return describe.role(path, self.project.config) is describe.OutputRole.DATA

    def _heed(self) -> None:
        """If the sweep was asked to end: start nothing more, and ask running jobs to end."""
        if self.stop.exists():
            self.asked = max(self.asked, 1)
        if self.asked and not self.told and self.engine is not None:
            self.told = True
            self.engine.ask()

    @property
    def _wanted(self) -> int:
        return self.request.jobs or len(self.request.gpus)

    def _jobs(self) -> int:
        return self._wanted or len(os.sched_getaffinity(0))

    def _engine(self, jobs: int) -> JobEngine:
        if self.request.engine is None:
            return Threads(self.stop, jobs)
        from gitxexp.workflows.sweeps.clone import source_of
        from gitxexp.workflows.sweeps.dask_engine import DaskEngine  # an extra

        source = None
        if self.request.clone:
            source = source_of(self.project, self.plan.id, self.plan.revision)
        return DaskEngine(self.stop, jobs, self.request.engine, source, self.project.top)

    def _queued(self) -> Iterator[Task]:
        yield from self.queue.tasks(self.plan.id, State.QUEUED)
        while self.sampler and self.sampler.asked < (self.request.trials or 0):
            number, params = self.sampler.ask()
            task = Task(self.plan.id, number, params, self.plan.key(params))
            self.queue.add([task])
            self.progress.total += 1
            yield task

    def _start(self, task: Task, tree: WorktreeSlot) -> bool:
        """Start a run; False if another sweep runs or ran its configuration."""
        assert self.engine is not None
        run = record.new_id()
        begun = replace(task, run=run, attempts=task.attempts + 1, started=time.time())
        facts = {"run": run, "attempts": begun.attempts, "started": begun.started}
        if self.sampler is not None or self.request.force:  # which run each, whatever has run
            self.queue.move([task], State.STARTED, {task.number: facts})
        elif (other := self.queue.claim(task, facts)) is not None:
            self._leave_to(other, task)
            return False
        self.progress.said = ""
        context = RunContext(
            run, run, self.plan.revision, self.plan.branch, self.plan.data, task.key,
            self.folders.log(run), self.plan.id,
        )  # fmt: skip
        gpus = self.request.gpus
        gpu = {"CUDA_VISIBLE_DEVICES": gpus[(tree.number - 1) % len(gpus)]} if gpus else {}
        config = self.project.config._replace(pipelines=None)
        job = Job(
            task.number, begun.attempts, tree.top, self.folders.of(run), self.plan.below,
            self.plan.command, task.params,
            collect.overlay(self.plan.base, task.params), context, gpu, config, self.request.timeout,
            self.project.top,
        )  # fmt: skip
        self.futures[self.engine.submit(job)] = begun, tree
        self._count_running()
        return True

    def _leave_to(self, other: Task, task: Task) -> None:
        """Skip what another sweep has run well; wait for what it is running, which may still fail."""
        if other.result is not Result.DONE:
            self.waiting.append(task)
            self._say(f"waiting for sweep {other.sweep}, which runs the same configuration")
            return
        self._skip([(task, other.run)])
        metrics = {"metrics": other.outcome.get("metrics", {})}
        self._count_one(replace(task, result=Result.SKIPPED, run=other.run, outcome=metrics))
        self._say("")

    def _count_running(self) -> None:
        """Of the jobs given to an engine, the first ones are running."""
        self.progress.running = min(len(self.futures), self.jobs)

    def _finish(self, task: Task, future: Future[JobOutcome]) -> Task | None:
        """Record the outcome of a run; return the task if it is to be retried."""
        try:
            outcome = future.result()
        except EngineLost as error:
            self.queue.move([task], State.QUEUED)
            self.asked = max(self.asked, 1)
            self.notes.append(f"{error}: the same command repeats its runs")
            return None
        if outcome.why in ("stopped", "interrupted"):
            self.queue.move([task], State.QUEUED)
            shutil.rmtree(self.folders.of(task.run), ignore_errors=True)
            return None
        is_failure = outcome.code != 0 or outcome.why != "exit"
        if is_failure and task.attempts <= self.request.retries and not self.asked:
            self.queue.move([task], State.QUEUED)
            shutil.rmtree(self.folders.of(task.run), ignore_errors=True)
            return task
        ended = self._ended(task, outcome)
        if self.sampler is not None:
            self.sampler.tell(task.number, value_of(ended, self.plan.metric))
        self._count_one(ended)
        self._tell(ended)
        return None

    def _known_ids(self) -> dict[str, str]:
        """Return the owners of the tracker ids used so far."""
        known = {rows.run: each.id for each in record.read(self.project) for rows in each.tables}
        for task in self.queue.tasks(self.plan.id, State.ENDED, State.MERGED):
            known.setdefault(str(task.outcome.get("tracker_run")), task.run)
        return known

    def _with_own_id(self, task: Task, outcome: JobOutcome) -> JobOutcome:
        """Return the outcome, without its rows if they have another run's id: merging would join
        the two. xetrack ids are exempt; ids in other tables may be counters or group names."""
        if outcome.tracker != "xetrack" or not outcome.tracker_run:
            return outcome
        owner = self.owners.setdefault(outcome.tracker_run, task.run)
        if owner == task.run:
            return outcome
        self.apart.append(task.run)
        return outcome.without_rows(
            f"its rows were not merged, they are kept: run {owner} has their id {outcome.tracker_run}"
        )

    def _said_of_ids(self) -> list[str]:
        if not self.apart:
            return []
        said = (
            f"the rows of {some(self.apart, 3)} were not merged, but kept in xexp/runs of the git"
            " directory: other runs have their ids; create the tracker before random is seeded"
        )
        return [said]

    def _ended(self, task: Task, outcome: JobOutcome) -> Task:
        outcome = self._with_own_id(task, outcome)
        result = Result.DONE
        if outcome.why == "timeout":
            result = Result.TIMEOUT
        elif outcome.code != 0 or outcome.why != "exit":
            result = Result.FAILED
        facts = {"result": result, "ended": outcome.ended, "outcome": outcome.as_dict()}
        self.queue.move([task], State.ENDED, {task.number: facts})
        return replace(
            task, state=State.ENDED, result=result, ended=outcome.ended, outcome=outcome.as_dict()
        )

    # -- results and registry ----------------------------------------------------------------------

    def _flush_in_time(self) -> None:
        ended = self.progress.done + self.progress.failed
        late = time.monotonic() - self.flushed > _EVERY
        if late or (ended and ended % _BATCH == 0):
            self._flush()

    def _flush(self, *, patient: bool = False) -> None:
        """Merge ended runs. If another process writes to the results, do it later; ``patient``:
        wait for it, until Ctrl-C."""
        self.flushed = time.monotonic()
        while True:
            try:
                self._merge(self.queue.tasks(self.plan.id, State.ENDED))
                self._record(self.queue.tasks(self.plan.id, State.MERGED))
                return
            except results.Busy as error:
                if not patient or self.asked:
                    if patient:
                        self.notes.append(f"{error.message}: the same command merges the rest")
                    return
                self._say(f"waiting: {error.message}")
                time.sleep(_TICK)

    def _merge(self, tasks: list[Task]) -> None:
        for at in range(0, len(tasks), _BATCH):
            batch = tasks[at : at + _BATCH]
            files: dict[str, list[Path]] = {}
            whose: dict[Path, Task] = {}
            for task in batch:
                for kept in JobOutcome.of(task.outcome).kept:
                    path = self.folders.kept(task.run, kept.path)
                    if kept.role == "results" and path.exists():
                        files.setdefault(kept.path, []).append(path)
                        whose[path] = task
            facts: dict[int, dict[str, Any]] = {}
            if files:
                with self.project.locked():
                    done = results.merge(self.project, files)
                self.rows += done.rows
                for path, why in done.refused.items():
                    task = whose[path]
                    said = f"its rows were not merged, they are kept in {path}: {why}"
                    noted = [*task.outcome.get("notes", ()), said]
                    facts[task.number] = {"outcome": {**task.outcome, "notes": noted}}
                    self.notes.append(f"run {task.run}: {said}")
            self.queue.move(batch, State.MERGED, facts)
            for path in whose:
                if not files or path not in done.refused:
                    path.unlink(missing_ok=True)

    def _record(self, tasks: list[Task]) -> None:
        """Write one registry row per run, and keep only the requested models."""
        if not tasks:
            return
        records = [self._as_record(task) for task in tasks]
        with self.project.locked():
            record.write(self.project, records, self._packages())
        self.queue.move(tasks, State.RECORDED)
        for task in tasks:
            (self.folders.of(task.run) / "outcome.json").unlink(missing_ok=True)

    def _packages(self) -> dict[str, tuple[str, ...]]:
        known = self.software.answer()
        return {known.hash: known.packages} if known.hash else {}

    def _as_record(self, task: Task) -> RunRecord:
        outcome = JobOutcome.of(task.outcome)
        kept: dict[str, str] = {}
        for each in outcome.kept:
            path = self.folders.kept(task.run, each.path)
            if path.is_file():
                kept[each.path] = f"md5:{hash_file(path)}"
        found = RowsFound(outcome.results, outcome.table, outcome.tracker_run, outcome.rows)
        return RunRecord(
            id=task.run,
            status=task.result.value,  # type: ignore[arg-type]
            command=self.request.command,
            folder="" if self.plan.below == "." else self.plan.below,
            python=self.software.answer().python,
            packages=self.software.answer().hash,
            code=outcome.code,
            started=record.timestamp(outcome.started),
            ended=record.timestamp(outcome.ended),
            params=outcome.params,
            metrics=outcome.metrics,
            config_hash=task.key,
            data=self.plan.data,
            run_commit=self.plan.revision,
            code_hash=self.plan.code,
            branch=self.plan.branch,
            outputs=kept,
            kept=kept,
            log=outcome.log_hash,
            tables=(*outcome.beside, found) if outcome.tracker_run else (),
            sweep=self.plan.id,
            note="; ".join(outcome.notes),
            **self.who,
        )

    # -- models ------------------------------------------------------------------------------------

    def _keep_models(self) -> None:
        """Make the models of the best runs candidates (of all, where no number is given), as links
        into the cache; delete the others."""
        tasks = self.queue.tasks(self.plan.id, State.RECORDED)
        left = {task.number: self._models(task) for task in tasks if task.result is Result.DONE}
        left = {number: models for number, models in left.items() if models}
        if not left:
            return
        kept = set(left)
        if self.request.keep is not None:
            metric = self.progress.metric
            best = ranked(tasks, metric, maximize=self._maximize(metric))[: self.request.keep]
            kept &= {task.number for task in best}
        models = [model for number in sorted(kept) for model in left[number].values()]
        try:
            if models:
                self._say("keeping models")
                add_all(self.project, models, "sweep")
        except XexpError as error:
            self.notes.append(
                f"models are kept with their runs, but are no candidates: {error.message}"
            )
            return
        records = {each.id: each for each in record.read(self.project)}
        changed = []
        for task in tasks:
            gone = left.get(task.number, {})
            known = records.get(task.run)
            if gone and known is not None:
                rest = {path: oid for path, oid in known.kept.items() if path not in gone}
                changed.append(replace(known, kept=rest))
        with self.project.locked():
            record.write(self.project, changed)
        for own in left.values():
            for model in own.values():
                model.file.unlink(missing_ok=True)

    def _models(self, task: Task) -> dict[str, RunModel]:
        """The production models that a run left, by path."""
        slots = {
            slot.production: slot.name for slot in all_slots(self.project.config, self.outputs)
        }
        outcome = JobOutcome.of(task.outcome)
        files = {k.path: self.folders.kept(task.run, k.path) for k in outcome.kept}
        name = outcome.tracker_run or task.run
        return {
            path: RunModel(file, name, slots[path])
            for path, file in files.items()
            if path in slots and file.is_file()
        }

    # -- progress ----------------------------------------------------------------------------------

    def _maximize(self, metric: str | None) -> bool:
        return metric is not None and describe.maximize(self.project.config, metric)

    def _count(self) -> None:
        """The progress as the queue has it."""
        tasks = self.queue.tasks(self.plan.id)
        self.progress.total = max(len(tasks), self.request.trials or 0)
        for task in tasks:
            self._count_one(task)

    def _count_one(self, task: Task) -> None:
        progress = self.progress
        if task.result is Result.SKIPPED:
            progress.skipped += 1
        elif task.result is Result.DONE:
            progress.done += 1
        elif task.result is not Result.NONE:
            progress.failed += 1
        metrics = task.outcome.get("metrics", {})
        if progress.metric is None and metrics:
            progress.metric = describe.primary_metric(metrics, self.project.config)
        if progress.metric and value_of(task, progress.metric) is not None:
            both = [task] if progress.best is None else [progress.best, task]
            progress.best = ranked(both, progress.metric, maximize=self._maximize(progress.metric))[
                0
            ]

    def _tell(self, ended: Task | None) -> None:
        self.progress.ended = ended
        self.watch(self.progress)

    def _say(self, text: str) -> None:
        self.progress.said = text
        self._tell(None)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C once: start nothing more, ask running jobs to end. Twice: kill them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def asked(_number: int, _frame: FrameType | None) -> None:
            self.asked += 1
            with suppress(OSError):
                self.stop.touch()
            if self.asked > 1 and self.engine is not None:
                self.engine.kill()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before: Mapping[int, Any] = {number: signal.getsignal(number) for number in numbers}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, asked)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


def _and_then(tasks: Iterator[Task], task: Task) -> Iterator[Task]:
    yield from tasks
    yield replace(task, state=State.QUEUED)
