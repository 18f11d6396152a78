"""A batch whose files lie in a store or whose workers are Dask's."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil

from heclstm_lib.batch.report import BatchReport
from heclstm_lib.batch.run import PATIENCE_S, OnResult, run_jobs
from heclstm_lib.batch.task import Result, reason
from heclstm_lib.batch.workers import make_executor
from heclstm_lib.cluster.dask_executor import DaskExecutor, SchedulerLost, WorkersLost
from heclstm_lib.cluster.jobs import RemoteJob, find_remote_jobs, finished_names, read_plan
from heclstm_lib.cluster.need import evaluation_mb, offered_mb
from heclstm_lib.cluster.scheduler import MEMORY, Connection, await_worker
from heclstm_lib.cluster.task import evaluate_remote_job
from heclstm_lib.he.plan import Plan
from heclstm_lib.storage import Location, make_location, missing

WAIT_S = 30.0
"""For a scheduler to answer, and for the first worker."""

RETURN_S = 600.0
"""For a lost scheduler to come back to its address."""

ABSENCE_S = 30.0
"""How often a user is told that no worker is there."""


@dataclass(frozen=True)
class Places:
    """The addresses of a batch: plan, public bundle, folder of requests, folder of responses."""

    plan: Location
    bundle: Location
    requests: Location
    responses: Location

    @classmethod
    def of(cls, *texts: object) -> Places:
        """From what a user wrote; ConfigError for a kind of store that is not taken."""
        return cls(*(make_location(str(text)) for text in texts))

    def jobs(self, plan: Plan, patience_s: float, flood_bits: int | None) -> list[RemoteJob]:
        """As `find_remote_jobs`."""
        folders = (self.bundle, self.requests, self.responses)
        return find_remote_jobs(plan, self.plan, *folders, patience_s, flood_bits)


def run_on_processes(
    places: Places, workers: int = 1, memory_mb: int | None = None, **options: Any
) -> BatchReport:
    """A batch on local processes, files anywhere; `options` as in `run_places`."""
    plan = read_plan(places.plan)
    renew = partial(make_executor, workers, memory_mb << 20 if memory_mb else None)
    with renew() as executor:
        return run_places(places, plan, executor, renew=renew, in_flight=workers, **options)


def run_on_dask(
    places: Places,
    scheduler: str | None = None,
    workers: int = 1,
    memory_mb: int | None = None,
    dashboard: str | None = None,
    wait_s: float = WAIT_S,
    return_s: float = RETURN_S,
    **options: Any,
) -> BatchReport:
    """A batch on the Dask cluster of a scheduler, else on one of `workers` processes made here.

    `memory_mb` limits each of those (default: its share of this machine's); `dashboard` as in
    `local_cluster`. Raises BatchError when no scheduler or worker is there within `wait_s` seconds,
    or a scheduler that was lost is not back within `return_s`; else as `run_places`.
    """
    plan = read_plan(places.plan)
    need_mb = evaluation_mb(plan)
    with ExitStack() as stack:
        if scheduler is None:
            scheduler = stack.enter_context(local_cluster(workers, memory_mb, dashboard=dashboard))
        connection = stack.enter_context(closing(Connection(scheduler, wait_s, _say)))
        await_worker(connection.client, need_mb, wait_s)
        executor = DaskExecutor(connection.client, need_mb)

        def renew() -> Executor:
            executor.renew(lambda: connection.renew(return_s))
            return executor

        stack.enter_context(executor.absence_told(_say, ABSENCE_S))
        return run_places(
            places, plan, executor, renew=renew, in_flight=executor.in_flight, **options
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_places(
    places: Places,
    plan: Plan,
    executor: Executor,
    *,
    patience_s: float = PATIENCE_S,
    flood_bits: int | None = None,
    on_result: OnResult | None = None,
    **options: Any,
) -> BatchReport:
    """Evaluate what is not finished; `options` are renew, in_flight and tries of `run_jobs`.

    Raises as `find_remote_jobs`, and what `renew` raises.
    """
    jobs = places.jobs(plan, patience_s, flood_bits)
    done = finished_names(jobs)
    return run_jobs(
        jobs, executor, evaluate_remote_job, lambda job: job.name in done, _lost,
        on_result=on_result, **options,
    )  # fmt: skip


def _lost(job: RemoteJob, error: BaseException) -> Result:
    """What became of a job whose task raised."""
    if isinstance(error, SchedulerLost):  # no fault of the request, and it may be finished
        return Result(job.name, "claimed")
    if isinstance(error, WorkersLost | BrokenExecutor):
        return Result(
            job.name,
            "again",
            "each worker that tried it ended, most often for lack of memory, or of bytes that "
            "SEAL does not survive. Give workers more memory, or have the client send it again.",
        )
    return Result(job.name, "failed", reason(error))


@contextmanager
def local_cluster(
    workers: int, memory_mb: int | None = None, threads: int = 1, dashboard: str | None = None
) -> Iterator[str]:
    """A Dask cluster of processes on this machine while the block runs; yields its address.

    Each process gets `memory_mb` (default: its share of what is there), which its nanny enforces;
    evaluations get three quarters of it. `dashboard` is the address and port of its dashboard, the
    link to which is said; without it there is none.
    """
    try:
        from distributed import LocalCluster
    except ImportError as error:
        raise missing("dask.distributed", error) from error
    share_mb = memory_mb or (psutil.virtual_memory().total >> 20) // workers
    with tempfile.TemporaryDirectory(prefix="heclstm-dask-") as folder, LocalCluster(
        n_workers=workers, threads_per_worker=threads, processes=True,
        memory_limit=share_mb << 20, resources={MEMORY: offered_mb(share_mb)},
        dashboard_address=dashboard, local_directory=folder,
    ) as cluster:  # fmt: skip
        if dashboard is not None:
            _say(f"dashboard: {cluster.dashboard_link}")
        yield cluster.scheduler_address
