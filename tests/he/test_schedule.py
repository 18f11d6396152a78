"""Schedules compute the plan's own results, in an order that cannot stall, no slower than one."""

from __future__ import annotations

import doctest
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strand_plans import (
    PARAMS,
    HashBackend,
    finish,
    price,
    random_plan,
    runs_of_sums,
    transfer,
)

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.errors import PlanError
from heclstm_lib.he import sums
from heclstm_lib.he.backend import apply, execute
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.placement import Placed
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.schedule import Schedule, replay, schedule
from heclstm_lib.he.sums import find_sums

SEEDS = st.integers(0, 2**32 - 1)


def run_strands(plan: Plan, found: Schedule) -> list[int]:
    """Results of all strands run side by side, one operation after the other, on hashes."""
    sent: dict[tuple[int, int, int], int] = {}
    values: list[dict[int, int]] = [{} for _ in found.strands]
    results: dict[int, int] = {}
    moving = True
    while moving:
        moving = False
        for number, strand in enumerate(found.strands):
            while (at := len(values[number])) < len(strand.ops):
                op = strand.ops[at]
                if at in strand.requests:
                    value = strand.requests[at]
                elif at in strand.receives:
                    key = strand.receives[at], number, strand.values[at]
                    if key not in sent:
                        break
                    value = sent.pop(key)
                else:
                    args: list[Any] = [values[number][arg] for arg in op.args]
                    (value,) = apply(plan, HashBackend(), [op], args)
                values[number][at] = value
                for reader in strand.sends.get(at, ()):
                    sent[number, reader, strand.values[at]] = value
                moving = True
    for number, strand in enumerate(found.strands):
        assert len(values[number]) == len(strand.ops), "a strand waits for ever"
        results |= {place: values[number][own] for place, own in strand.results.items()}
    assert not sent, "something is sent that nobody reads"
    return [results[place] for place in range(len(plan.results))]


def needed(plan: Plan) -> set[int]:
    wanted = set(plan.results)
    for op in reversed(plan.ops):
        if op.index in wanted:
            wanted.update(op.args)
    return wanted


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_strands_compute_the_plan(seed: int, workers: int) -> None:
    plan = random_plan(seed)
    found = schedule(plan, price, transfer, workers)
    assert run_strands(plan, found) == execute(plan, HashBackend(), lambda number: number)
    assert found.critical_path_s <= found.makespan_s * (1 + 1e-9)
    assert found.makespan_s <= found.sequential_s * (1 + 1e-9)
    assert found.sequential_s == pytest.approx(sum(price(plan.ops[i]) for i in needed(plan)))
    assert 1 <= len(found.strands) <= workers
    assert max(found.busy_s) <= found.makespan_s * (1 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(2, 4))
def test_operations_are_done_once_unless_cheaper_than_a_transfer(seed: int, workers: int) -> None:
    plan = random_plan(seed)
    found = schedule(plan, price, transfer, workers)
    done: Counter[int] = Counter()
    for strand in found.strands:
        for op, value in zip(strand.ops, strand.values, strict=True):
            assert all(arg < op.index for arg in op.args)
            assert op.index in strand.requests or op.args or op.index in strand.receives
            done[value] += op.index not in strand.receives
    swallowed = set(find_sums_inside(plan))
    assert {value for value in done if value < len(plan.ops)} == needed(plan) - swallowed
    for value, times in done.items():
        if times > 1:
            assert price(plan.ops[value]) <= transfer(plan.ops[value].level, plan.ops[value].size)


def find_sums_inside(plan: Plan) -> set[int]:
    """Additions between the terms of a sum and the sum itself."""
    sums = find_sums(plan.ops, plan.results)
    inside: set[int] = set()
    for root, terms in sums.items():
        left = list(plan.ops[root].args)
        while left:
            value = left.pop()
            if value not in terms:
                inside.add(value)
                left += plan.ops[value].args
    return inside


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_a_strand_is_a_plan_with_its_own_keys(seed: int) -> None:
    plan = random_plan(seed)
    found = schedule(plan, price, transfer, 2)
    parts = [strand.plan(plan) for strand in found.strands]
    used = {op.step for op in plan.ops if op.kind == "rotate" and op.index in needed(plan)}
    assert set().union(*(part.rotations for part in parts)) == used
    places = [place for strand in found.strands for place in strand.results]
    assert sorted(places) == list(range(len(plan.results)))


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_weighted_sums_stay_together(seed: int) -> None:
    plan = random_plan(seed, size=20)
    for strand in schedule(plan, price, transfer, 2).strands:
        runs = Counter(args for args, _ in runs_of_sums(strand.ops))
        planned = Counter(
            tuple(strand.values.index(arg) for arg in args)
            for args, _ in runs_of_sums(plan.ops)
            if set(args) <= set(strand.values)
        )
        assert runs <= planned


def chains(count: int, length: int) -> Plan:
    """Independent chains of rotations, all summed up."""
    builder = Builder(PARAMS, Layout(PARAMS.slots, 2, 1024))
    heads = [builder.rotate(builder.input((i,)), 1, times=length) for i in range(count)]
    return finish(builder, count, [builder.sum(heads)])


