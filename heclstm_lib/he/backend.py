"""The protocol of an execution mode, and the one interpreter that runs a plan on any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

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


def execute(
    plan: Plan,
    backend: Backend[Value],
    load_input: Callable[[int], Value],
    on_op: Callable[[Op, Value], None] | None = None,
) -> Value:
    """Run every operation of the plan in order and return the output value.

    `load_input(i)` supplies the i-th input when it is first needed; values are dropped after
    their last use, so memory stays near the widest part of the plan. `on_op` sees each result
    (progress, timing, ranges).
    """
    last_use = {arg: op.index for op in plan.ops for arg in op.args} | {plan.output: len(plan.ops)}
    values: dict[int, Value] = {}
    inputs = 0
    for op in plan.ops:
        if op.kind == "input":
            result = load_input(inputs)
            inputs += 1
        else:
            result = _apply(plan, backend, op, [values[arg] for arg in op.args])
        values[op.index] = result
        for arg in {*op.args, op.index}:
            if last_use.get(arg, -1) <= op.index:
                del values[arg]
        if on_op is not None:
            on_op(op, result)
    return values[plan.output]


def _apply(plan: Plan, backend: Backend[Value], op: Op, args: list[Any]) -> Value:
    if op.constant is not None:
        args.append(plan.constants[op.constant])
    result: Value = getattr(backend, op.kind)(*args, op)
    return result
