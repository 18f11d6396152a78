"""What is to be evaluated, and on what: both sides of a capacity question."""

from __future__ import annotations

import math
from dataclasses import dataclass

from heclstm_lib.errors import ConfigError

GB = 1e9
"""Bytes: all gigabytes here are decimal."""

DAY_S = 86400.0


def check_positive(owner: object, *names: str) -> None:
    """Raise ConfigError unless the named fields are above 0 (infinity allowed)."""
    for name in names:
        value = getattr(owner, name)
        if not value > 0:
            raise ConfigError(f"{type(owner).__name__}.{name}: expected above 0, got {value!r}.")


@dataclass(frozen=True)
class Workload:
    """Sequences of some hospitals, each with its own keys; a batch holds one hospital's only.

    Sequences are spread evenly over hospitals, and each hospital's over its `deliveries`: what it
    sends together is packed together. `deadline_s` is for all of them, from the first request on.
    """

    sequences: int
    hospitals: int = 1
    deliveries: int = 1
    deadline_s: float = math.inf

    def __post_init__(self) -> None:
        check_positive(self, "sequences", "hospitals", "deliveries", "deadline_s")

    @property
    def senders(self) -> int:
        """Hospitals that have at least one sequence: as many bundles."""
        return min(self.hospitals, self.sequences)

    @property
    def groups(self) -> int:
        """Deliveries with at least one sequence: what is packed and evaluated together."""
        return min(self.hospitals * self.deliveries, self.sequences)

    def group_batches(self, together: int) -> tuple[int, int, int]:
        """(groups with more, batches of each, batches of each other) for `together` a batch.

        >>> Workload(10, hospitals=4).group_batches(2)  # 3, 3, 2 and 2 sequences
        (2, 2, 1)
        """
        least, more = divmod(self.sequences, self.groups)
        return more, math.ceil((least + 1) / together), math.ceil(least / together)

    def batches(self, together: int) -> int:
        """Batches of all groups, the last one of each partly empty."""
        more, larger, smaller = self.group_batches(together)
        return more * larger + (self.groups - more) * smaller


@dataclass(frozen=True)
class Machine:
    """One server of a fleet of equals.

    `speed` is one core's, relative to the one that the primitives were measured on.
    `full_slowdown` is how much longer a batch takes with a worker on every core than alone: memory
    is shared. Network rates hold for each direction. `price_per_hour` is in any currency, for the
    whole machine. A failed machine loses the batches at work and is back after `restart_s`.
    """

    cores: int
    memory_gb: float
    network_gbit_s: float = 1.0
    disk_gb: float = math.inf
    price_per_hour: float = 1.0
    speed: float = 1.0
    full_slowdown: float = 1.05
    failures_per_hour: float = 0.0
    restart_s: float = 120.0

    def __post_init__(self) -> None:
        positive = ("cores", "memory_gb", "network_gbit_s", "disk_gb", "price_per_hour", "speed")
        check_positive(self, *positive)
        if not self.full_slowdown >= 1:
            raise ConfigError(
                f"Machine.full_slowdown: expected at least 1, got {self.full_slowdown!r}."
            )
        for name in ("failures_per_hour", "restart_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"Machine.{name}: expected 0 or more, got {getattr(self, name)}.")

    @property
    def words(self) -> str:
        """Its size, for a title."""
        return f"{self.cores} cores, {self.memory_gb:g} GB"

    def slowdown(self, workers: int) -> float:
        """How much longer a batch takes beside `workers` - 1 others, linear up to a full machine.

        >>> round(Machine(cores=5, memory_gb=8, full_slowdown=1.2).slowdown(3), 3)
        1.1
        """
        if self.cores == 1:
            return 1.0
        return 1 + (self.full_slowdown - 1) * (workers - 1) / (self.cores - 1)
