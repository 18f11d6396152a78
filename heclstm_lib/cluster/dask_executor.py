"""A Dask cluster as an Executor: named tasks, limited by memory, with clear losses.

Of Dask's own `Client.get_executor` it differs in three things: a task has a name to be found on the
dashboard, a killed worker and a lost scheduler are errors of their own, and results are dropped
from the cluster as soon as they are here.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from heclstm_lib.batch.task import Result
from heclstm_lib.batch.workers import become_worker
from heclstm_lib.cluster.scheduler import MEMORY, has_given_up, known_workers, slots
from heclstm_lib.errors import HeclstmError

AHEAD = 1
"""Tasks a worker has waiting, so that it need not wait for the next."""

LOOK_S = 1.0
"""The scheduler is asked for its workers no more often: it may have hundreds."""


class WorkersLost(HeclstmError):
    """Several workers ended one after the other with this task."""


class SchedulerLost(BrokenExecutor):
    """The scheduler ended, was restarted, dropped the task, or cannot be reached."""


class DaskExecutor(Executor):
    """Runs tasks on the workers of a client's cluster that have the memory.

    Dask repeats a task whose worker ended, on another one or the restarted one, up to the
    scheduler's `allowed-failures` (3) times; at the next loss the future raises WorkersLost. It
    raises SchedulerLost when nothing is known of the task any more: `renew` takes a new client.
    """

    def __init__(self, client: Any, need_mb: int) -> None:
        """`client` is a `distributed.Client`, `need_mb` what one task takes of a worker."""
        self._client, self._need_mb = client, need_mb
        self._slots, self._asked = 1, -LOOK_S
        self._asking = threading.Lock()

    def renew(self, make: Callable[[], Any]) -> None:
        """Run what comes on the cluster of the client that `make` returns, and may wait for.

        It may close the old one: who asks a client that is closed meanwhile would wait for ever.
        """
        with self._asking:
            self._client = make()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn(*args)` on a worker; the task is called after the first argument's `name`."""
        name = getattr(args[0], "name", "task") if args else "task"
        outer: Future[Any] = Future()
        try:
            inner = self._client.submit(
                run_on_worker, fn, *args, **kwargs,
                key=f"evaluate-{name}-{uuid.uuid4().hex[:8]}", pure=False,
                resources={MEMORY: self._need_mb},
            )  # fmt: skip
        except Exception as error:  # of another class in each release
            if has_given_up(self._client):
                raise SchedulerLost(str(error)) from error
            raise
        outer.add_done_callback(partial(_cancel_with, inner))
        inner.add_done_callback(partial(_pass_on, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is left running by the batch, and the client is its maker's to close."""

    def in_flight(self) -> int:
        """How many tasks to have submitted: what the workers there are now run, and a few more.

        Without workers it is what those run that were there before: others take their place.
        """
        if (now := time.monotonic()) - self._asked >= LOOK_S:
            self._asked = now
            fitting = self._fitting()
            if fitting:
                self._slots = sum(count + AHEAD for count in fitting)
        return self._slots

    @contextmanager
    def absence_told(self, say: Callable[[str], object], every_s: float) -> Iterator[None]:
        """While the block runs, `say` it as often as no worker is there that a task fits on."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(every_s):
                if self._fitting() == []:
                    say(
                        f"no Dask worker offers {self._need_mb} MB of {MEMORY} now: waiting for "
                        "one. Start workers (dask worker); what is finished is kept."
                    )

        thread = threading.Thread(target=watch, name="heclstm-absence", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _fitting(self) -> list[int] | None:
        """Tasks that run at a time on each worker where any does; None without a scheduler."""
        try:
            with self._asking:
                workers = known_workers(self._client)
        except Exception:  # no scheduler: the futures say so
            return None
        return [count for worker in workers if (count := slots(worker, self._need_mb))]


def _cancel_with(inner: Any, outer: Future[Any]) -> None:
    if outer.cancelled():
        inner.cancel()


def _pass_on(outer: Future[Any], inner: Any) -> None:
    """The end of a Dask future as that of an ordinary one."""
    from distributed import KilledWorker

    if not outer.set_running_or_notify_cancel():
        return
    try:
        outer.set_result(inner.result())
    except KilledWorker as error:
        outer.set_exception(WorkersLost(str(error)))
    except BaseException as error:  # a cancelled future raises no Exception
        outer.set_exception(SchedulerLost(str(error)) if _is_lost(inner, error) else error)


def _is_lost(inner: Any, error: BaseException) -> bool:
    """Whether a future raised this because nobody knows of it; else its task did.

    One that is finished may be asked for its result before its client notices that the scheduler
    is gone; what the connection then raises (an OSError) says nothing of the task.
    """
    unfetched = inner.status != "error" and isinstance(error, OSError)
    return unfetched or inner.status in ("cancelled", "lost")


def run_on_worker(fn: Callable[..., Any], *args: Any) -> Any:
    """What runs on a Dask worker: a worker short of memory ends, and its nanny starts another."""
    from distributed import get_worker

    try:
        worker = get_worker()
        under_nanny = worker.nanny is not None
    except ValueError:
        under_nanny = False
    if under_nanny:
        become_worker()
        tempfile.tempdir = worker.local_directory  # the nanny empties it after a kill
    result = fn(*args)
    if under_nanny and isinstance(result, Result) and result.spent:
        os._exit(1)
    return result
