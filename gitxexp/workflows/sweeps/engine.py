"""The engines that run a sweep's jobs: threads of this process, or the workers of a Dask cluster.

For a sweep both work like a :class:`concurrent.futures.Executor`: it submits a job and gets a
future.
"""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from gitxexp.workflows.sweeps import job as sweeps_job
from gitxexp.workflows.sweeps.job import Job, JobOutcome


class JobEngine(ABC):
    """Runs jobs. ``stop`` is the file whose presence asks every job to end."""

    def __init__(self, stop: Path) -> None:
        self.stop = stop

    @property
    def slots(self) -> int:
        """How many jobs it can do at a time; 0 if as many as it was created for."""
        return 0

    def ahead(self, jobs: int) -> int:
        """The number of jobs to submit in addition to the running ``jobs``, so that no worker has
        to wait."""
        return 0

    def ask(self) -> None:  # noqa: B027
        """Ask running jobs to end. If all see the file ``stop``, nothing else is needed."""

    @abstractmethod
    def submit(self, job: Job) -> Future[JobOutcome]:
        """Start a job; its future raises EngineLost if its outcome is unknown."""

    @abstractmethod
    def kill(self) -> None:
        """Kill every job at once."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; no job is running any more."""


class EngineLost(Exception):
    """The workers, or the connection to them, are gone."""


class Threads(JobEngine):
    """Threads that start the commands on this machine, each in a process group of its own."""

    def __init__(self, stop: Path, jobs: int) -> None:
        super().__init__(stop)
        self._executor = ThreadPoolExecutor(jobs, thread_name_prefix="sweep")
        self._groups: dict[int, int] = {}

    def submit(self, job: Job) -> Future[JobOutcome]:
        return self._executor.submit(self._run, job)

    def _run(self, job: Job) -> JobOutcome:
        try:
            return sweeps_job.run(job, self.stop.exists, self._starter(job.number))
        finally:
            self._groups.pop(job.number, None)

    def _starter(self, number: int) -> Callable[[int], None]:
        def started(group: int) -> None:
            self._groups[number] = group

        return started

    def kill(self) -> None:
        for group in list(self._groups.values()):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
