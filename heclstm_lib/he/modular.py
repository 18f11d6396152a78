"""Many weighted sums of ciphertexts at once: exact modular matrix products on float64 BLAS.

A weighted sum with whole weights, out_o = sum_j w_oj x_j modulo each prime, is linear, so it may
be taken coefficient by coefficient on the residues in NTT form. Residues and weights are cut into
pieces so short that a product of float64 matrices is exact (all sums below 2**51); a quotient
estimated in float64 and 64-bit wrap-around arithmetic then give the residue, also exactly (as in
Doliskani, Giorgi, Lebreton & Schost, Simultaneous conversions with the residue number system
using linear algebra, ACM TOMS 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError
from heclstm_lib.he.memory import Words
from heclstm_lib.he.pieces import Integers, Products, choose_products

MAX_WEIGHT = 1 << 62
MAX_PRIME_BITS = 61  # SEAL's limit too
_MAGIC = 1.5 * 2.0**52
"""Adding it to a double below 2**51 in size leaves the nearest integer in the low bits."""
_MAGIC_BITS = int(np.array(_MAGIC).view(np.int64))
_COLUMNS = 1024  # of a block: the matrices stay in the caches
_BLOCK_DOUBLES = 1 << 20  # of the input pieces of a block, 8 MB
_CHUNK = 1 << 16  # numbers an element-wise pass handles, 512 KB: enough to hide its call


def integer_weights(matrix: NDArray[np.float64], scale: float | NDArray[np.float64]) -> Integers:
    """Whole weights round(matrix * scale) as int64; `scale` one number, or broadcast to matrix.

    Raises PlanError when one exceeds 2**62 or is not finite.
    """
    scaled = np.rint(np.asarray(matrix, dtype=np.float64) * scale)
    if not np.all(np.abs(scaled) <= MAX_WEIGHT):  # also catches nan
        raise PlanError(
            f"a weight of {float(np.abs(matrix).max()):.3g} at scale {float(np.max(scale)):.3g} is "
            "not below 2^62; weights must be finite, and a weighted sum may take a smaller scale."
        )
    return scaled.astype(np.int64)


def weighted_sums(
    values: Sequence[Words], weights: Integers, primes: Sequence[int], outputs: Sequence[Words]
) -> None:
    """Write outputs[o] = sum over j of weights[o, j] * values[j], modulo `primes`.

    `values` n and `outputs` O views [size, len(primes), N] of residues below their prime (see
    `memory.coefficients`), `weights` [O, n] whole numbers up to 2**62 in size. An output must not
    be one of the values. The threads of BLAS are used as the environment sets them.
    Raises PlanError for other shapes, weights or primes.
    """
    weights = _checked_weights(weights)
    _check_shapes(values, weights, primes, outputs)
    for index, prime in enumerate(primes):
        products = choose_products(weights, prime)
        block = _Block(products, prime, (*weights.shape, values[0].shape[2]))
        for part in range(values[0].shape[0]):
            block.run([x[part, index] for x in values], [y[part, index] for y in outputs])


def _checked_weights(weights: Integers) -> Integers:
    given = np.asarray(weights)
    largest = max(map(abs, (int(given.min()), int(given.max())))) if given.size else 0
    if given.ndim != 2 or not given.size or given.dtype.kind not in "iuO" or largest > MAX_WEIGHT:
        raise PlanError(
            f"weights of shape {given.shape} and type {given.dtype}, the largest {largest:.3g}, "
            "are no matrix [O, n] of whole numbers up to 2^62; use `integer_weights`."
        )
    return given.astype(np.int64)


def _check_shapes(
    values: Sequence[Words], weights: Integers, primes: Sequence[int], outputs: Sequence[Words]
) -> None:
    shapes = {array.shape for array in (*values, *outputs)}
    if (len(outputs), len(values)) != weights.shape or len(shapes) != 1:
        raise PlanError(
            f"weights {weights.shape} do not map {len(values)} values to {len(outputs)} outputs "
            f"of one shape, found {sorted(shapes)}; all must have the same level and size."
        )
    if len(primes) != values[0].shape[1] or max(primes).bit_length() > MAX_PRIME_BITS:
        raise PlanError(
            f"{len(primes)} primes of up to {max(primes).bit_length()} bits for residues of "
            f"{values[0].shape[1]} primes; expected one prime each, of at most "
            f"{MAX_PRIME_BITS} bits."
        )


class _Block:
    """The sums modulo one prime, a block of columns at a time, in memory that is made once."""

    def __init__(self, products: Products, prime: int, shape: tuple[int, int, int]) -> None:
        sums, terms, degree = shape
        stacked = terms * (products.count + products.with_sum)
        columns = min(degree, _COLUMNS)
        while columns > 128 and stacked * columns > _BLOCK_DOUBLES:
            columns //= 2
        self.columns, self.prime, self.products = columns, prime, products
        self.rows = max(1, _CHUNK // columns)
        self.pieces = np.empty((stacked // terms, terms, columns))
        self.partial = np.empty((len(products.matrices), sums, columns))
        self.scratch = [np.empty((self.rows, columns), dtype=np.int64) for _ in range(3)]
        self.quotients = np.array(products.factors, dtype=np.float64) / float(prime)
        self.factors = [_wrapped(factor) for factor in products.factors]
        offset = _MAGIC_BITS * (prime - sum(products.factors))
        self.corrections = _wrapped(offset), _wrapped(offset + prime)

    def run(self, values: Sequence[Words], outputs: Sequence[Words]) -> None:
        """Sums of polynomials [N]."""
        for start in range(0, len(values[0]), self.columns):
            stop = start + self.columns
            self._split([x[start:stop] for x in values])
            stacked = self.pieces.reshape(-1, self.columns)
            for matrix, first, product in zip(
                self.products.matrices, self.products.first_rows, self.partial, strict=True
            ):
                np.matmul(matrix, stacked[first : first + matrix.shape[1]], out=product)
            for row in range(0, len(outputs), self.rows):
                self._reduce(row, [y[start:stop] for y in outputs[row : row + self.rows]])

    def _split(self, values: Sequence[Words]) -> None:
        """Cut residues into pieces of `width` bits, the lowest first; then their sum, if wanted."""
        count, width = self.products.count, self.products.width
        for row in range(0, len(values), self.rows):
            chunk = values[row : row + self.rows]
            rest, low = (buffer[: len(chunk)] for buffer in self.scratch[:2])
            pieces = self.pieces[:, row : row + len(chunk)]
            np.concatenate(chunk, out=rest.reshape(-1).view(np.uint64))
            for index in range(count - 1):
                np.bitwise_and(rest, (1 << width) - 1, out=low)
                np.copyto(pieces[index], low)
                np.right_shift(rest, width, out=rest)
            np.copyto(pieces[count - 1], rest)
            if self.products.with_sum:
                np.add(pieces[0], pieces[1], out=pieces[2])

    def _reduce(self, row: int, outputs: Sequence[Words]) -> None:
        """Residues of sum_e factor_e * partial_e from an estimated quotient (error below 1/2)."""
        rows = len(outputs)
        partial = self.partial[:, row : row + rows]
        total, term, estimate = (buffer[:rows] for buffer in self.scratch)
        quotient = estimate.view(np.float64)
        np.dot(self.quotients, partial.reshape(len(partial), -1), out=quotient.reshape(-1))
        quotient += _MAGIC  # from here on the low bits of `estimate` are the whole quotient
        partial += _MAGIC
        whole = partial.view(np.int64)
        np.multiply(whole[0], self.factors[0], out=total)
        for index in range(1, len(whole)):
            np.multiply(whole[index], self.factors[index], out=term)
            np.add(total, term, out=total)
        np.multiply(estimate, self.prime, out=estimate)
        np.subtract(total, estimate, out=total)
        low, high = self.corrections  # without the bits of _MAGIC; a prime more
        np.add(total, high, out=term)
        np.add(total, low, out=total)
        for output, first, second in zip(
            outputs, total.view(np.uint64), term.view(np.uint64), strict=True
        ):
            np.minimum(first, second, out=output)  # a negative one is a huge unsigned one


def _wrapped(number: int) -> np.int64:
    """A whole number modulo 2**64 as int64."""
    return np.int64((number + (1 << 63)) % (1 << 64) - (1 << 63))
