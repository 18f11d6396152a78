"""Modular matrix products against Python's whole numbers, and against SEAL by decrypting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heclstm_lib.errors import PlanError
from heclstm_lib.he import memory, pieces
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.modular import integer_weights, weighted_sums
from heclstm_lib.he.params import CkksParameters, seal_primes
from heclstm_lib.he.seal import api, from_bytes, load_context

PARAMS = CkksParameters(poly_degree=8192, levels=3, scale_bits=36, first_bits=45, special_bits=46)


def exact(values: list[np.ndarray], weights: np.ndarray, primes: list[int]) -> np.ndarray:
    """[O, size, primes, N] in Python's whole numbers."""
    stacked = np.stack(values).astype(object)
    sums = np.tensordot(weights.astype(object), stacked, axes=1)
    return sums % np.array(primes, dtype=object)[None, None, :, None]


def check(values: list[np.ndarray], weights: np.ndarray, primes: list[int]) -> None:
    outputs = [np.full_like(values[0], 7) for _ in weights]
    weighted_sums(values, weights, primes, outputs)
    assert (np.stack(outputs).astype(object) == exact(values, weights, primes)).all()


def residues(
    rng: np.random.Generator, primes: list[int], size: int, degree: int, extreme: bool
) -> np.ndarray:
    tops = np.array(primes, dtype=np.uint64)[None, :, None]
    if extreme:  # zeros, ones, and the largest residues only
        choices = np.stack(np.broadcast_arrays(0 * tops, 0 * tops + 1, tops - 2, tops - 1))
        kind = rng.integers(0, 4, (size, len(primes), degree))
        return np.take_along_axis(
            np.broadcast_to(choices, (4, size, len(primes), degree)), kind[None], axis=0
        )[0]
    return rng.integers(0, tops, (size, len(primes), degree), dtype=np.uint64)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.lists(st.integers(20, 60), min_size=1, max_size=4),
    size=st.integers(2, 3),
    terms=st.integers(1, 70),
    sums=st.integers(1, 9),
    weight_bits=st.integers(0, 62),
    shift=st.integers(0, 61),
    extreme=st.booleans(),
)
def test_every_residue_is_exact(
    seed: int,
    bits: list[int],
    size: int,
    terms: int,
    sums: int,
    weight_bits: int,
    shift: int,
    extreme: bool,
) -> None:
    rng = np.random.default_rng(seed)
    primes = list(seal_primes(64, tuple(bits)))
    values = [residues(rng, primes, size, 64, extreme) for _ in range(terms)]
    bound = (1 << weight_bits) >> min(shift, weight_bits)
    weights = rng.integers(-bound, bound, (sums, terms), endpoint=True)
    if extreme:
        weights = np.where(rng.random((sums, terms)) < 0.5, -bound, bound)
    check(values, weights << min(shift, weight_bits), primes)


@pytest.mark.parametrize(
    ("terms", "bits", "weight_bits"),
    [(1024, 38, 37), (1024, 60, 62), (300, 50, 22), (512, 40, 12), (1, 28, 28), (1024, 28, 62)],
)
def test_the_largest_values_do_not_overflow(terms: int, bits: int, weight_bits: int) -> None:
    """All residues q - 1 and all weights at their bound: no sum can be larger."""
    primes = list(seal_primes(64, (bits,)))
    values = [np.full((2, 1, 8), primes[0] - 1, dtype=np.uint64)] * terms
    top = 1 << weight_bits
    half = primes[0] // 2
    weights = np.array(
        [
            [top] * terms,
            [-top] * terms,
            [half] * terms,
            [-half] * terms,
            [top, -top, *[1] * terms][:terms],
        ]
    )
    check(values, weights, primes)


def test_every_way_of_cutting_is_taken_and_exact() -> None:
    """Short weights, Karatsuba, and powers folded into the weights."""
    rng = np.random.default_rng(5)
    prime = seal_primes(64, (38,))[0]
    large = seal_primes(64, (60,))[0]
    cases = {
        (1, False): (prime, rng.integers(-50, 50, (3, 20))),
        (2, False): (prime, rng.integers(-(2**23), 2**23, (3, 20)) << 13),
        (2, True): (prime, rng.integers(-(2**37), 2**37, (3, 20))),
        (4, False): (large, rng.integers(-(2**59), 2**59, (3, 20))),
    }
    for (count, with_sum), (modulus, weights) in cases.items():
        products = pieces.choose_products(weights, modulus)
        assert (products.count, products.with_sum) == (count, with_sum)
        check([residues(rng, [modulus], 2, 64, False) for _ in range(20)], weights, [modulus])


