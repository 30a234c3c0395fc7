"""The sweeps of a repository: their progress, and how to end or repeat one."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.sweeps.queue import Result, State, Sweep, Task, queue_of
from gitxexp.workflows.sweeps.ranking import ranked

#: Seconds to wait for a sweep to end: between checks, and in total.
_LOOK, _PATIENCE = 0.1, 30.0


@dataclass(frozen=True)
class SweepStatus:
    """The progress of a sweep. ``state``: running, done, or interrupted (its command goes on with
    it)."""

    sweep: Sweep
    tasks: tuple[Task, ...]
    metric: str | None
    maximize: bool

    @property
    def state(self) -> str:
        """In one word."""
        if self.sweep.running:
            return "running"
        return "done" if self.sweep.ended is not None else "interrupted"

    @property
    def counts(self) -> dict[str, int]:
        """The number of runs that are done, failed, skipped, running and left."""
        numbers: Counter[str] = Counter()
        for task in self.tasks:
            if task.result in (Result.FAILED, Result.TIMEOUT):
                numbers["failed"] += 1
            elif task.result is not Result.NONE:
                numbers[task.result.value] += 1
            elif task.state is State.STARTED and self.sweep.running:
                numbers["running"] += 1
            else:
                numbers["left"] += 1
        return {name: numbers[name] for name in ("done", "failed", "skipped", "running", "left")}

    @property
    def best(self) -> Task | None:
        """The best run so far."""
        return next(iter(ranked(self.tasks, self.metric, maximize=self.maximize)), None)


def sweeps(project: Project) -> list[SweepStatus]:
    """Every sweep, newest first."""
    queue = queue_of(project)
    return [_status(project, sweep) for sweep in queue.sweeps()]


def status(project: Project, name: str | None = None) -> SweepStatus:
    """One sweep: given by an id prefix, else the newest. Raises XexpError."""
    return _status(project, queue_of(project).sweep(name))


def _status(project: Project, sweep: Sweep) -> SweepStatus:
    queue = queue_of(project)
    tasks = tuple(queue.tasks(sweep.id))
    metric = sweep.request.get("metric")
    if metric is None:
        named: dict[str, Any] = {
            name: None for task in tasks for name in task.outcome.get("metrics", {})
        }
        metric = describe.primary_metric(named, project.config)
    largest = metric is not None and describe.maximize(project.config, metric)
    return SweepStatus(sweep, tasks, metric, largest)


def stop(project: Project, name: str | None = None) -> SweepStatus:
    """Stop a sweep gracefully and wait for it to end. Raises NoAnswer if none is running."""
    queue = queue_of(project)
    if name is None:
        name = next((sweep.id for sweep in queue.sweeps() if sweep.running), None)
        if name is None:
            raise NoAnswer("no sweep is running", "git xexp sweep --list")
    sweep = queue.sweep(name)
    if not sweep.running:
        raise NoAnswer(f"sweep {sweep.id} is not running", "git xexp sweep --list")
    queue.stop_file(sweep.id).touch()
    last = time.monotonic() + _PATIENCE
    while queue.is_held(sweep.id):
        if time.monotonic() > last:
            raise XexpError(
                f"sweep {sweep.id} (process {sweep.pid}) is still ending",
                "look again: git xexp sweep --status",
            )
        time.sleep(_LOOK)
    return status(project, sweep.id)
