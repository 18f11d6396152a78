"""One plan as several strands: what each worker computes, receives and sends, and how long.

A strand is a plan of its own, so the interpreter runs it as it runs the whole plan; the results
are the same to the bit as in a run by one worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from heclstm_lib.errors import PlanError
from heclstm_lib.he.backend import grouped
from heclstm_lib.he.placement import Placed, Placement, Seconds, TransferSeconds
from heclstm_lib.he.plan import Op, Plan

HASTE = (1.0, 0.3)
"""Weights of the way to the end against an early start; the better schedule is taken."""

Lists = list[list[Placed]]


@dataclass(frozen=True)
class Strand:
    """What one worker does, in order; operations are numbered from 0 within the strand.

    `values` [ops] are the results' numbers in the whole plan (partial sums come after its last).
    An operation of kind "input" is the client's ciphertext `requests[i]`, or the value that strand
    `receives[i]` sends. Strands `sends[i]` wait for result i; `results` maps places among the
    plan's results to operations here.
    """

    ops: tuple[Op, ...]
    values: tuple[int, ...]
    requests: Mapping[int, int]
    receives: Mapping[int, int]
    sends: Mapping[int, tuple[int, ...]]
    results: Mapping[int, int]

    def plan(self, whole: Plan) -> Plan:
        """The strand as a plan of its own, with the constants of the whole one."""
        return replace(whole, ops=self.ops, results=tuple(self.results.values()))


@dataclass(frozen=True)
class Schedule:
    """Strands that together compute a plan, and what they are expected to take.

    `busy_s` [strands] is computing and moving values; the rest of `makespan_s` is waiting.
    `sequential_s` is the whole plan on one worker, `critical_path_s` on any number of them.
    """

    strands: tuple[Strand, ...]
    makespan_s: float
    busy_s: tuple[float, ...]
    sequential_s: float
    critical_path_s: float
    transfer_bytes: int


def schedule(plan: Plan, seconds: Seconds, transfer_s: TransferSeconds, workers: int) -> Schedule:
    """Spread a plan over at most `workers` strands so that it ends early; needs no key.

    `seconds(op)` prices an operation of the plan, `transfer_s(level, size)` the writing and
    reading of one ciphertext together. There are fewer strands when more would not be faster.
    Raises PlanError for less than one worker, and for a plan with refreshes.
    """
    if workers < 1:
        raise PlanError(f"a schedule needs at least one worker, got {workers}.")
    if any(op.kind == "refresh" for op in plan.ops):
        raise PlanError(
            "a plan with refreshes waits for its client, so it is not spread over workers; "
            "evaluate whole batches in parallel instead."
        )

    def place(count: int, haste: float) -> tuple[float, tuple[float, ...], Lists, float]:
        placement = Placement(plan.ops, plan.results, seconds, transfer_s, count, haste).run()
        lists = _used([_together(plan.ops, placed) for placed in placement.lists])
        return *replay(lists, transfer_s), lists, placement.critical_path_s

    alone = place(1, 1.0)
    spread = [place(workers, haste) for haste in HASTE if workers > 1]
    end, busy, lists, critical = min([alone, *spread], key=lambda found: found[0])
    moved = {
        (item.sender, item.op.index): plan.params.ciphertext_bytes(item.op.level, item.op.size)
        for placed in lists
        for item in placed
        if item.sender is not None
    }
    return Schedule(_strands(plan, lists), end, busy, alone[0], critical, sum(moved.values()))


def replay(lists: Lists, transfer_s: TransferSeconds) -> tuple[float, tuple[float, ...]]:
    """When the last worker ends, and the seconds each is busy, by running the lists on paper.

    A value is written as soon as it is made and read when its turn comes. Raises PlanError when
    the lists wait for each other.
    """
    wanted = {(p.sender, p.op.index) for placed in lists for p in placed if p.sender is not None}
    written: dict[tuple[int | None, int], float] = {}
    now, busy, position = [0.0] * len(lists), [0.0] * len(lists), [0] * len(lists)

    def step(worker: int, item: Placed) -> bool:
        begin, took = now[worker], item.seconds
        if item.sender is not None:
            if (item.sender, item.op.index) not in written:
                return False
            begin = max(begin, written[item.sender, item.op.index])
        elif (worker, item.op.index) in wanted:
            took += transfer_s(item.op.level, item.op.size) / 2
            written[worker, item.op.index] = begin + took
        now[worker] = begin + took
        busy[worker] += took
        position[worker] += 1
        return True

    moving = True
    while moving:
        moving = False
        for worker, placed in enumerate(lists):
            while position[worker] < len(placed) and step(worker, placed[position[worker]]):
                moving = True
    if position != [len(placed) for placed in lists]:
        raise PlanError("the strands of a schedule wait for each other; schedule again.")
    return max(now, default=0.0), tuple(busy)


def _together(ops: Sequence[Op], placed: list[Placed]) -> list[Placed]:
    """Bring the weighted sums that the plan computes together next to each other again.

    They have the same arguments, so all can run where the first of them does.
    """
    run = {op.index: group[0].index for group in grouped(ops) if len(group) > 1 for op in group}
    groups: dict[int, list[Placed]] = defaultdict(list)
    for item in placed:
        if item.sender is None and item.op.index in run:
            groups[run[item.op.index]].append(item)
    result: list[Placed] = []
    for item in placed:
        if item.sender is None and item.op.index in run:
            result += groups.pop(run[item.op.index], [])
        else:
            result.append(item)
    return result


def _used(lists: Lists) -> Lists:
    """The lists with something to do, senders numbered accordingly."""
    number = {old: new for new, old in enumerate(w for w, placed in enumerate(lists) if placed)}
    return [
        [p if p.sender is None else replace(p, sender=number[p.sender]) for p in placed]
        for placed in lists
        if placed
    ]


def _strands(plan: Plan, lists: Lists) -> tuple[Strand, ...]:
    readers: dict[tuple[int, int], list[int]] = defaultdict(list)
    for strand, placed in enumerate(lists):
        for item in placed:
            if item.sender is not None:
                readers[item.sender, item.op.index].append(strand)
    inputs = (op.index for op in plan.ops if op.kind == "input")
    requests = {value: number for number, value in enumerate(inputs)}
    makers = {p.op.index: s for s, placed in enumerate(lists) for p in placed if p.sender is None}
    strands = []
    for strand, placed in enumerate(lists):
        own = {item.op.index: i for i, item in enumerate(placed)}
        made = [(i, item.op.index) for i, item in enumerate(placed) if item.sender is None]
        strands.append(
            Strand(
                ops=tuple(_renumbered(placed, own)),
                values=tuple(item.op.index for item in placed),
                requests={i: requests[value] for i, value in made if value in requests},
                receives={i: p.sender for i, p in enumerate(placed) if p.sender is not None},
                sends={i: tuple(to) for i, v in made if (to := readers.get((strand, v)))},
                results={
                    place: own[value]
                    for place, value in enumerate(plan.results)
                    if makers[value] == strand
                },
            )
        )
    return tuple(strands)


def _renumbered(placed: Iterable[Placed], own: Mapping[int, int]) -> Iterable[Op]:
    for number, item in enumerate(placed):
        if item.sender is not None:
            op = replace(item.op, kind="input", args=(), step=0, constant=None, constant_scale=0.0)
        else:
            op = replace(item.op, args=tuple(own[arg] for arg in item.op.args))
        yield replace(op, index=number)
