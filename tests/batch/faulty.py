"""What goes wrong in a worker, on purpose; importable by worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from heclstm_lib.batch import claims
from heclstm_lib.batch.folder import Job
from heclstm_lib.batch.task import Result, evaluate_job
from heclstm_lib.batch.workers import ended_after

BAD = "01"
"""The request that brings misfortune."""


class Inline(Executor):
    """Runs a task at once in this process and counts it."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks.append(args[0].name)
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Replacing(Executor):
    """Runs another task than it is given, in the executor it is made of."""

    def __init__(self, inner: Executor, task: Callable[[Job], Result]) -> None:
        self.inner, self.task = inner, task

    def submit(self, _fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(self.task, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.inner.shutdown(wait, cancel_futures=cancel_futures)


def die_in_evaluation(job: Job) -> Result:
    """The bad request kills its worker, claim in hand and a part of its response written."""
    if job.name == BAD:
        with claims.claim(job.response):
            job.response.with_name(f".{job.response.name}.part").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return evaluate_job(job)


def die_once(job: Job) -> Result:
    """As `die_in_evaluation`, but only the first time."""
    mark = mark_of(job)
    if job.name == BAD and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate_job(job)


def mark_of(job: Job) -> Path:
    """The file that says that the worker was killed."""
    return job.plan_path.with_name("was-killed")


def hang(job: Job) -> Result:
    """The bad request never ends; its worker's watch is to end it."""
    if job.name == BAD:
        with ended_after(job.patience_s), claims.claim(job.response):
            signal.pause()
    return evaluate_job(job)