def test_no_more_products_than_needed() -> None:
    rng = np.random.default_rng(6)
    prime = seal_primes(64, (38,))[0]
    full = pieces.choose_products(rng.integers(-(2**37), 2**37, (4, 256)), prime)
    short = pieces.choose_products(rng.integers(-(2**23), 2**23, (4, 256)) << 14, prime)
    assert (full.cost, short.cost) == (3 * 256, 2 * 256)


def test_blocks_cover_a_long_polynomial_and_many_sums() -> None:
    rng = np.random.default_rng(1)
    primes = list(seal_primes(8192, (45, 36)))
    values = [residues(rng, primes, 2, 4096, False) for _ in range(3)]
    check(values, rng.integers(-(2**36), 2**36, (200, 3)), primes)


def test_the_values_may_be_the_same_and_stay_as_they_are() -> None:
    rng = np.random.default_rng(2)
    primes = list(seal_primes(64, (38,)))
    value = residues(rng, primes, 2, 64, False)
    before = value.copy()
    check([value, value], np.array([[1, -1], [2, 3]]), primes)
    assert np.array_equal(value, before)


def test_sums_decrypt_as_seals_own() -> None:
    context, keys = load_context(PARAMS), SecretKeys(PARAMS)
    rng = np.random.default_rng(3)
    slots = rng.uniform(-1, 1, (5, 4096))
    matrix = rng.uniform(-1, 1, (3, 5))
    inputs = [from_bytes("Ciphertext", keys.encrypt(row), context) for row in slots]
    scale = inputs[0].scale * 2.0**36
    outputs = [memory.make_ciphertext(context, 3, 2, scale, inputs[0]) for _ in matrix]
    weighted_sums(
        [memory.coefficients(x) for x in inputs],
        integer_weights(matrix, 2.0**36),
        PARAMS.primes[:4],
        [memory.coefficients(y) for y in outputs],
    )
    evaluator = api.Evaluator(context.seal)
    for output, row in zip(outputs, matrix, strict=True):
        products = []
        for value, weight in zip(inputs, row, strict=True):
            plain = context.encode(np.full(4096, weight), 3, 2.0**36)
            products.append(api.Ciphertext())
            evaluator.multiply_plain(value, plain, products[-1])
        theirs, rescaled = api.Ciphertext(), api.Ciphertext()
        evaluator.add_many(products, theirs)
        assert np.allclose(keys.decrypt(output), keys.decrypt(theirs), atol=1e-8)
        evaluator.rescale_to_next(output, rescaled)
        assert np.allclose(keys.decrypt(rescaled), row @ slots, atol=1e-4)


def test_whole_weights_are_rounded_and_bounded() -> None:
    assert integer_weights(np.array([[0.5, -1.25]]), 8.0).tolist() == [[4, -10]]
    for bad in (2.0**40, np.nan, np.inf):
        with pytest.raises(PlanError, match="2\\^62"):
            integer_weights(np.array([[bad]]), 2.0**36)


@pytest.mark.parametrize(
    ("weights", "count", "primes", "message"),
    [
        (np.array([[1, 2, 3]]), 1, (97,), "do not map 2 values to 1"),
        (np.array([[1, 2]]), 2, (97,), "do not map 2 values to 2"),
        (np.array([[1, 2]]), 1, (97, 193), "2 primes"),
        (np.array([[1, 2]]), 1, (2**62 + 1,), "63 bits"),
        (np.array([[1, 2**62 + 1]]), 1, (97,), "4.61e\\+18"),
        (np.array([[1, 2**70]], dtype=object), 1, (97,), "no matrix"),
        (np.array([[1.0, 2.0]]), 1, (97,), "whole numbers"),
        (np.array([1, 2]), 1, (97,), "no matrix"),
        (np.empty((1, 0), dtype=np.int64), 1, (97,), "no matrix"),
    ],
)
def test_what_cannot_be_exact_is_refused(
    weights: np.ndarray, count: int, primes: tuple[int, ...], message: str
) -> None:
    values = [np.zeros((2, 1, 8), dtype=np.uint64)] * 2
    outputs = [np.zeros((2, 1, 8), dtype=np.uint64) for _ in range(count)]
    with pytest.raises(PlanError, match=message):
        weighted_sums(values, weights, primes, outputs)


def test_ciphertexts_of_different_levels_are_refused() -> None:
    values = [np.zeros((2, level, 8), dtype=np.uint64) for level in (1, 2)]
    with pytest.raises(PlanError, match="same level and size"):
        weighted_sums(values, np.array([[1, 2]]), (97,), [np.zeros_like(values[0])])
