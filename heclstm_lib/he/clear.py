"""Mode `clear`: the plan on float64 vectors. Shows that the compiler is right, hides nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heclstm_lib.he.backend import execute
from heclstm_lib.he.layout_io import decode_outputs, encode_inputs
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Op, Plan


class ClearBackend:
    """Slot-wise float64 arithmetic; scale and level operations do nothing."""

    def add(self, left: Vector, right: Vector, _op: Op) -> Vector:
        return left + right

    add_plain = add

    def negate(self, value: Vector, _op: Op) -> Vector:
        return -value

    def multiply(self, left: Vector, right: Vector, _op: Op) -> Vector:
        return left * right

    multiply_plain = multiply

    def weighted_sums(
        self, values: Sequence[Vector], matrix: Vector, _ops: Sequence[Op]
    ) -> list[Vector]:
        return list(matrix @ np.array(values))

    def square(self, value: Vector, _op: Op) -> Vector:
        return value * value

    def relinearise(self, value: Vector, _op: Op) -> Vector:
        return value

    rescale = relinearise
    mod_switch = relinearise
    refresh = relinearise

    def rotate(self, value: Vector, op: Op) -> Vector:
        return np.roll(value, -op.step)


def evaluate_clear(plan: Plan, frames: Vector) -> Vector:
    """Outputs [n, K] of normalised frames [n, T, *shape], n at most the plan's sequences."""
    inputs = list(encode_inputs(plan, frames))
    results = execute(plan, ClearBackend(), inputs.__getitem__)
    return decode_outputs(plan, results, len(frames))


def layer_ranges(plan: Plan, frames: Vector) -> dict[str, float]:
    """Largest absolute slot value in each layer, for a batch of normalised frames."""
    inputs = list(encode_inputs(plan, frames))
    ranges: dict[str, float] = {}

    def record(op: Op, value: Vector) -> None:
        ranges[op.layer] = max(ranges.get(op.layer, 0.0), float(np.abs(value).max()))

    execute(plan, ClearBackend(), inputs.__getitem__, record)
    return ranges
