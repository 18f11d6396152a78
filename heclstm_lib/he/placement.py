"""List scheduling: which worker runs which operation of a plan, in which order.

Dynamic levels (Sih and Lee, IEEE Trans. Parallel Distrib. Syst. 4(2), 1993): of the operations
whose arguments exist, take the pair (operation, worker) with the largest difference between the
longest way from the operation to the end and the moment the worker can begin it. A value another
worker made is sent, or made again where that is sooner and no dearer.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from heclstm_lib.he.plan import Op
from heclstm_lib.he.sums import find_sums

WINDOW = 24
"""Ready operations compared at each step, those with the longest way to the end."""

Seconds = Callable[[Op], float]
TransferSeconds = Callable[[int, int], float]


@dataclass(frozen=True)
class Placed:
    """One entry of a worker's list: an operation (value numbers of the whole plan) and its price.

    With `sender`, nothing is computed: the value `op.index` comes from that worker.
    """

    op: Op
    seconds: float
    sender: int | None = None


class Placement:
    """Assigns the operations that the outputs need to workers; `lists` holds one list each.

    Partial sums that are no value of the plan get numbers from len(ops) on.
    """

    def __init__(
        self,
        ops: Sequence[Op],
        outputs: Sequence[int],
        seconds: Seconds,
        transfer_s: TransferSeconds,
        workers: int,
        haste: float = 1.0,
    ) -> None:
        self.lists: list[list[Placed]] = [[] for _ in range(workers)]
        self.there: dict[int, dict[int, float]] = defaultdict(dict)  # value -> worker -> since
        self._ops = ops
        self._transfer_s = transfer_s
        self._haste = haste
        self._sums = find_sums(ops, outputs)
        needed = self._needed(outputs)
        self._cost = {value: seconds(ops[value]) for value in needed}
        self._users: dict[int, list[int]] = defaultdict(list)
        for value in needed:
            for arg in self._args(value):
                self._users[arg].append(value)
        self._rank = self._ranks(needed)
        self._missing = {value: len(self._args(value)) for value in needed}
        self._partial: dict[int, dict[int, int]] = defaultdict(dict)  # sum -> worker -> value
        self._made: dict[int, Op] = {}
        self._next = len(ops)
        self._free = [0.0] * workers
        self._lag: dict[tuple[int, int], tuple[float, float]] = {}
        self._ready = [(-self._rank[v], v) for v in needed if not self._missing[v]]
        heapq.heapify(self._ready)

    @property
    def critical_path_s(self) -> float:
        """Seconds of the longest way through the plan: no number of workers is faster."""
        return max(self._rank.values(), default=0.0)

    def run(self) -> Placement:
        """Place everything."""
        window: list[tuple[float, int]] = []
        while window or self._ready:
            while self._ready and len(window) < WINDOW:
                window.append(heapq.heappop(self._ready))
            window.sort()
            entry, worker = self._most_urgent(window)
            window.remove(entry)
            self._place(entry[1], worker)
        return self

    def _most_urgent(self, window: list[tuple[float, int]]) -> tuple[tuple[float, int], int]:
        """The entry (-rank, operation) and worker with the largest dynamic level."""
        best, found = -math.inf, (window[0], 0)
        earliest = min(self._free)
        for entry in window:
            if -self._haste * entry[0] - earliest <= best:
                break  # ranks fall from here on
            for worker in range(len(self._free)):
                level = -self._haste * entry[0] - self._begin(entry[1], worker)
                if level > best:
                    best, found = level, (entry, worker)
        return found

    def _args(self, value: int) -> tuple[int, ...]:
        return self._sums.get(value) or self._ops[value].args

    def _needed(self, outputs: Sequence[int]) -> list[int]:
        """Values the outputs depend on, in the plan's order; additions within a sum are none."""
        wanted = set(outputs)
        for value in range(len(self._ops) - 1, -1, -1):
            if value in wanted:
                wanted.update(self._args(value))
        return sorted(wanted)

    def _ranks(self, needed: list[int]) -> dict[int, float]:
        """Seconds from the beginning of each operation to the end of the plan, transfers free."""
        rank: dict[int, float] = {}
        for value in reversed(needed):
            after = max((rank[user] for user in self._users[value]), default=0.0)
            rank[value] = self._cost[value] + after
        return rank

    def _begin(self, value: int, worker: int) -> float:
        """When a worker could begin an operation, its arguments fetched."""
        pair = value, worker
        if pair not in self._lag:
            sources = self._sources(value)
            held = [self.there[arg][worker] for arg in sources if worker in self.there[arg]]
            ways = [self._way(arg, worker) for arg in sources if worker not in self.there[arg]]
            latest = max([0.0, *held, *(begin for begin, _, _ in ways)])
            self._lag[pair] = latest, sum(busy for _, busy, _ in ways)
        latest, busy = self._lag[pair]
        return max(self._free[worker], latest) + busy

    def _sources(self, value: int) -> tuple[int, ...]:
        """What must be at hand to run an operation: for a sum the partial sums made so far."""
        if value in self._sums:
            return tuple(self._partial[value].values())
        return self._ops[value].args

    def _way(self, value: int, worker: int) -> tuple[float, float, int | None]:
        """How a value gets to a worker: (can begin at, keeps the worker busy for, sender or None).

        Half of a transfer is the sender's writing, half the receiver's reading.
        """
        op = self._made.get(value) or self._ops[value]
        half = self._transfer_s(op.level, op.size) / 2
        sender = min(self.there[value], key=self.there[value].__getitem__)
        begin = self.there[value][sender] + half
        if value not in self._made and value not in self._sums and self._cost[value] <= 2 * half:
            held = [self.there[arg].get(worker) for arg in op.args]
            if None not in held:
                again = max((time for time in held if time is not None), default=0.0)
                free = self._free[worker]
                if max(free, again) + self._cost[value] <= max(free, begin) + half:
                    return again, self._cost[value], None
        return begin, half, sender

    def _bring(self, value: int, worker: int) -> None:
        if worker in self.there[value]:
            return
        begin, busy, sender = self._way(value, worker)
        if sender is not None and not self._is_sent(value):
            self._free[sender] += busy
        op = self._made.get(value) or self._ops[value]
        self._append(worker, Placed(op, busy, sender), begin)
        for user in self._users[value]:
            self._lag.pop((user, worker), None)

    def _is_sent(self, value: int) -> bool:
        return len(self.there[value]) > 1

    def _append(self, worker: int, placed: Placed, begin: float) -> None:
        self._free[worker] = max(self._free[worker], begin) + placed.seconds
        self.there[placed.op.index][worker] = self._free[worker]
        self.lists[worker].append(placed)

    def _place(self, value: int, worker: int) -> None:
        """Run an operation on a worker, arguments fetched first, and see what becomes ready."""
        for source in self._sources(value):
            self._bring(source, worker)
        if value in self._sums:
            first, *others = self._sources(value)
            for number, term in enumerate(others, 1):
                first = self._add(value, first, term, worker, last=number == len(others))
        else:
            begin = max((self.there[arg][worker] for arg in self._ops[value].args), default=0.0)
            self._append(worker, Placed(self._ops[value], self._cost[value]), begin)
        self._announce(value, worker)

    def _announce(self, value: int, worker: int) -> None:
        """A value exists on a worker: its users may become ready, sums take it in at once."""
        for user in self._users[value]:
            self._missing[user] -= 1
            if user in self._sums:
                self._take_in(user, value, worker)
            elif not self._missing[user]:
                heapq.heappush(self._ready, (-self._rank[user], user))

    def _take_in(self, root: int, term: int, worker: int) -> None:
        """Add a term to the worker's partial sum; when all terms of the sum are in, finish it."""
        partial = self._partial[root]
        alone = not self._missing[root] and set(partial) == {worker}
        if worker in partial:
            partial[worker] = self._add(root, partial[worker], term, worker, last=alone)
        else:
            partial[worker] = term
        if alone:
            self._announce(root, worker)
        elif not self._missing[root]:
            heapq.heappush(self._ready, (-self._rank[root], root))

    def _add(self, root: int, left: int, right: int, worker: int, last: bool) -> int:
        number = root if last else self._next
        self._next += not last
        op = replace(self._ops[root], index=number, args=(left, right))
        self._made[number] = op
        begin = max(self.there[left][worker], self.there[right][worker])
        self._append(worker, Placed(op, self._cost[root]), begin)
        return number
