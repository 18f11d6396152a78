"""Wide integers against Python's, and the transform against SEAL's encoder."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy.stats import kstest

from heclstm_lib.he.memory import plaintext_coefficients
from heclstm_lib.he.packing import slot_exponents
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.residues import WideIntegers, multiply_mod
from heclstm_lib.he.seal import load_context
from heclstm_lib.he.transform import from_ntt, to_ntt

PARAMS = CkksParameters(8192, 3, 30, 60, 60)
COUNT = 200


def residues(values: list[int], primes: tuple[int, ...]) -> np.ndarray:
    return np.array([[value % prime for value in values] for prime in primes], dtype=np.uint64)


@pytest.mark.parametrize("prime", [PARAMS.primes[0], PARAMS.primes[1], (1 << 60) - 93, 97])
def test_products_modulo_a_prime(prime: int) -> None:
    rng = random.Random(prime)
    values = [rng.randrange(prime) for _ in range(COUNT)] + [0, 1, prime - 1]
    factors = [rng.randrange(prime) for _ in range(20)] + [0, 1, prime - 1, (1 << 30) % prime]
    for factor in factors:
        product = multiply_mod(np.array(values, dtype=np.uint64), factor, prime)
        assert product.tolist() == [value * factor % prime for value in values]


@pytest.mark.parametrize("known", [1, 2, 3])
def test_residues_are_lifted_exactly(known: int) -> None:
    primes = PARAMS.primes[:known]
    modulus, rng = math.prod(primes), random.Random(known)
    low = -(modulus // 2)
    values = [rng.randrange(low, low + modulus) for _ in range(COUNT)]
    values += [low, low + modulus - 1, 0, 1, -1]
    integers = WideIntegers.from_residues(residues(values, primes), primes)
    np.testing.assert_array_equal(integers.residues(PARAMS.primes), residues(values, PARAMS.primes))


def to_integers(numbers: WideIntegers) -> list[int]:
    totals = [0] * len(numbers.digits[0])
    for place, digit in enumerate(numbers.digits):
        weight = math.prod(numbers.radices[:place])
        totals = [total + weight * int(d) for total, d in zip(totals, digit, strict=True)]
    return [total - numbers.offset for total in totals]


@pytest.mark.parametrize("bits", [7, 30, 31, 95])
def test_random_integers_fill_their_interval(bits: int) -> None:
    drawn = WideIntegers.random(bits, 4000)
    values = to_integers(drawn)
    scaled = np.array([value / 2**bits for value in values])
    assert -0.5 <= scaled.min() < -0.49 and 0.49 < scaled.max() < 0.5
    assert kstest(scaled + 0.5, "uniform").pvalue > 1e-6 or bits == 7
    assert len({value & 127 for value in values}) == 128
    np.testing.assert_array_equal(drawn.residues(PARAMS.primes), residues(values, PARAMS.primes))


def test_transform_is_the_encoders() -> None:
    """Slots of an integer polynomial are its values at the encoder's roots of unity."""
    context, degree, scale = load_context(PARAMS), PARAMS.poly_degree, 1024.0
    integers = np.random.default_rng(0).integers(-1000, 1000, degree)
    primes = PARAMS.primes[:3]
    words = to_ntt(context, residues(integers.tolist(), primes))
    plain = context.encode(np.zeros(PARAMS.slots), 2, scale)
    plaintext_coefficients(plain, degree)[:] = words
    decoded = np.asarray(context.encoder.decode_double(plain))
    roots = np.exp(
        1j * np.pi * np.outer(slot_exponents(PARAMS.slots)[:16], np.arange(degree)) / degree
    )
    np.testing.assert_allclose(decoded[:16], (roots @ integers).real / scale, atol=1e-6)
    np.testing.assert_array_equal(from_ntt(context, words), residues(integers.tolist(), primes))


def test_transform_of_what_the_encoder_made() -> None:
    context, degree = load_context(PARAMS), PARAMS.poly_degree
    vector = np.random.default_rng(1).normal(size=PARAMS.slots)
    plain = context.encode(vector, 1, PARAMS.scale)
    words = plaintext_coefficients(plain, degree).copy()
    coefficients = WideIntegers.from_residues(from_ntt(context, words), PARAMS.primes[:2])
    again = context.encode(vector, 3, PARAMS.scale)
    expected = plaintext_coefficients(again, degree)
    lifted = to_ntt(context, coefficients.residues(PARAMS.primes[:4]))
    np.testing.assert_array_equal(lifted, expected)
