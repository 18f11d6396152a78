"""Faults put into a Dask cluster at random times while it works."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psutil

from heclstm_lib.robustness.dask_processes import DaskProcesses

WORKER, SCHEDULER, MACHINE = "worker", "scheduler", "machine"

SAID = {
    WORKER: "workers (their nannies start others)",
    SCHEDULER: "scheduler (started again)",
    MACHINE: "worker with its nanny, for good",
}

BETWEEN_S = (4.0, 12.0)
"""Seconds from one fault to the next, drawn evenly: a new worker needs some to load its keys."""

AWAY_S = (0.5, 3.0)
"""Seconds until a killed scheduler is started again, drawn evenly."""


def draw_faults(count: int, rng: np.random.Generator) -> list[str]:
    """`count` kinds in random order: the scheduler and a machine once each, else workers."""
    once = [SCHEDULER, MACHINE][:count]
    kinds = once + [WORKER] * (count - len(once))
    return [kinds[place] for place in rng.permutation(count)]


class Faults:
    """Kills (SIGKILL) that are still to come, and those that were; `struck` counts by kind."""

    def __init__(self, kinds: list[str], cluster: DaskProcesses, rng: np.random.Generator) -> None:
        self.waiting, self.struck = deque(kinds), Counter[str]()
        self._cluster, self._rng = cluster, rng

    @contextmanager
    def during(self, most: int) -> Iterator[None]:
        """Up to `most` of them while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._strike_some, args=(ended, most))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _strike_some(self, ended: threading.Event, most: int) -> None:
        until = self.struck.total() + most
        while self.waiting and self.struck.total() < until:
            if ended.wait(self._rng.uniform(*BETWEEN_S)):
                return
            if self._strike(self.waiting[0]):
                self.struck[self.waiting.popleft()] += 1

    def _strike(self, kind: str) -> bool:
        """Do it; False when no worker is there to be killed."""
        if kind == SCHEDULER:
            self._cluster.kill_scheduler()
            time.sleep(self._rng.uniform(*AWAY_S))
            self._cluster.restart_scheduler()
            return True
        if kind == MACHINE:
            self._cluster.remove_worker(int(self._rng.choice(self._cluster.numbers)))
            return True
        workers = self._cluster.workers()
        try:
            workers[int(self._rng.integers(len(workers)))].kill()
        except (ValueError, psutil.NoSuchProcess):  # none, or it has just ended
            return False
        return True
