"""What a worker does for a job by addresses: fetch plan and keys once, evaluate, put the response.

Evaluations that run at the same time in one process each have a server of their own, since SEAL
and the encoded model are not made for two threads; so memory grows with them (`cluster.need`).
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from heclstm_lib.batch.claims import claim
from heclstm_lib.batch.folder import remove_leftovers
from heclstm_lib.batch.task import Result, State, check_room, failure, refuse_spent
from heclstm_lib.batch.workers import ended_after
from heclstm_lib.cluster.cache import fetch_bundle, fetch_plan
from heclstm_lib.cluster.jobs import RemoteJob, is_finished_remotely
from heclstm_lib.he.server import Server
from heclstm_lib.he.store import load_plan
from heclstm_lib.storage import base_name, local_copy, local_path, upload

Key = tuple[str, str, int | None]

_idle: dict[Key, list[Server]] = {}
_lock = threading.Lock()


def evaluate_remote_job(job: RemoteJob) -> Result:
    """Evaluate one request unless it is finished; never raises."""
    begin, loading = time.perf_counter(), True
    try:
        refuse_spent()
        with ended_after(job.patience_s), _borrow_server(job) as server:
            loading = False
            state = _evaluate(server, job)
    except Exception as error:
        return failure(job.name, error, loading)
    return Result(job.name, state, seconds=time.perf_counter() - begin)


def _evaluate(server: Server, job: RemoteJob) -> State:
    """The claim holds others off a local folder only; a store has none."""
    target = local_path(job.response)
    with claim(target) if target else nullcontext(True) as held:
        if not held:
            return "claimed"
        if is_finished_remotely(job):
            return "finished"
        with tempfile.TemporaryDirectory() as scratch:
            if target is not None:
                remove_leftovers(target)
            response = target or Path(scratch) / base_name(job.response)
            check_room(response.parent, job.least_bytes)
            server.evaluate(local_copy(job.request, Path(scratch)), response)
            if target is None:
                upload(response, job.response)
    return "evaluated"


@contextmanager
def _borrow_server(job: RemoteJob) -> Iterator[Server]:
    """A server nobody else uses meanwhile; those of another plan or bundle are dropped.

    After a lack of memory it is not used again: SEAL does not survive that whole.
    """
    key = (job.plan_digest, job.bundle_digest, job.flood_bits)
    with _lock:
        for other in _idle.keys() - {key}:
            del _idle[other]
        servers = _idle.setdefault(key, [])
        server = servers.pop() if servers else None
    if server is None:
        # An error that a store's client caught may hold itself, our frames and so an old server.
        gc.collect()
        plan = load_plan(fetch_plan(job.plan, job.plan_digest))
        bundle = fetch_bundle(job.bundle, job.bundle_digest)
        server = Server(plan, bundle, flood_bits=job.flood_bits)
    try:
        yield server
    except MemoryError:
        server = None
        raise
    finally:
        if server is not None:
            with _lock:
                servers.append(server)
