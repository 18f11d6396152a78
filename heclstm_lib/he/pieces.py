"""How residues and weights are cut so that float64 matrix products of the pieces are exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError

Integers = NDArray[np.int64]
Matrix = NDArray[np.float64]

_SUM_LIMIT = 1 << 51
"""No partial sum of a matrix product may reach it: sums stay whole, see `modular._MAGIC`."""
_QUOTIENT_LIMIT = 1 << 48
"""Bound of sum |factor * partial| / prime; its float64 estimate then errs by less than 1/4."""
_MOST_PIECES = 16


@dataclass(frozen=True)
class Products:
    """sum_j w_j x_j = sum_e factors[e] * (matrices[e] @ stacked rows from first_rows[e] on).

    The stack holds x cut into `count` pieces of `width` bits, [count n] rows, and n rows more for
    the sum of both pieces if `with_sum`; matrices [O, k n].
    """

    width: int
    count: int
    with_sum: bool
    matrices: tuple[Matrix, ...]
    first_rows: tuple[int, ...]
    factors: tuple[int, ...]

    @property
    def cost(self) -> int:
        """Columns of all matrices: proportional to the floating-point operations."""
        return sum(matrix.shape[1] for matrix in self.matrices)


def choose_products(weights: Integers, prime: int) -> Products:
    """The cheapest exact way to multiply residues modulo `prime` by weights [O, n] (< 2**62)."""
    reduced = _centred(weights, prime)
    ways = [way for way in (_short(weights, prime), _karatsuba(reduced, prime)) if way]
    best = min(ways, key=lambda way: way.cost, default=None)
    terms = weights.shape[1]
    count, digits = _piece_counts(terms, prime)
    if best is None or count * digits * terms < best.cost:
        return _folded(reduced, prime, count, digits)
    return best


def _short(weights: Integers, prime: int) -> Products | None:
    """Weights that need no cutting, up to a common power of two: one product for each piece."""
    shift = _common_shift(weights)
    small = (weights >> shift).astype(np.float64)
    largest = int(np.abs(small).sum(axis=1).max() * (1 + 1e-9)) + 1
    width = (_SUM_LIMIT // largest).bit_length() - 1
    if width < 1 or largest << shift > _QUOTIENT_LIMIT:
        return None
    count = -(-prime.bit_length() // width)
    width = -(-prime.bit_length() // count)
    terms = weights.shape[1]
    return Products(
        width=width,
        count=count,
        with_sum=False,
        matrices=(small,) * count,
        first_rows=tuple(terms * piece for piece in range(count)),
        factors=tuple(1 << (shift + width * piece) for piece in range(count)),
    )


def _karatsuba(reduced: Integers, prime: int) -> Products | None:
    """Two pieces each, three products: w0 x0, w1 x1 and (w0 + w1)(x0 + x1)."""
    width = -(-prime.bit_length() // 2)
    low, high = _digits(reduced, width, 2)
    both, terms = low + high, reduced.shape[1]
    bounds = [
        terms * int(np.abs(matrix).max()) << bits
        for matrix, bits in ((low, width), (high, width), (both, width + 1))
    ]
    base = 1 << width
    factors = (1 - base, base * base - base, base)
    quotient = sum(abs(f) * b for f, b in zip(factors, bounds, strict=True)) // prime
    if max(bounds) > _SUM_LIMIT or quotient > _QUOTIENT_LIMIT:
        return None
    return Products(width, 2, True, (low, high, both), (0, terms, 2 * terms), factors)


def _piece_counts(terms: int, prime: int) -> tuple[int, int]:
    """Pieces of a residue and of a weight with the fewest products, then the fewest sums."""
    bits = prime.bit_length()

    def fits(pair: tuple[int, int]) -> bool:
        width, digit = (-(-bits // number) for number in pair)
        return (pair[0] * terms) << (width + digit - 1) <= _SUM_LIMIT

    found = list(filter(fits, _pairs()))
    if not found:
        raise PlanError(
            f"a weighted sum of {terms} values modulo a prime of {bits} bits cannot be exact in "
            "float64; split the sum."
        )
    return min(found, key=lambda pair: (pair[0] * pair[1], pair[1]))


def _pairs() -> Iterator[tuple[int, int]]:
    numbers = range(1, _MOST_PIECES + 1)
    return ((first, second) for first in numbers for second in numbers)


def _folded(reduced: Integers, prime: int, count: int, digits: int) -> Products:
    """A piece's power of two goes into its weight modulo the prime: one product for each digit."""
    width, digit = (-(-prime.bit_length() // number) for number in (count, digits))
    shifted = [reduced]
    for _ in range(count - 1):
        shifted.append(_shifted(shifted[-1], width, prime))
    matrices = _digits(np.concatenate(shifted, axis=1), digit, digits)
    factors = tuple(1 << (digit * index) for index in range(digits))
    return Products(width, count, False, matrices, (0,) * digits, factors)


def _centred(weights: Integers, prime: int) -> Integers:
    """Weights modulo the prime, at most half of it in size."""
    reduced = weights % prime
    return np.where(reduced > prime // 2, reduced - prime, reduced)


def _shifted(reduced: Integers, width: int, prime: int) -> Integers:
    """reduced * 2**width modulo the prime, centred: the quotient is short, the rest wraps."""
    quotient = np.rint(reduced * (2.0**width / prime)).astype(np.int64)
    return (reduced << width) - quotient * prime


def _digits(numbers: Integers, width: int, count: int) -> tuple[Matrix, ...]:
    """Balanced digits to the base 2**width, lowest first, the last one takes what is left."""
    found, rest = [], numbers
    for _ in range(count - 1):
        carried = (rest + (1 << (width - 1))) >> width
        found.append((rest - (carried << width)).astype(np.float64))
        rest = carried
    return (*found, rest.astype(np.float64))


def _common_shift(weights: Integers) -> int:
    """The largest power of two that divides every weight."""
    used = int(np.bitwise_or.reduce(weights, axis=None))
    return (used & -used).bit_length() - 1 if used else 0
