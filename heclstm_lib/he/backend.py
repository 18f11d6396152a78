"""The protocol of an execution mode, and the one interpreter that runs a plan on any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Op, Plan

Value = TypeVar("Value")


class Backend(Protocol[Value]):
    """What a mode must offer; values are ciphertexts (encrypt) or vectors (clear, simulate)."""

    def add(self, left: Value, right: Value, op: Op, /) -> Value:
        """Slot-wise sum."""

    def add_plain(self, value: Value, vector: Vector, op: Op, /) -> Value:
        """Add a plaintext vector [S] encoded at `op.constant_scale`."""

    def negate(self, value: Value, op: Op, /) -> Value:
        """Slot-wise negation."""

    def multiply_plain(self, value: Value, vector: Vector, op: Op, /) -> Value:
        """Slot-wise product with a plaintext vector [S] encoded at `op.constant_scale`."""

    def weighted_sums(
        self, values: Sequence[Value], matrix: Vector, ops: Sequence[Op], /
    ) -> list[Value]:
        """Sums of values [n] by scalar weights [O, n], encoded at the ops' `constant_scale`."""

    def multiply(self, left: Value, right: Value, op: Op, /) -> Value:
        """Slot-wise product, size 3."""

    def square(self, value: Value, op: Op, /) -> Value:
        """Slot-wise square, size 3."""

    def relinearise(self, value: Value, op: Op, /) -> Value:
        """Back from size 3 to 2."""

    def rescale(self, value: Value, op: Op, /) -> Value:
        """Divide by the last prime and drop it."""

    def mod_switch(self, value: Value, op: Op, /) -> Value:
        """Drop primes down to `op.level`."""

    def rotate(self, value: Value, op: Op, /) -> Value:
        """Rotate left by `op.step` slots."""

    def refresh(self, value: Value, op: Op, /) -> Value:
        """Have the client re-encrypt a value, masked, at `op.level`."""


def execute(
    plan: Plan,
    backend: Backend[Value],
    load_input: Callable[[int], Value],
    on_op: Callable[[Op, Value], None] | None = None,
) -> list[Value]:
    """Run every operation of the plan in order and return the result values.

    `load_input(i)` supplies the i-th input when it is first needed; values are dropped after
    their last use, so memory stays near the widest part of the plan. `on_op` sees each result
    (progress, timing, ranges).
    """
    last_use = last_uses(plan)
    values: dict[int, Value] = {}
    inputs = 0
    for ops in grouped(plan.ops):
        args = [values[arg] for arg in ops[0].args]
        if ops[0].kind == "input":
            results = [load_input(inputs)]
            inputs += 1
        else:
            results = apply(plan, backend, ops, args)
        for op, result in zip(ops, results, strict=True):
            values[op.index] = result
            if on_op is not None:
                on_op(op, result)
        del args, results
        for index in {*ops[0].args, *(op.index for op in ops)}:
            if last_use.get(index, -1) <= ops[-1].index:
                values.pop(index)
    return [values[index] for index in plan.results]


def last_uses(plan: Plan) -> dict[int, int]:
    """Value -> the last operation that takes it, one past the end for a result."""
    uses = {arg: op.index for op in plan.ops for arg in op.args}
    return uses | dict.fromkeys(plan.results, len(plan.ops))


def grouped(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """Operations one by one, but weighted sums that follow each other with equal args together."""
    group: list[Op] = []
    for op in ops:
        together = group and op.kind == "weighted_sum" == group[0].kind
        if group and not (together and op.args == group[0].args):
            yield group
            group = []
        group.append(op)
    if group:
        yield group


def apply(plan: Plan, backend: Backend[Value], ops: Sequence[Op], args: list[Any]) -> list[Value]:
    """The results of one group of operations on their arguments."""
    op = ops[0]
    if op.kind == "weighted_sum":
        weights = [plan.constants[each.constant] for each in ops if each.constant is not None]
        return backend.weighted_sums(args, np.array(weights), ops)
    if op.constant is not None:
        args = [*args, plan.layout.expand(plan.constants[op.constant])]
    result: Value = getattr(backend, op.kind)(*args, op)
    return [result]
