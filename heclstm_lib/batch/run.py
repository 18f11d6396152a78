"""Evaluate a folder of requests: resumable, and one bad request or worker stops no other.

Whatever fails for a reason that may pass is tried again after all others, alone: so a request that
takes its worker down is found out, and those that happened to run beside it are not blamed. What
could not even load the keys is tried again at once: if that fails too, nothing else would succeed.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from heclstm_lib.batch.claims import claim, claim_path
from heclstm_lib.batch.folder import Job, find_jobs, is_finished, remove_leftovers
from heclstm_lib.batch.report import BatchReport, Failure
from heclstm_lib.batch.task import Result, evaluate_job, reason

PAUSE_S = 0.2
"""Between two looks whether another evaluation has finished a request."""

PATIENCE_S = 3600.0
"""A worker that takes longer for a request, keys and model included, is ended."""

FALL_S = 2.0
"""A process that ended is noticed a moment before its locks fall."""

OnResult = Callable[[Result], None]


class Named(Protocol):
    """A job of any kind."""

    @property
    def name(self) -> str:
        """The request's name without suffix."""


AnyJob = TypeVar("AnyJob", bound=Named)
Lost = Callable[[Any, BaseException], Result]
"""What became of a job whose task did not return; it may raise what concerns all jobs."""


def evaluate_folder(
    plan: Path,
    bundle: Path,
    requests: Path,
    responses: Path,
    executor: Executor,
    *,
    renew: Callable[[], Executor] | None = None,
    in_flight: int = 1,
    tries: int = 2,
    patience_s: float = PATIENCE_S,
    flood_bits: int | None = None,
    on_result: OnResult | None = None,
) -> BatchReport:
    """Evaluate every `*.request` that has no finished response yet into `*.response`.

    `executor` runs up to `in_flight` requests at a time; when one of its processes ends, runs out
    of memory or takes more than `patience_s` seconds, it is shut down and `renew` makes another
    (which this function shuts down in the end); without it all that is left fails. `tries` is how
    often a request is tried alone; `flood_bits` is that of `he.Server`. `on_result` sees what
    becomes of each as it is known.

    Other evaluations with the same plan and bundle may run in the same folders: they share the
    work. Raises as `folder.find_jobs`; what concerns one request only stands in the report.
    """
    found = find_jobs(plan, bundle, requests, responses, patience_s)
    jobs = [replace(job, flood_bits=flood_bits) for job in found]
    return run_jobs(
        jobs, executor, evaluate_job, is_finished, _lost,
        renew=renew, in_flight=in_flight, tries=tries, on_result=on_result,
    )  # fmt: skip


def run_jobs(
    jobs: Iterable[AnyJob],
    executor: Executor,
    task: Callable[[AnyJob], Result],
    is_done: Callable[[AnyJob], bool],
    lost: Lost,
    *,
    renew: Callable[[], Executor] | None = None,
    in_flight: int | Callable[[], int] = 1,
    tries: int = 2,
    on_result: OnResult | None = None,
) -> BatchReport:
    """Run `task` on every job that `is_done` does not find finished; as `evaluate_folder`.

    `lost` says what became of a job whose task raised; `in_flight` may be asked anew each time,
    where workers come and go. Raises what `lost` and `is_done` raise.
    """
    begin = time.perf_counter()
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        if on_result is not None:
            on_result(result)

    left = []
    for job in jobs:
        if is_done(job):
            note(Result(job.name, "finished"))
        else:
            left.append(job)
    _Batch(executor, task, lost, renew, in_flight, tries, note).run(left)
    return _report(results, time.perf_counter() - begin)


def _report(results: list[Result], seconds: float) -> BatchReport:
    by_name = sorted(results, key=lambda result: result.name)
    named = {
        state: tuple(result.name for result in by_name if result.state == state)
        for state in ("evaluated", "finished")
    }
    failed = tuple(Failure(r.name, r.reason) for r in by_name if r.state == "failed")
    return BatchReport(named["evaluated"], named["finished"], failed, seconds)


