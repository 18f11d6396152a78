"""Worker processes of a server: started afresh, sharing the cores, limited in memory."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

from heclstm_lib.provenance import thread_counts

LEAST_S = 1e-3
"""What faulthandler takes at least."""

_process = {"is_worker": False}


def is_worker() -> bool:
    """Whether this process is one that `make_executor` started, so it may end without harm."""
    return _process["is_worker"]


def become_worker() -> None:
    """Say that this process may end without harm: something starts another one in its place."""
    _process["is_worker"] = True


def make_executor(workers: int, memory_bytes: int | None = None) -> ProcessPoolExecutor:
    """Local worker processes, started afresh (spawn): SEAL holds the interpreter's lock.

    The cores are shared out: matrix products take no more threads than a worker's part. With
    `memory_bytes` a worker that would take more address space than that gets a MemoryError. A
    worker ends when its parent does, also when that was killed.
    """
    cores = int(thread_counts()["available"] or 1)
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_worker,
        initargs=(max(1, cores // workers), memory_bytes),
    )


def _begin_worker(threads: int, memory_bytes: int | None) -> None:
    _process["is_worker"] = True
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    _limit_threads(threads)


def _end_with_parent() -> None:
    """Without this a worker whose parent was killed would wait for tasks, and keep its keys."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """End this worker if the block takes longer: SEAL was seen to spin when memory was short.

    Blocks may run in several threads at once; then whichever is over time ends the worker. In
    other processes it does nothing. MemoryError when there is no room for the watching thread.
    """
    if not is_worker():
        yield
        return
    block = object()
    try:
        _watch_until(block, time.monotonic() + seconds)
        yield
    finally:
        _watch_until(block, None)


_ends: dict[object, float] = {}
_watching = threading.Lock()


def _watch_until(block: object, end: float | None) -> None:
    """Add a block's end, None to drop it; the process ends at the earliest.

    Only faulthandler's timer, which is one for the process, needs no lock of Python's, which SEAL
    holds.
    """
    with _watching:
        if end is None:
            _ends.pop(block, None)
        else:
            _ends[block] = end
        if not _ends:
            faulthandler.cancel_dump_traceback_later()
            return
        left_s = max(min(_ends.values()) - time.monotonic(), LEAST_S)
        try:
            faulthandler.dump_traceback_later(left_s, exit=True)
        except RuntimeError as error:
            raise MemoryError(str(error)) from error


def _limit_threads(most: int) -> None:
    """At most so many threads for BLAS and OpenMP in this process; fewer stay fewer."""
    importlib.import_module("numpy")  # only libraries that are loaded can be limited
    for library in threadpool_info():
        if library["num_threads"] > most:
            threadpool_limits(most, user_api=library["user_api"])
