"""Tasks that leave traces of when they ran; importable by worker processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from heclstm_lib.batch.task import Result
from heclstm_lib.cluster.jobs import RemoteJob
from heclstm_lib.cluster.task import evaluate_remote_job


class Timed:
    """A job that only takes time; `folder` is for its trace."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder


def take_time(job: Timed) -> Result:
    """A second, noted with its begin and end."""
    begin = time.time()
    time.sleep(1)
    (job.folder / job.name).write_text(f"{begin} {time.time()}")
    return Result(job.name, "evaluated")


def die_once(job: RemoteJob) -> Result:
    """The request 01 kills its worker the first time."""
    mark = Path(os.environ["HECLSTM_CLUSTER_CACHE"]) / "was-killed"
    if job.name == "01" and not mark.exists():
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate_remote_job(job)


def die_always(job: RemoteJob) -> Result:
    """The request 01 kills each worker that tries it."""
    if job.name == "01":
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate_remote_job(job)


def run_out_of_memory(job: RemoteJob) -> Result:
    """The first worker that is asked runs out of memory, as SEAL reports it."""
    mark = Path(os.environ["HECLSTM_CLUSTER_CACHE"]) / "ran-out"
    if not mark.exists():
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        return Result(job.name, "again", "out of memory", spent=True)
    return evaluate_remote_job(job)


def take_longer(job: RemoteJob) -> Result:
    """The requests after 00 take a second more."""
    if job.name != "00":
        time.sleep(1)
    return evaluate_remote_job(job)


def note_key(job: RemoteJob) -> Result:
    """What Dask calls the task, as a file beside the responses."""
    from distributed import get_worker

    key = get_worker().get_current_task()
    Path(job.response).with_suffix(".key").write_text(key)
    return evaluate_remote_job(job)