class _Batch:
    """Requests on their way through executors until each has a final result."""

    def __init__(
        self,
        executor: Executor,
        task: Callable[[Any], Result],
        lost: Lost,
        renew: Callable[[], Executor] | None,
        in_flight: int | Callable[[], int],
        tries: int,
        note: OnResult,
    ) -> None:
        self.executor, self.renew = executor, renew
        self.task, self.lost = task, lost
        self.in_flight, self.tries, self.note = in_flight, tries, note
        self.waiting: deque[Any] = deque()
        self.unloaded: deque[Any] = deque()
        self.alone: deque[Any] = deque()
        self.elsewhere: deque[Any] = deque()
        self.running: dict[Future[Result], Any] = {}
        self.tried: Counter[str] = Counter()
        self.made: list[Executor] = []

    def run(self, jobs: Iterable[Any]) -> None:
        self.waiting.extend(jobs)
        try:
            while self._begin_some():
                self._end(wait(self.running, return_when=FIRST_COMPLETED).done)
        finally:
            for future in self.running:
                future.cancel()
            for executor in self.made:
                executor.shutdown(cancel_futures=True)

    def _begin_some(self) -> bool:
        """Submit what may run now; False when nothing is left."""
        if not self.running:
            if self.unloaded:
                self._submit(self.unloaded.popleft())
                return True
            if self.alone and not self.waiting:
                self._submit(self.alone.popleft())
            elif self.elsewhere and not self.waiting:
                time.sleep(PAUSE_S)
                self.waiting, self.elsewhere = self.elsewhere, self.waiting
        most = self.in_flight() if callable(self.in_flight) else self.in_flight
        while self.waiting and not self.unloaded and len(self.running) < most:
            self._submit(self.waiting.popleft())
        return bool(self.running)

    def _submit(self, job: Any) -> None:
        try:
            future = self.executor.submit(self.task, job)
        except BrokenExecutor as error:
            future = Future()
            future.set_exception(error)
        self.running[future] = job

    def _end(self, ended: set[Future[Result]]) -> None:
        alone = len(self.running) == 1
        broken = any(isinstance(future.exception(), BrokenExecutor) for future in ended)
        if broken:
            ended = wait(self.running).done  # it takes all others along
        results = [(job, self._outcome(job, f)) for f in ended for job in [self.running.pop(f)]]
        for job, result in results:
            self._judge(job, result, alone)
        spent = any(result.spent for _, result in results)
        if broken or spent:
            self._start_afresh()

    def _outcome(self, job: Any, future: Future[Result]) -> Result:
        """What a task returned, or what must have happened to it."""
        error = future.exception()
        return future.result() if error is None else self.lost(job, error)

    def _judge(self, job: Any, result: Result, alone: bool) -> None:
        if result.state == "claimed":
            self.elsewhere.append(job)
            return
        self.tried[job.name] += alone
        if result.state == "again" and self.tried[job.name] < self.tries:
            (self.unloaded if result.loading else self.alone).append(job)
            return
        final = replace(result, state="failed") if result.state == "again" else result
        self.note(final)
        if result.loading:
            self._give_up(result.reason)

    def _start_afresh(self) -> None:
        if self.renew is None:
            self._give_up("a worker ended or ran out of memory, and there is no other. Run again.")
            return
        self.executor.shutdown(wait=False)
        self.executor = self.renew()
        self.made.append(self.executor)

    def _give_up(self, why: str) -> None:
        """No request can be evaluated any more."""
        for queue in (self.unloaded, self.waiting, self.alone, self.elsewhere):
            while queue:
                self.note(Result(queue.popleft().name, "failed", f"not tried: {why}"))


def _lost(job: Job, error: BaseException) -> Result:
    """What must have happened to a job on local processes whose task raised."""
    if not isinstance(error, BrokenExecutor):
        return Result(job.name, "failed", reason(error))
    began = claim_path(job.response).exists()
    with claim(job.response, FALL_S) as held:
        if held:
            remove_leftovers(job.response)
    during = "evaluating it" if began else "loading keys and model"
    return Result(
        job.name,
        "again",
        f"the worker process ended while {during}, or was ended after {job.patience_s:g} s; most "
        "often for lack of memory, or of bytes that SEAL does not survive. Use fewer workers, or "
        "have the client send it again.",
        loading=not began,
    )
