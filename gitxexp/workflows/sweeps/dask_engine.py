"""Jobs on the workers of a Dask cluster, which see the repository's files as we do.

``Client(ADDRESS)`` is the one interface to workers started by ssh, by Kubernetes, or by Slurm, PBS and LSF
(distributed.dask.org, jobqueue.dask.org). A worker that is lost leaves its job to another one: the job
begins with ending what is left of the earlier attempt, and with a clean worktree.
"""

from __future__ import annotations

import importlib
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from gitxexp.common.errors import XexpError
from gitxexp.common.missing import missing_package
from gitxexp.workflows.sweeps import job as sweeps_job
from gitxexp.workflows.sweeps.engine import Engine, EngineLost
from gitxexp.workflows.sweeps.job import Job, Outcome

#: Seconds for a scheduler to answer.
_PATIENCE = "10s"


def run_on_worker(job: Job, stop: Path) -> Outcome:
    """The job, in a worker's thread."""
    return sweeps_job.run(job, stop.exists)


class DaskEngine(Engine):
    """A client of the scheduler at ``address``; ``local``: of one of our own, with worker processes
    on this machine. Raises XexpError where it cannot be reached or is another Python."""

    def __init__(self, stop: Path, jobs: int, address: str) -> None:
        super().__init__(stop)
        try:
            distributed = importlib.import_module("distributed")
        except ImportError as error:
            raise missing_package("distributed", "--engine needs Dask", "dask") from error
        self._distributed = distributed
        self._cluster: Any = None
        self._futures: dict[Any, Future[Outcome]] = {}
        _quiet()
        try:
            if address == "local":
                self._cluster = distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1",
                    silence_logs=50,
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

    def submit(self, job: Job) -> Future[Outcome]:
        inner = self.client.submit(
            run_on_worker, job, self.stop, pure=False, key=f"{job.context.sweep}-{job.context.run}"
        )
        outer: Future[Outcome] = Future()
        self._futures[inner] = outer
        Thread(target=self._await, args=(inner, outer), daemon=True).start()
        return outer

    def _await(self, inner: Any, outer: Future[Outcome]) -> None:
        """Pass on what becomes of a job; whatever Dask raises means that nobody knows."""
        try:
            outcome = inner.result()
        except BaseException as error:
            text = str(error) or type(error).__name__
            outer.set_exception(EngineLost(f"Dask lost a run ({text.splitlines()[0]})"))
        else:
            outer.set_result(outcome)
        finally:
            self._futures.pop(inner, None)

    def kill(self) -> None:
        for inner in list(self._futures):
            with suppress(Exception):
                inner.cancel()

    def close(self) -> None:
        with suppress(Exception):
            self.client.close(timeout=5)
        if self._cluster is not None:
            with suppress(Exception):
                self._cluster.close(timeout=10)


def _quiet() -> None:
    """Dask's own messages are no messages of ours."""
    import logging

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
