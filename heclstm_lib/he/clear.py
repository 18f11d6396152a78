"""Mode `clear`: the plan on float64 vectors. Shows that the compiler is right, hides nothing."""

from __future__ import annotations

import numpy as np

from heclstm_lib.he.backend import execute
from heclstm_lib.he.layout_io import decode_scores, encode_taps
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

    def square(self, value: Vector, _op: Op) -> Vector:
        return value * value

    def relinearise(self, value: Vector, _op: Op) -> Vector:
        return value

    rescale = relinearise
    mod_switch = relinearise

    def rotate(self, value: Vector, op: Op) -> Vector:
        return np.roll(value, -op.step)


def evaluate_clear(plan: Plan, frames: Vector) -> Vector:
    """Scores [n] of normalised frames [n, T, C, H, W], n at most the plan's sequences."""
    taps = list(encode_taps(plan.signature, frames))
    result = execute(plan, ClearBackend(), taps.__getitem__)
    return decode_scores(plan.layout, result, len(frames))


def layer_ranges(plan: Plan, frames: Vector) -> dict[str, float]:
    """Largest absolute slot value in each layer, for a batch of normalised frames."""
    taps = list(encode_taps(plan.signature, frames))
    ranges: dict[str, float] = {}

    def record(op: Op, value: Vector) -> None:
        ranges[op.layer] = max(ranges.get(op.layer, 0.0), float(np.abs(value).max()))

    execute(plan, ClearBackend(), taps.__getitem__, record)
    return ranges
