"""Integers wider than a machine word, coefficient by coefficient, and their residues modulo primes.

A number is kept in mixed radix, digits[0] + radices[0] * (digits[1] + radices[1] * (...)) - offset.
Residues modulo the primes of one modulus chain come in by Garner's algorithm (Knuth, The Art of
Computer Programming 2, 4.3.2) and go out modulo those of another, both exactly: numbers are never
put together. Primes are below 2^60, as SEAL's are.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
DIGIT_BITS = 30


def multiply_mod(values: Words, factor: int, prime: int) -> Words:
    """values * factor modulo `prime`; values [N] and factor below prime < 2^60.

    >>> int(multiply_mod(np.array([50], dtype=np.uint64), 96, 97)[0])
    47
    """
    high, low = divmod(factor, 1 << DIGIT_BITS)
    product = _multiply_digit(values, low, prime)
    if not high:
        return product
    upper = _multiply_digit(_multiply_digit(values, high, prime), 1 << DIGIT_BITS, prime)
    return add_mod(upper, product, prime)


def _multiply_digit(values: Words, digit: int, prime: int) -> Words:
    """values * digit mod prime for digit <= 2^30: the quotient in float64 is off by at most one,
    so the remainder, taken modulo 2^64, lies in (-prime, 2 prime)."""
    quotient = (values.astype(np.float64) * (digit / prime)).astype(np.uint64)
    remainder = values * np.uint64(digit) - quotient * np.uint64(prime)
    return _reduce(np.minimum(remainder, remainder + np.uint64(prime)), prime)


def _reduce(values: Words, prime: int) -> Words:
    """Values below 2 prime, reduced: below prime the difference wraps to a huge number."""
    return np.minimum(values, values - np.uint64(prime))


def add_mod(left: Words, right: Words, prime: int) -> Words:
    """left + right modulo `prime`, both reduced."""
    return _reduce(left + right, prime)


def subtract_mod(left: Words, right: Words, prime: int) -> Words:
    """left - right modulo `prime`, both reduced."""
    return _reduce(left + (np.uint64(prime) - right), prime)


@dataclass(frozen=True)
class WideIntegers:
    """One integer per coefficient: digits [k] of arrays [N], radices [k - 1] and an offset."""

    digits: tuple[Words, ...]
    radices: tuple[int, ...]
    offset: int

    @classmethod
    def from_residues(cls, residues: Words, primes: Sequence[int]) -> WideIntegers:
        """The integers in [-q/2, q/2), q = prod(primes), with residues [k, N]."""
        offset = math.prod(primes) // 2
        digits: list[Words] = []
        for number, (row, prime) in enumerate(zip(residues, primes, strict=True)):
            row = add_mod(row, np.full_like(row, offset % prime), prime)
            if digits:
                lower = _horner(digits, primes[: number - 1], prime)
                inverse = pow(math.prod(primes[:number]), -1, prime)
                row = multiply_mod(subtract_mod(row, lower, prime), inverse, prime)
            digits.append(row)
        return cls(tuple(digits), tuple(primes[:-1]), offset)

    @classmethod
    def random(cls, bits: int, count: int) -> WideIntegers:
        """`count` uniform integers in [-2^(bits-1), 2^(bits-1)) from the system's generator."""
        digits = []
        for start in range(0, bits, DIGIT_BITS):
            drawn = np.frombuffer(secrets.token_bytes(4 * count), dtype=np.uint32)
            width = min(DIGIT_BITS, bits - start)
            digits.append(drawn.astype(np.uint64) & np.uint64((1 << width) - 1))
        return cls(tuple(digits), (1 << DIGIT_BITS,) * (len(digits) - 1), 1 << (bits - 1))

    def residues(self, primes: Sequence[int]) -> Words:
        """Residues [len(primes), N]."""
        rows = [
            subtract_mod(
                _horner(self.digits, self.radices, prime),
                np.full_like(self.digits[0], self.offset % prime),
                prime,
            )
            for prime in primes
        ]
        return np.array(rows)


def _horner(digits: Sequence[Words], radices: Sequence[int], prime: int) -> Words:
    total = digits[-1] % np.uint64(prime)
    for digit, radix in zip(reversed(digits[:-1]), reversed(radices), strict=True):
        total = multiply_mod(total, radix % prime, prime)
        total = add_mod(total, digit % np.uint64(prime), prime)
    return total
