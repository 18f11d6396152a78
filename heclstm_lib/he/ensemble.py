"""Several plans on one encrypted input as a single plan, whose results are the sums of theirs.

An ensemble's score is a mean, so it needs no decryption in between: the server evaluates every
member on the same request and adds the results up. The sum is a plan like any other: client,
server, worker, simulation and flooding take it as they are, and its digest (over all members'
operations and weights) has a request for it refused by a member's server, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate, zip_longest
from typing import Any

import numpy as np

from heclstm_lib.errors import PlanError
from heclstm_lib.he.check import verify_plan
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.signature import InputSpec

LAYER = "ensemble"
"""The layer of the additions of the members' results."""

CLOSEST = float(np.finfo(np.float64).eps)
"""Relative difference below which SEAL adds two scales. Plans for the same primes come by theirs
through the same divisions; one that leaves out a vanishing weight may round the last bit
otherwise."""


def add_plans(plans: Sequence[Plan]) -> Plan:
    """The plan whose results are the sums of the plans' results, on one input for all.

    The order of `plans` does not matter: it is that of their digests. Inputs are those of all
    members, each once; an input is used by every member before the next one is loaded, so that no
    more ciphertexts are held than by one member and the others' sums. The sum must have room in
    the result's modulus: `evaluate_simulated` says whether it has. Raises PlanError for plans that
    cannot be added (`check_addable`), and as `verify_plan`.
    """
    check_addable(plans)
    members = sorted(plans, key=lambda plan: plan.digest)
    merged = _Merged(members)
    for turn in zip_longest(*(_segments(plan.ops) for plan in members), fillvalue=()):
        for member, ops in enumerate(turn):
            for op in ops:
                merged.take(member, op)
    first, results = members[0], merged.sums()
    inputs = InputSpec(first.inputs.frames, first.inputs.shape, tuple(merged.inputs))
    constants = tuple(vector for plan in members for vector in plan.constants)
    plan = replace(
        first, inputs=inputs, ops=tuple(merged.ops), constants=constants, results=results
    )
    verify_plan(plan)
    return plan


def check_addable(plans: Sequence[Plan]) -> None:
    """Raise PlanError unless there are two plans or more whose result ciphertexts can be added.

    They must share parameters, layout, shape of a frame, layout of the results, and each result's
    level, size and scale. Which pixels go into which input ciphertext may differ. Plans that have
    the client re-encrypt a state are refused: it would be asked once for every member.
    """
    if len(plans) < 2:
        raise PlanError(f"ensemble: got {len(plans)} plan(s), expected 2 or more. Give them all.")
    for number, plan in enumerate(plans):
        if plan.refreshes:
            raise PlanError(
                f"ensemble, plan {number}: the client re-encrypts {len(plan.refreshes)} state(s) "
                "of it, expected none. Plan without refresh, or evaluate the plans one by one."
            )
        for name, wanted in _terms(plans[0]).items():
            if (found := _terms(plan)[name]) != wanted:
                raise PlanError(
                    f"ensemble, plan {number}: {name} is {str(found)[:200]}, expected "
                    f"{str(wanted)[:200]} as of plan 0. Plan all networks in the same form."
                )
        for place, (one, other) in enumerate(zip(_results(plan), _results(plans[0]), strict=True)):
            _check_alike(one, other, f"ensemble, plan {number}, result {place}")


def _terms(plan: Plan) -> dict[str, Any]:
    """What members must hold alike."""
    return {
        "parameters": plan.params,
        "layout": plan.layout,
        "shape of the input": (plan.inputs.frames, *plan.inputs.shape),
        "layout of the results": plan.outputs.places,
    }


def _results(plan: Plan) -> list[Op]:
    return [plan.ops[index] for index in plan.results]


def _check_alike(one: Op, other: Op, where: str) -> None:
    close = abs(one.scale - other.scale) < CLOSEST * max(one.scale, other.scale)
    if (one.level, one.size) != (other.level, other.size) or not close:
        raise PlanError(
            f"{where}: level {one.level}, size {one.size}, scale {one.scale!r}; expected level "
            f"{other.level}, size {other.size}, scale {other.scale!r} as of plan 0. Ciphertexts "
            "that differ cannot be added; plan all networks in the same form."
        )


def _segments(ops: Sequence[Op]) -> Iterator[tuple[Op, ...]]:
    """The operations cut before every input: each part is what an input makes possible."""
    begins = [place for place, op in enumerate(ops) if op.kind == "input" and place]
    for begin, end in zip([0, *begins], [*begins, len(ops)], strict=True):
        yield tuple(ops[begin:end])


class _Merged:
    """Collects the members' operations under new numbers; equal inputs become one."""

    def __init__(self, members: Sequence[Plan]) -> None:
        self.ops: list[Op] = []
        self.inputs: dict[tuple[int, ...], int] = {}  # pattern -> operation
        self._members = members
        self._numbers: list[dict[int, int]] = [{} for _ in members]
        self._patterns = [iter(plan.inputs.patterns) for plan in members]
        self._constants = list(accumulate((len(plan.constants) for plan in members), initial=0))

    def take(self, member: int, op: Op) -> None:
        """Append a member's next operation; an input that is there already is not made again."""
        numbers = self._numbers[member]
        if op.kind == "input":
            pattern = next(self._patterns[member])
            if pattern not in self.inputs:
                self.inputs[pattern] = self._append(op)
            numbers[op.index] = self.inputs[pattern]
            return
        constant = None if op.constant is None else op.constant + self._constants[member]
        args = tuple(numbers[arg] for arg in op.args)
        numbers[op.index] = self._append(replace(op, args=args, constant=constant))

    def _append(self, op: Op) -> int:
        self.ops.append(replace(op, index=len(self.ops)))
        return self.ops[-1].index

    def sums(self) -> tuple[int, ...]:
        """Append the additions of the members' results; the numbers of the sums."""
        pairs = zip(self._numbers, self._members, strict=True)
        rows = [[numbers[index] for index in plan.results] for numbers, plan in pairs]
        return tuple(reduce(self._add, column) for column in zip(*rows, strict=True))

    def _add(self, left: int, right: int) -> int:
        value = self.ops[left]
        sum_ = Op(0, "add", (left, right), LAYER, value.level, value.scale, value.size)
        return self._append(sum_)
