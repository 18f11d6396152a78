"""What a worker does for a batch: load keys and model once, claim a request, evaluate it."""

from __future__ import annotations

import errno
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heclstm_lib.batch.claims import claim
from heclstm_lib.batch.folder import Job, is_finished, remove_leftovers
from heclstm_lib.batch.workers import ended_after, is_worker
from heclstm_lib.errors import HeclstmError
from heclstm_lib.he.server import Server
from heclstm_lib.he.store import load_plan

State = Literal["evaluated", "finished", "claimed", "again", "failed"]

_servers: dict[tuple[str, str, int | None], Server] = {}
_process = {"spent": False}


@dataclass(frozen=True)
class Result:
    """What became of a request.

    "evaluated" now; "finished" before or by another evaluation; "claimed" by another one, which is
    at it; "again": failed for a reason that may pass (memory, disk, a lost worker); "failed".
    `loading`: keys or model could not be loaded, so no other request would fare better.
    `spent`: the worker ran out of memory, which SEAL does not survive whole; it does no more.
    """

    name: str
    state: State
    reason: str = ""
    loading: bool = False
    spent: bool = False
    seconds: float = 0.0


def evaluate_job(job: Job) -> Result:
    """Evaluate one request unless it is finished or another process is at it; never raises."""
    begin, loading = time.perf_counter(), True
    try:
        refuse_spent()
        with ended_after(job.patience_s):
            server = _server(job)
            loading = False
            state = _evaluate(server, job)
    except Exception as error:
        return failure(job.name, error, loading)
    return Result(job.name, state, seconds=time.perf_counter() - begin)


def _evaluate(server: Server, job: Job) -> State:
    with claim(job.response) as held:
        if not held:
            return "claimed"
        if is_finished(job):
            return "finished"
        remove_leftovers(job.response)
        check_room(job.response.parent, job.least_bytes)
        server.evaluate(job.request, job.response)
        return "evaluated"


def refuse_spent() -> None:
    """Raise MemoryError in a worker that ran out of memory before."""
    if _process["spent"]:
        raise MemoryError


def check_room(folder: Path, least_bytes: int) -> None:
    """Raise OSError when a folder's disk has no room for so many bytes.

    Better now than after hours of work; a quota, which is not seen here, still shows then.
    """
    if shutil.disk_usage(folder).free < least_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _server(job: Job) -> Server:
    """The worker's server; another plan or bundle replaces it, since its keys fill gigabytes."""
    key = (str(job.plan_path), str(job.bundle_path), job.flood_bits)
    if key not in _servers:
        _servers.clear()
        plan = load_plan(job.plan_path)
        _servers[key] = Server(plan, job.bundle_path, flood_bits=job.flood_bits)
    return _servers[key]


def failure(name: str, error: Exception, loading: bool) -> Result:
    """What an error means for the request called `name`; `loading` as in Result."""
    spent = isinstance(error, MemoryError) and is_worker()
    if spent:
        _servers.clear()
        _process["spent"] = True
    passing = isinstance(error, MemoryError | OSError)
    return Result(name, "again" if passing else "failed", reason(error), loading, spent)


def reason(error: BaseException) -> str:
    """An error as it may stand in the list of failures, with what to do."""
    if isinstance(error, HeclstmError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory. Use fewer workers, a larger limit, or a smaller plan."
    if isinstance(error, OSError):
        return f"{error.strerror or error}. Free some space or get the permission, then run again."
    return f"{type(error).__name__}: {error}"
