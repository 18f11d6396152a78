"""A fleet of workers, event by event: what the closed formula is held against.

Machines hold some workers each. A free worker takes the next batch of the group (one hospital's
delivery) whose keys it holds; when there is none, it loads the keys of the group with the most
batches that nobody has begun, groups without any worker first. It does not leave its keys for
batches that those at work on them would begin before it has loaded the others. Batch times are
drawn; a machine that fails loses the batches at work, comes back later, and its workers load anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from heclstm_lib.capacity.makespan import Load
from heclstm_lib.errors import ConfigError
from heclstm_lib.he.packing import Vector

MOST_BATCHES = 5_000_000
"""More would take minutes and gigabytes."""


@dataclass(frozen=True)
class SimulatedRun:
    """Seconds until the last batch, seconds all workers were at work, loads, batches lost."""

    seconds: float
    busy_s: float
    loads: int
    lost: int


class _Next(NamedTuple):
    """When a worker is free again, the group whose batch ends then (-1: none), or is lost."""

    at: float
    worker: int
    group: int
    lost: bool = False


class _Groups:
    """Batches that nobody has begun, and how many workers hold the keys, by group."""

    def __init__(self, sizes: Sequence[int], batches_a_load: float) -> None:
        self.left = list(sizes)
        self.holders = [0] * len(self.left)
        self.batches_a_load = batches_a_load
        self._heap = [self._entry(group) for group in range(len(self.left))]
        heapq.heapify(self._heap)

    def _entry(self, group: int) -> tuple[bool, int, int]:
        return self.holders[group] > 0, -self.left[group], group

    def join(self, old: int) -> int:
        """The next group of a worker that holds the keys of `old` (-1: none); -1 to stay idle."""
        while self._heap:
            group = self._heap[0][2]
            if self._heap[0] != self._entry(group) or not self.left[group]:
                heapq.heappop(self._heap)
                if self.left[group]:
                    heapq.heappush(self._heap, self._entry(group))
                continue
            taken_meanwhile = self.holders[group] * self.batches_a_load
            if old >= 0 and self.left[group] <= taken_meanwhile:
                return -1
            self.holders[group] += 1
            self.leave(old)
            return group
        return -1

    def leave(self, group: int) -> None:
        """A worker no longer holds the keys of a group (-1: of none)."""
        if group >= 0:
            self.holders[group] -= 1

    def give_back(self, group: int) -> None:
        """A batch was lost."""
        self.left[group] += 1
        heapq.heappush(self._heap, self._entry(group))


def group_sizes(load: Load) -> list[int]:
    """Batches of each group, as even as can be."""
    least, more = divmod(load.batches, load.groups)
    return [least + 1] * more + [least] * (load.groups - more)


def simulate(
    load: Load,
    workers: int,
    workers_per_machine: int = 1,
    seed: int = 0,
    times: Vector | None = None,
) -> SimulatedRun:
    """One run of a load.

    `times` [n] are measured batch seconds over their mean, drawn with replacement; without them
    batch times follow a gamma distribution with the load's spread. ConfigError for more than
    MOST_BATCHES.
    """
    if load.batches > MOST_BATCHES:
        raise ConfigError(
            f"simulation: {load.batches} batches, at most {MOST_BATCHES}. Take fewer sequences, "
            "or the closed formula."
        )
    return _Fleet(load, workers, workers_per_machine, np.random.default_rng(seed), times).run()


class _Fleet:
    def __init__(
        self, load: Load, workers: int, per_machine: int, rng: np.random.Generator,
        times: Vector | None,
    ) -> None:  # fmt: skip
        self.load, self.rng = load, rng
        self.used = min(workers, load.batches)
        self.groups = _Groups(group_sizes(load), load.load_s / load.batch_s)
        self.factors = _draw(load, rng, times)
        self.holds = [-1] * self.used
        self.failures = [_Failures(load, rng) for _ in range(-(-self.used // per_machine))]
        self.machine = [worker // per_machine for worker in range(self.used)]
        self.seen = [0] * self.used
        self.begun = self.loads = self.lost = 0
        self.busy_s = 0.0
        self.queue = [_Next(load.start_s, worker, -1) for worker in range(self.used)]
        self.idle: list[int] = []

    def run(self) -> SimulatedRun:
        end = 0.0
        while self.queue:
            at, worker, group, lost = heapq.heappop(self.queue)
            if lost:
                self._give_back(at, group)
            elif group >= 0:
                end = max(end, at)
            back = self._back(at, worker)
            if back > at:
                heapq.heappush(self.queue, _Next(back, worker, -1))
            else:
                self._begin(at, worker)
        return SimulatedRun(end, self.busy_s, self.loads, self.lost)

    def _begin(self, at: float, worker: int) -> None:
        """Have a free worker begin a batch at a time; without any left it waits."""
        group, seconds = self.holds[worker], 0.0
        if group < 0 or not self.groups.left[group]:
            group = self.groups.join(group)
            if group < 0:
                self.idle.append(worker)
                return
            self.holds[worker] = group
            self.loads += 1
            seconds = self.load.load_s
        self.groups.left[group] -= 1
        seconds += self.load.batch_s * float(self.factors[self.begun % len(self.factors)])
        self.begun += 1
        fails = self.failures[self.machine[worker]].time(self.seen[worker])
        end = min(at + seconds, fails)
        self.busy_s += end - at
        heapq.heappush(self.queue, _Next(end, worker, group, lost=fails < at + seconds))

    def _give_back(self, at: float, group: int) -> None:
        """A batch was lost: those who had nothing left may take it."""
        self.lost += 1
        self.groups.give_back(group)
        while self.idle:
            heapq.heappush(self.queue, _Next(at, self.idle.pop(), -1))

    def _back(self, at: float, worker: int) -> float:
        """When a worker can go on: at once, or once its machine is back, without keys."""
        failures = self.failures[self.machine[worker]]
        while failures.time(self.seen[worker]) <= at:
            back = failures.time(self.seen[worker]) + self.load.restart_s + self.load.start_s
            self.seen[worker] += 1
            self.groups.leave(self.holds[worker])
            self.holds[worker] = -1
            at = max(at, back)
        return at


class _Failures:
    """The times at which a machine fails, drawn as they are asked for."""

    def __init__(self, load: Load, rng: np.random.Generator) -> None:
        self.load, self.rng = load, rng
        self.times: list[float] = []

    def time(self, number: int) -> float:
        if self.load.failures_s == 0:
            return float("inf")
        while number >= len(self.times):
            up = self.times[-1] + self.load.restart_s if self.times else 0.0
            self.times.append(up + float(self.rng.exponential(1 / self.load.failures_s)))
        return self.times[number]


def _draw(load: Load, rng: np.random.Generator, times: Vector | None) -> Vector:
    """Batch seconds over their mean, enough of them."""
    count = min(load.batches, 1 << 16)
    if times is not None:
        return rng.choice(np.asarray(times, dtype=np.float64), count)
    if load.spread == 0:
        return np.ones(count)
    return rng.gamma(load.spread**-2, load.spread**2, count)
