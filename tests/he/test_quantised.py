"""Rounded as SEAL's encoder rounds: the same coefficients, errors of the expected size."""

from __future__ import annotations

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.memory import plaintext_coefficients
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.quantised import Encoding, evaluate_quantised
from heclstm_lib.he.seal import Context
from heclstm_lib.he.transform import from_ntt

SMALL = CkksParameters(poly_degree=8192, levels=1, scale_bits=30, first_bits=45, special_bits=50)


def test_coefficients_are_those_of_seal() -> None:
    context, scale = Context(SMALL), 2.0**30
    slots = np.random.default_rng(0).normal(0, 1, 4096)
    plain = context.encode(slots, 0, scale)
    residues = from_ntt(context, plaintext_coefficients(plain, 8192)).reshape(-1)[:8192]
    prime = SMALL.primes[0]
    centred = np.where(residues > prime // 2, residues.astype(float) - prime, residues)
    ours = np.rint(Encoding(8192).coefficients(slots) * scale)
    assert np.abs(ours - centred).max() <= 1  # a tie may fall either way
    assert np.mean(ours == centred) > 0.999


def test_slots_and_coefficients_are_inverse() -> None:
    encoding = Encoding(64)
    slots = np.random.default_rng(1).normal(0, 1, 32)
    np.testing.assert_allclose(encoding.slots(encoding.coefficients(slots)), slots, atol=1e-12)
    constant = np.zeros(64)
    constant[0] = 0.5
    np.testing.assert_allclose(encoding.coefficients(np.full(32, 0.5)), constant, atol=1e-12)


@pytest.mark.parametrize("bits", [12, 20])
def test_rounding_errs_as_uniform_coefficients_do(bits: int) -> None:
    """Slots err with variance N / 12 / scale^2: as the slots are real, c_(N-n) = -c_n, and so are
    the errors of rounding, whose imaginary parts vanish."""
    encoding, scale = Encoding(4096), 2.0**bits
    slots = np.random.default_rng(2).normal(0, 1, 2048)
    error = encoding.rounded(slots, scale) - slots
    assert error.std() * scale == pytest.approx(np.sqrt(4096 / 12), rel=0.08)


def test_scores_differ_by_what_the_scale_allows() -> None:
    network = make_network()
    frames = make_frames(network, 5)
    errors = []
    for bits in (28, 32):
        plan = plan_network(network, choose_parameters(network, 32768, bits), 4)
        quantised = evaluate_quantised(plan, frames)
        clear = np.concatenate([evaluate_clear(plan, part) for part in (frames[:4], frames[4:])])
        errors.append(float(np.abs(quantised - clear).mean()))
    assert 1e-9 < errors[1] < errors[0] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.7)
