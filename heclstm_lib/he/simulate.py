"""Mode `simulate`: values with a CKKS noise estimate, level and headroom, without any key.

Every slot carries a value and the variance of its error. Sources (Cheon et al., Asiacrypt 2017,
lemmas 1-4; SEAL's ternary secret, error standard deviation 3.2): fresh encryption, rounding when
a plaintext is encoded, rescaling, key switching. A polynomial whose coefficients have variance v
has slots of variance N v, half of it in the real part, where the values are; dividing by the
scale gives the error of the value. The outputs are the mean of copies whose last errors differ, so
the prediction, which is of one copy, is on the safe side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heclstm_lib.errors import PlanError
from heclstm_lib.he.backend import execute
from heclstm_lib.he.layout_io import decode_outputs, encode_inputs
from heclstm_lib.he.masking import BOUND_BITS
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import ERROR_STD, CkksParameters
from heclstm_lib.he.plan import Op, Plan

ROUNDING = 1 / 12
"""Variance of rounding to the nearest integer."""


@dataclass(frozen=True)
class Noisy:
    """Slot values [S] and error variances [S], both in units of the message."""

    value: Vector
    variance: Vector


@dataclass(frozen=True)
class Simulation:
    """Predicted outputs [n, K], their standard errors [n, K] and the least headroom in bits."""

    outputs: Vector
    errors: Vector
    headroom_bits: float

    @property
    def precision_bits(self) -> float:
        """Predicted -log2 of the mean absolute error (normal error: 0.8 standard deviations)."""
        return float(-np.log2(np.sqrt(2 / np.pi) * self.errors.mean()))


class SimulateBackend:
    """Propagates values and error variances and checks that no value outgrows its modulus."""

    def __init__(self, params: CkksParameters) -> None:
        self.params = params
        self.real = params.poly_degree / 2  # slot variance per coefficient variance
        self.secret = 2 * params.poly_degree / 3  # squared norm of a uniform ternary secret
        self.headroom_bits = np.inf

    def fresh(self, values: Vector) -> Noisy:
        """A fresh symmetric encryption: the error polynomial and the encoding's rounding."""
        variance = self.real * (ERROR_STD**2 + ROUNDING) / self.params.scale**2
        return Noisy(values, np.full(len(values), variance))

    def add(self, left: Noisy, right: Noisy, op: Op) -> Noisy:
        return self._checked(Noisy(left.value + right.value, left.variance + right.variance), op)

    def add_plain(self, value: Noisy, vector: Vector, op: Op) -> Noisy:
        rounding = self.real * ROUNDING / op.constant_scale**2
        return self._checked(Noisy(value.value + vector, value.variance + rounding), op)

    def negate(self, value: Noisy, _op: Op) -> Noisy:
        return Noisy(-value.value, value.variance)

    def multiply_plain(self, value: Noisy, vector: Vector, op: Op) -> Noisy:
        rounding = self.real * ROUNDING / op.constant_scale**2
        variance = value.variance * vector**2 + rounding * value.value**2
        return self._checked(Noisy(value.value * vector, variance), op)

    def weighted_sums(
        self, values: Sequence[Noisy], matrix: Vector, ops: Sequence[Op]
    ) -> list[Noisy]:
        """A rounded scalar weight is off by one number, not by a polynomial."""
        value = matrix @ np.array([v.value for v in values])
        variance = matrix**2 @ np.array([v.variance for v in values])
        variance += ROUNDING / ops[0].constant_scale ** 2 * sum(v.value**2 for v in values)
        return [
            self._checked(Noisy(*row), op)
            for row, op in zip(zip(value, variance, strict=True), ops, strict=True)
        ]

    def multiply(self, left: Noisy, right: Noisy, op: Op) -> Noisy:
        variance = left.variance * right.value**2 + right.variance * left.value**2
        variance += left.variance * right.variance
        return self._checked(Noisy(left.value * right.value, variance), op)

    def square(self, value: Noisy, op: Op) -> Noisy:
        variance = 4 * value.variance * value.value**2 + value.variance**2
        return self._checked(Noisy(value.value**2, variance), op)

    def relinearise(self, value: Noisy, op: Op) -> Noisy:
        return Noisy(value.value, value.variance + self._switching(op))

    def rotate(self, value: Noisy, op: Op) -> Noisy:
        variance = np.roll(value.variance, -op.step) + self._switching(op)
        return Noisy(np.roll(value.value, -op.step), variance)

    def rescale(self, value: Noisy, op: Op) -> Noisy:
        """Each polynomial is rounded; the third of a raw product counts times the secret squared,
        whose slots have the fourth moment of a complex normal variable, 2 |s|^4."""
        norms = 1 + self.secret + (2 * self.secret**2 if op.size == 3 else 0.0)
        rounding = self.real * ROUNDING * norms / op.scale**2
        return self._checked(Noisy(value.value, value.variance + rounding), op)

    def mod_switch(self, value: Noisy, op: Op) -> Noisy:
        return self._checked(value, op)

    def refresh(self, value: Noisy, op: Op) -> Noisy:
        """The mask is exact; an encryption of zero, rounded, and a fresh encryption add errors."""
        largest = float(np.abs(value.value).max())
        if largest > 2.0**BOUND_BITS:
            raise PlanError(
                f"layer '{op.layer}', operation {op.index}: a state of {largest:.3g} exceeds the "
                f"{2**BOUND_BITS} that masks are made for. Train with a larger range_penalty."
            )
        error = self.real * (ERROR_STD**2 + ROUNDING * (1 + self.secret)) / op.scale**2
        return Noisy(value.value, value.variance + error)

    def _switching(self, op: Op) -> float:
        """Key switching: one error per prime, divided by the special prime, and its rounding."""
        primes = self.params.primes
        digits = sum((float(q) / primes[-1]) ** 2 for q in primes[: op.level + 1])
        switched = ERROR_STD**2 * self.params.poly_degree * digits / 3  # digits from 0 to q - 1
        return self.real * (switched + ROUNDING * (1 + self.secret)) / op.scale**2

    def _checked(self, result: Noisy, op: Op) -> Noisy:
        modulus = sum(np.log2(q) for q in self.params.primes[: op.level + 1])
        largest = max(float(np.abs(result.value).max()), np.finfo(float).tiny)
        headroom = modulus - 1 - np.log2(op.scale) - np.log2(largest)
        self.headroom_bits = min(self.headroom_bits, headroom)
        if headroom <= 0:
            raise PlanError(
                f"layer '{op.layer}', operation {op.index}: a value of {largest:.3g} at scale "
                f"2^{np.log2(op.scale):.1f} overflows the modulus at level {op.level}. Train with "
                "a larger range_penalty, or give first_bits more room."
            )
        return result


def evaluate_simulated(plan: Plan, frames: Vector) -> Simulation:
    """Predict the encrypted outputs of normalised frames [n, T, *shape] and their errors."""
    backend = SimulateBackend(plan.params)
    inputs = list(encode_inputs(plan, frames))
    results = execute(plan, backend, lambda i: backend.fresh(inputs[i]))
    values = decode_outputs(plan, [result.value for result in results], len(frames))
    variances = decode_outputs(plan, [result.variance for result in results], len(frames))
    return Simulation(values, np.sqrt(variances), float(backend.headroom_bits))
