"""Mode `quantised`: the plan on numbers rounded as CKKS encodes them, without encryption noise.

Every input, weight and mask becomes a polynomial whose coefficients are whole numbers at its scale;
the slots then hold slightly other values. This mode computes with those values in float64, so that
the difference to mode `clear` is the price of the scales, and what encrypted scores differ further
is the price of encryption noise. Slot j of a polynomial m is m(zeta^(3^j)), zeta = exp(i pi / N).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from heclstm_lib.he.backend import execute
from heclstm_lib.he.clear import ClearBackend
from heclstm_lib.he.layout_io import decode_outputs, encode_inputs
from heclstm_lib.he.packing import Vector, slot_exponents
from heclstm_lib.he.plan import Op, Plan

KEPT = 2000
"""Rounded plaintexts held for the next batches, 260 MB at N = 32768; more are rounded again."""


class Encoding:
    """CKKS' map between N / 2 real slots and the N coefficients of a polynomial."""

    def __init__(self, poly_degree: int) -> None:
        self.degree = poly_degree

    @cached_property
    def _places(self) -> np.ndarray:
        """Where slot j stands among the values at zeta^1, zeta^3, .., zeta^(2N-1)."""
        return (slot_exponents(self.degree // 2) - 1) // 2

    @cached_property
    def _twist(self) -> np.ndarray:
        return np.exp(1j * np.pi * np.arange(self.degree) / self.degree)

    def coefficients(self, slots: Vector) -> Vector:
        """Coefficients [N] of the polynomial whose slots are the real values [N / 2]."""
        values = np.empty(self.degree)
        values[self._places] = slots
        values[self.degree - 1 - self._places] = slots  # at the conjugate root
        return (np.fft.fft(values) / self.degree / self._twist).real

    def slots(self, coefficients: Vector) -> Vector:
        """Real parts of the slots [N / 2] of the polynomial with coefficients [N]."""
        values = np.fft.ifft(coefficients * self._twist) * self.degree
        return values.real[self._places]

    def rounded(self, slots: Vector, scale: float) -> Vector:
        """What the slots hold after encoding at a scale: coefficients x scale rounded."""
        return self.slots(np.rint(self.coefficients(slots) * scale) / scale)


class QuantisedBackend(ClearBackend):
    """Float64 arithmetic with every plaintext rounded at its scale."""

    def __init__(self, poly_degree: int) -> None:
        self.encoding = Encoding(poly_degree)
        self._known: dict[tuple[int | None, float], Vector] = {}

    def add_plain(self, left: Vector, right: Vector, op: Op) -> Vector:
        return left + self._rounded(right, op)

    def multiply_plain(self, left: Vector, right: Vector, op: Op) -> Vector:
        return left * self._rounded(right, op)

    def weighted_sums(
        self, values: Sequence[Vector], matrix: Vector, ops: Sequence[Op]
    ) -> list[Vector]:
        scales = np.array([op.constant_scale for op in ops])[:, None]
        return list((np.rint(matrix * scales) / scales) @ np.array(values))

    def _rounded(self, vector: Vector, op: Op) -> Vector:
        key = (op.constant, op.constant_scale)
        if key in self._known:
            return self._known[key]
        rounded = self.encoding.rounded(vector, op.constant_scale)
        if len(self._known) < KEPT and op.constant is not None:
            self._known[key] = rounded
        return rounded


def evaluate_quantised(plan: Plan, frames: Vector) -> Vector:
    """Outputs [n, K] of normalised frames [n, T, *shape], any n: batch after batch."""
    backend, size = QuantisedBackend(plan.params.poly_degree), plan.layout.sequences
    outputs = []
    for start in range(0, len(frames), size):
        batch = frames[start : start + size]
        inputs = [
            backend.encoding.rounded(vector, plan.params.scale)
            for vector in encode_inputs(plan, batch)
        ]
        results = execute(plan, backend, inputs.__getitem__)
        outputs.append(decode_outputs(plan, results, len(batch)))
    return np.concatenate(outputs)
