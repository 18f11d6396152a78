"""Training that gives the same network again: algorithms and number of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

THREADS = "OMP_NUM_THREADS"


@contextmanager
def deterministic() -> Iterator[None]:
    """Deterministic algorithms and one thread inside, the caller's settings afterwards.

    A sum over two threads rounds otherwise than over one, so that networks would depend on the
    number of cores. The networks here gain little from a second thread (0 to 30 % of the time),
    and on a busy machine each of their many short operations waits for the slower one.
    $OMP_NUM_THREADS has its way.
    """
    algorithms, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    if THREADS not in os.environ:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        torch.set_num_threads(threads)