@pytest.mark.parametrize("workers", [2, 4])
def test_independent_work_is_shared_evenly(workers: int) -> None:
    plan = chains(count=8, length=5)
    found = schedule(plan, price, transfer, workers)
    assert found.makespan_s < 1.05 * found.sequential_s / workers
    received = [len(strand.receives) for strand in found.strands]
    assert sum(received) == workers - 1, "each other worker sends one partial sum"
    assert found.transfer_bytes == (workers - 1) * PARAMS.ciphertext_bytes(PARAMS.levels)


def test_one_chain_or_a_slow_exchange_stays_with_one_worker() -> None:
    assert len(schedule(chains(1, 9), price, transfer, 4).strands) == 1
    slow = schedule(chains(4, 2), price, lambda _level, _size: 1e6, 4)
    assert len(slow.strands) == 1
    assert slow.makespan_s == slow.sequential_s
    assert slow.transfer_bytes == 0


def test_a_cheap_value_is_made_again_rather_than_sent() -> None:
    builder = Builder(PARAMS, Layout(PARAMS.slots, 2, 1024))
    value = builder.input((0,))
    low = builder.lower(value, 1)
    left = builder.rotate(low, 1, times=4)
    right = builder.add(builder.lower(builder.rotate(value, 2, times=4), 1), low)
    plan = finish(builder, 1, [left, right])
    prices = {"input": 0.01, "mod_switch": 0.01, "add": 0.01, "rotate": 1.0}
    found = schedule(plan, lambda op: prices[op.kind], transfer, 2)
    assert [strand.receives for strand in found.strands] == [{}, {}]
    assert found.makespan_s < 4.1
    assert {strand.plan(plan).rotations for strand in found.strands} == {(1,), (2,)}
    copies = Counter(value for strand in found.strands for value in strand.values)
    assert copies[value.index] == copies[low.index] == 2


def test_many_operations_and_the_unused_left_out() -> None:
    plan = chains(count=60, length=50)
    builder_ops = plan.ops
    unused = Op(len(builder_ops), "rotate", (0,), "", PARAMS.levels, PARAMS.scale, step=7)
    longer = replace(plan, ops=(*builder_ops, unused))
    found = schedule(longer, price, transfer, 2)
    assert sum(len(strand.ops) for strand in found.strands) <= len(plan.ops) + 2
    assert 7 not in found.strands[0].plan(longer).rotations


def test_a_plan_that_waits_for_its_client_is_refused() -> None:
    plan = chains(2, 2)
    refresh = Op(len(plan.ops), "refresh", (0,), "", 1, PARAMS.scale)
    with pytest.raises(PlanError, match="refreshes waits for its client"):
        schedule(replace(plan, ops=(*plan.ops, refresh)), price, transfer, 2)


def test_no_worker_is_refused() -> None:
    with pytest.raises(PlanError, match="at least one worker, got 0"):
        schedule(chains(1, 1), price, transfer, 0)


def test_lists_that_wait_for_each_other_are_found() -> None:
    first, second = (Op(index, "input", (), "", 1, 2.0) for index in range(2))
    lists = [
        [Placed(second, 1.0, sender=1), Placed(first, 1.0)],
        [Placed(first, 1.0, sender=0), Placed(second, 1.0)],
    ]
    with pytest.raises(PlanError, match="wait for each other"):
        replay(lists, transfer)


def test_replay_counts_writing_reading_and_waiting() -> None:
    value, other = (Op(index, "input", (), "", 1, 2.0, size=2) for index in range(2))
    lists = [[Placed(value, 3.0)], [Placed(other, 1.0), Placed(value, 0.1, sender=0)]]
    end, busy = replay(lists, transfer)
    assert end == pytest.approx(3.0 + 0.1 + 0.1)
    assert busy == pytest.approx((3.1, 1.1))


def test_sums_keep_terms_that_others_use_and_scales_that_differ() -> None:
    builder = Builder(PARAMS, Layout(PARAMS.slots, 2, 1024))
    a, b, c, d = (builder.input((number,)) for number in range(4))
    partial = builder.sum([a, b])
    total = builder.sum([partial, c, a])
    assert find_sums(builder.ops, [total.index]) == {total.index: (0, 1, 2, 0)}
    again = builder.sum([partial, d])
    found = find_sums(builder.ops, [total.index, again.index])
    assert found == {total.index: (partial.index, 2, 0)}
    assert find_sums(builder.ops[:7], [total.index, total.args[0]]) == {total.args[0]: (0, 1, 2)}
    scaled = [replace(op, scale=op.scale * (1 + np.finfo(float).eps)) for op in builder.ops[:1]]
    assert find_sums([*scaled, *builder.ops[1:7]], [total.index]) == {}


def test_the_worked_example() -> None:
    result = doctest.testmod(sums)
    assert (result.attempted > 0, result.failed) == (True, 0)
