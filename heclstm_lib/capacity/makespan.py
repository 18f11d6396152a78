"""The closed formula: seconds from the first request to the last response of a fleet of workers.

Workers take batches from one list (Graham's list scheduling) and stay with a hospital while it has
batches left, as its keys take long to load. With n batches of t seconds over W workers, G groups
of batches with keys of their own that take l seconds:

    loads     G + W - 1 at most: each group once, and once more for each further worker
    in step   ceil(n / W) t + ceil(G / W) l        batches take the same time, waves end together
    mixed     (n t + loads l) / W + idle           waves have drifted apart; idle: the last batches

and the makespan lies between: waves drift apart as batch times spread and groups have different
lengths. A batch of t seconds on machines that fail at a rate f and come back after r seconds takes
(1 / f + r)(exp(f t) - 1) in the mean (a task that starts again from its beginning).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

DRIFT = 0.5
"""Waves have drifted apart once batches' end times spread over this part of a batch."""


@dataclass(frozen=True)
class Load:
    """What a fleet has to do: batches of groups, seconds of each thing, failures a second."""

    batches: int
    groups: int
    batch_s: float
    load_s: float = 0.0
    start_s: float = 0.0
    spread: float = 0.0
    failures_s: float = 0.0
    restart_s: float = 0.0

    @property
    def mean_batch_s(self) -> float:
        """Seconds of a batch, those lost to failures among them."""
        lost = self.restart_s + self.start_s + self.load_s
        return with_failures(self.batch_s, self.failures_s, lost)

    def loads(self, workers: int) -> int:
        """How often a bundle and the model are loaded by all workers together."""
        used = min(workers, self.batches)
        return min(self.batches, self.groups + used - 1)


def with_failures(seconds: float, failures_s: float, lost_s: float) -> float:
    """Mean seconds of a task that failures at a rate a second make start again, after `lost_s`."""
    if failures_s == 0:
        return seconds
    return (1 / failures_s + lost_s) * math.expm1(failures_s * seconds)


def makespan_s(load: Load, workers: int) -> float:
    """Expected seconds until the last batch of a load is done on so many workers."""
    used = min(workers, load.batches)
    batch_s = load.mean_batch_s
    waves, rounds = load.batches / used, load.groups / used
    last = _last_of(used) * load.spread * batch_s
    in_step = math.ceil(waves) * batch_s + max(1, math.ceil(rounds)) * load.load_s
    in_step += last * math.sqrt(math.ceil(waves))
    mean = (load.batches * batch_s + load.loads(workers) * load.load_s) / used
    idle = batch_s * (used / (used + 1) - 0.5 * (1 + load.spread**2)) + last / 2
    share = _drift(load, waves, used)
    return load.start_s + (1 - share) * in_step + share * (mean + max(0.0, idle))


def _drift(load: Load, waves: float, used: int) -> float:
    """0 while all workers end their batches together, 1 once they end at any time."""
    by_spread = load.spread * math.sqrt(max(waves - 1, 0)) / DRIFT
    loads = load.loads(used) / used
    by_groups = 0.0 if load.groups == 1 else min(load.load_s / load.batch_s, 1.0) * (loads - 1)
    return min(1.0, by_spread + by_groups / DRIFT)


def _last_of(count: int) -> float:
    """How many standard deviations the last of `count` normal times is late, in the mean (Blom)."""
    return float(norm.ppf((count - 0.375) / (count + 0.25))) if count > 1 else 0.0
