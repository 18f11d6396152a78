"""Weighted sums in every mode: one plan in clear, simulated and encrypted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heclstm_lib.errors import PlanError
from heclstm_lib.he.backend import execute
from heclstm_lib.he.clear import ClearBackend
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.seal import SealBackend, from_bytes, load_context
from heclstm_lib.he.signature import InputSpec, OutputSpec
from heclstm_lib.he.simulate import SimulateBackend

PARAMS = CkksParameters(poly_degree=8192, levels=2, scale_bits=40, first_bits=50, special_bits=50)
TERMS, SUMS = 6, 3
RNG = np.random.default_rng(0)
SLOTS = RNG.uniform(-1, 1, (TERMS, PARAMS.slots))
MATRIX = RNG.normal(size=(SUMS, TERMS)) * np.array([[1], [0.05], [30]])


def make_plan(weight_scale: float, size: int = 2) -> Plan:
    """Inputs, squared if `size` is 3; their weighted sums; each rescaled."""
    level, prime, scale = 2, PARAMS.primes[2], PARAMS.scale
    ops = [Op(i, "input", (), "inputs", level, scale) for i in range(TERMS)]
    values = tuple(range(TERMS))
    if size == 3:
        scale, start = scale**2, len(ops)
        ops += [Op(start + i, "square", (i,), "square", level, scale, size=3) for i in values]
        values = tuple(range(start, start + TERMS))
    scale *= weight_scale
    for row in range(SUMS):
        ops.append(
            Op(len(ops), "weighted_sum", values, "sums", level, scale, size=size,
               constant=row, constant_scale=weight_scale)
        )  # fmt: skip
    sums = range(len(ops) - SUMS, len(ops))
    for index in sums:
        ops.append(
            Op(len(ops), "rescale", (index,), "sums", level - 1, scale / prime, size=size)
        )  # fmt: skip
    results = tuple(range(len(ops) - SUMS, len(ops)))
    inputs = InputSpec(1, (TERMS,), tuple((i,) for i in range(TERMS)))
    layout = Layout(slots=PARAMS.slots, frames=1, sequences=PARAMS.slots)
    outputs = OutputSpec(tuple((i,) for i in range(SUMS)))
    return Plan(PARAMS, layout, inputs, outputs, tuple(ops), tuple(MATRIX), results)


@pytest.fixture(scope="module")
def keys() -> SecretKeys:
    return SecretKeys(PARAMS)


def encrypted(plan: Plan, keys: SecretKeys, backend: SealBackend | None = None) -> list[Any]:
    context = load_context(PARAMS)
    backend = backend or SealBackend(context, None, {})
    return execute(
        plan, backend, lambda i: from_bytes("Ciphertext", keys.encrypt(SLOTS[i]), context)
    )


@pytest.mark.parametrize("size", [2, 3])
def test_the_encrypted_sums_are_those_in_clear(keys: SecretKeys, size: int) -> None:
    weight_scale = float(PARAMS.primes[2]) if size == 2 else 2.0**20
    plan = make_plan(weight_scale, size)
    clear = execute(plan, ClearBackend(), SLOTS.__getitem__)
    rounding = 0.5 / weight_scale * TERMS
    for cipher, expected in zip(encrypted(plan, keys), clear, strict=True):
        assert cipher.size() == size
        np.testing.assert_allclose(keys.decrypt(cipher), expected, atol=rounding + 1e-6)


@pytest.mark.parametrize("weight_bits", [10, 40])
def test_the_simulated_error_is_the_real_one(keys: SecretKeys, weight_bits: int) -> None:
    """With coarse weights their rounding, else the noise of encryption and rescaling."""
    plan = make_plan(2.0**weight_bits)
    simulated = SimulateBackend(PARAMS)
    predicted = execute(plan, simulated, lambda i: simulated.fresh(SLOTS[i]))
    errors = [
        keys.decrypt(cipher) - noisy.value
        for cipher, noisy in zip(encrypted(plan, keys), predicted, strict=True)
    ]
    real = np.sqrt([np.mean(error**2) for error in errors])
    expected = np.sqrt([noisy.variance.mean() for noisy in predicted])
    if weight_bits == 10:  # few roundings: only their sum is near its expectation
        real, expected = np.sqrt(np.sum(real**2)), np.sqrt(np.sum(expected**2))
    np.testing.assert_allclose(real, expected, rtol=0.35)


def test_sums_of_the_same_values_are_done_at_once(keys: SecretKeys) -> None:
    groups = []

    class Recording(SealBackend):
        def weighted_sums(self, values: Any, matrix: Any, ops: Any) -> list[Any]:
            groups.append((len(values), matrix.shape, len(ops)))
            return super().weighted_sums(values, matrix, ops)

    backend = Recording(load_context(PARAMS), None, {})
    encrypted(make_plan(float(PARAMS.primes[2])), keys, backend)
    assert groups == [(TERMS, (SUMS, TERMS), SUMS)]


def test_each_sum_may_have_its_own_scale(keys: SecretKeys) -> None:
    context, weights = load_context(PARAMS), MATRIX[[0, 0]]
    values = [from_bytes("Ciphertext", keys.encrypt(row), context) for row in SLOTS]
    ops = [
        Op(0, "weighted_sum", (), "sums", 2, PARAMS.scale * scale, constant_scale=scale)
        for scale in (2.0**30, 2.0**35)
    ]
    found = SealBackend(context, None, {}).weighted_sums(values, weights, ops)
    for cipher, op in zip(found, ops, strict=True):
        assert cipher.scale == op.scale
        np.testing.assert_allclose(keys.decrypt(cipher), MATRIX[0] @ SLOTS, atol=1e-6)


def test_a_scale_that_is_not_planned_is_refused(keys: SecretKeys) -> None:
    context = load_context(PARAMS)
    value = from_bytes("Ciphertext", keys.encrypt(SLOTS[0]), context)
    op = Op(7, "weighted_sum", (), "sums", 2, PARAMS.scale * 2.0**30, constant_scale=2.0**31)
    with pytest.raises(PlanError, match=r"layer 'sums', operation 7 .* is not the planned"):
        SealBackend(context, None, {}).weighted_sums([value], np.ones((1, 1)), [op])


def test_a_sum_of_nothing_is_refused(keys: SecretKeys) -> None:
    """SEAL would refuse its result only later, and in other words."""
    context = load_context(PARAMS)
    value = from_bytes("Ciphertext", keys.encrypt(SLOTS[0]), context)
    op = Op(7, "weighted_sum", (), "sums", 2, PARAMS.scale * 2.0**20, constant_scale=2.0**20)
    with pytest.raises(PlanError, match=r"layer 'sums', operation 7: all weights are zero"):
        SealBackend(context, None, {}).weighted_sums([value], np.full((1, 1), 1e-8), [op])
