"""Jobs on the workers of a Dask cluster, which share the repository's files, or clone it.

``Client(ADDRESS)`` is the same interface for workers started by ssh, by Kubernetes, or by Slurm,
PBS and LSF (distributed.dask.org, jobqueue.dask.org). The job of a lost worker goes to another one:
it starts by terminating the earlier attempt, in a clean worktree.
"""

from __future__ import annotations

import importlib
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from gitxexp.common.errors import XexpError
from gitxexp.common.missing import missing_package
from gitxexp.workflows.sweeps import job as sweeps_job
from gitxexp.workflows.sweeps.clone import (
    CloneSource,
    Sent,
    Unprepared,
    accept,
    clone_for,
    remove_clones,
)
from gitxexp.workflows.sweeps.engine import EngineLost, JobEngine
from gitxexp.workflows.sweeps.job import Job, JobOutcome

#: Settings for our own workers: without thread profiling, which is unused (and takes half the
#: processor time of a short run).
_OWN_WORKERS = {"distributed.worker.profile.enabled": False}
#: Seconds to wait for a scheduler.
_PATIENCE = "10s"


def run_on_worker(job: Job, stop: Path, tied: bool) -> JobOutcome:
    """The job, in a worker's thread. ``tied`` is that of :func:`.execute.execute`."""
    return sweeps_job.run(job, stop.exists, tied=tied)


def run_in_clone(job: Job, source: CloneSource) -> Sent:
    """The job, in a worker's thread, in a worktree of the worker's clone. It is terminated if the
    task is cancelled, or the worker closes because its scheduler is gone."""
    distributed = importlib.import_module("distributed")
    worker = distributed.get_worker()
    key = worker.get_current_task()

    def stop() -> bool:
        task = worker.state.tasks.get(key)
        is_wanted = task is not None and task.state in ("executing", "long-running")
        return not is_wanted or worker.status.name not in ("running", "paused")

    home = Path(worker.local_directory) / "git-xexp"
    try:
        clone = clone_for(source, home, worker.state.nthreads)
    except Unprepared as error:
        raise Unprepared(f"{worker.address}: {error}") from None
    return clone.run(job, stop)


async def _forget(sweep: str) -> None:
    import asyncio

    await asyncio.to_thread(remove_clones, sweep)


class DaskEngine(JobEngine):
    """A client of the scheduler at ``address``; ``local``: of one of our own, with worker processes
    on this machine. ``source``: what workers clone; None: they see our files.

    Raises XexpError if it cannot be reached or runs another Python.
    """

    def __init__(
        self, stop: Path, jobs: int, address: str, source: CloneSource | None, top: Path
    ) -> None:
        super().__init__(stop)
        self.source, self.top = source, top
        self._unable: set[str] = set()  #: workers that could not clone
        self._stopped = False
        try:
            distributed = importlib.import_module("distributed")
        except ImportError as error:
            raise missing_package("distributed", "--engine needs Dask", "dask") from error
        self._distributed = distributed
        self._cluster: Any = None
        self._futures: dict[Any, Future[JobOutcome]] = {}
        _quiet()
        try:
            if address == "local":
                with importlib.import_module("dask").config.set(_OWN_WORKERS):
                    self._cluster = distributed.LocalCluster(
                        n_workers=jobs, threads_per_worker=1, dashboard_address=None,
                        host="127.0.0.1", silence_logs=50,
                    )  # fmt: skip
                self.client = distributed.Client(self._cluster)
            else:
                self.client = distributed.Client(address, timeout=_PATIENCE)
            self.client.get_versions(check=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise XexpError(
                f"no Dask scheduler answers at {address}: {error}",
                "start one: dask scheduler, and workers: dask worker ADDRESS",
            ) from error

    @property
    def slots(self) -> int:
        """The threads of all workers."""
        with suppress(Exception):
            return sum(self.client.nthreads().values())
        return 0

    def ahead(self, jobs: int) -> int:
        """One per thread: the round trip to a worker takes as long as a short command. None if
        there are more threads than jobs, because all would run at once."""
        return self.slots if self.slots <= jobs else 0

    def submit(self, job: Job) -> Future[JobOutcome]:
        outer: Future[JobOutcome] = Future()
        inner = self._submitted(job)
        self._futures[inner] = outer
        Thread(target=self._await, args=(job, inner, outer), daemon=True).start()
        return outer

    def _submitted(self, job: Job) -> Any:
        key = f"{job.context.sweep}-{job.context.run}"
        if self.source is None:
            tied = self._cluster is None  # else a leftover run is found by its environment
            return self.client.submit(run_on_worker, job, self.stop, tied, pure=False, key=key)
        able = None
        if self._unable:
            able = [name for name in self.client.nthreads() if name not in self._unable]
            if not able:
                raise Unprepared("no worker can run it")
        key = f"{key}-{len(self._unable)}"
        return self.client.submit(run_in_clone, job, self.source, pure=False, key=key, workers=able)

    def _await(self, job: Job, inner: Any, outer: Future[JobOutcome]) -> None:
        """Pass on a job's outcome; any Dask error means that it is unknown."""
        try:
            while True:
                try:
                    answer = inner.result()
                    break
                except Unprepared as error:  # another worker may
                    self._futures.pop(inner, None)
                    self._unable.add(str(error).partition(": ")[0])
                    try:
                        inner = self._submitted(job)
                    except Unprepared:
                        raise error from None
                    self._futures[inner] = outer
            outcome = answer if isinstance(answer, JobOutcome) else accept(self.top, job, answer)
        except Unprepared as error:
            outer.set_exception(EngineLost(f"a worker cannot run it: {error}"))
        except BaseException as error:
            if self._stopped and self.source is not None:
                outer.set_result(_stopped(job))
            else:
                text = str(error) or type(error).__name__
                outer.set_exception(EngineLost(f"Dask lost a run ({text.splitlines()[0]})"))
        else:
            outer.set_result(outcome)
        finally:
            self._futures.pop(inner, None)

    def ask(self) -> None:
        if self.source is not None:
            self.kill()

    def kill(self) -> None:
        self._stopped = True
        for inner in list(self._futures):
            with suppress(Exception):
                inner.cancel()

    def close(self) -> None:
        if self.source is not None:
            with suppress(Exception):
                self.client.run(_forget, self.source.sweep, on_error="ignore")
        with suppress(Exception):
            self.client.close(timeout=5)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=10)


def _stopped(job: Job) -> JobOutcome:
    now = time.time()
    return JobOutcome(job.attempt, 130, "stopped", now, now)


def _quiet() -> None:
    """Silence Dask's own messages."""
    import logging

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
