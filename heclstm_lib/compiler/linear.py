"""Matrix-vector products over features that may live in one ciphertext or in many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.he.packing import Vector, baby_steps, matrix_diagonals, power_of_two
from heclstm_lib.he.plan import Op

Content = NDArray[np.int64]


class Tensor(NamedTuple):
    """A vector in one or more ciphertexts: contents[g] [P] names the element at each place, or -1.

    P divides the feature axis, which holds contents[g] again and again.
    """

    values: tuple[Op, ...]
    contents: tuple[Content, ...]


class Products:
    """Products of several matrices [R, V] with features that arrive ciphertext by ciphertext.

    With one feature a ciphertext they are weighted sums by scalars, without any rotation.
    Otherwise they are baby-step giant-step sums of diagonals (Halevi and Shoup, CRYPTO 2014):
    all matrices share the baby rotations, all ciphertexts the giant ones. Only the sums stay in
    memory. R is as `padded_rows` says. With `lanes` the results of a matrix are multiplied by its
    lanes [T], one number a frame (not for scalars).
    """

    def __init__(
        self,
        builder: Builder,
        matrices: Sequence[Vector],
        ciphertexts: int = 1,
        lanes: Sequence[Vector | None] | None = None,
    ) -> None:
        self.builder, self.layout = builder, builder.layout
        self.lanes = lanes or [None] * len(matrices)
        self.matrices, self.ciphertexts = matrices, ciphertexts
        features = self.layout.features
        self.scalar = features == 1
        self.rows = [1 if self.scalar else min(len(matrix), features) for matrix in matrices]
        self.blocks = [
            (number, first)
            for number, (matrix, rows) in enumerate(zip(matrices, self.rows, strict=True))
            for first in range(0, len(matrix), rows)
        ]
        self.sums: list[dict[int, Op]] = [{} for _ in self.blocks]
        self.babies, self.period = 0, 1

    def feed(self, features: Tensor) -> None:
        """Add the products of these features; all ciphertexts alike in level, scale and size."""
        if self.scalar:
            self._feed_scalars(features)
            return
        self.period = max(len(features.contents[0]), *self.rows)
        for value, content in zip(features.values, features.contents, strict=True):
            self._feed_diagonals(value, np.resize(content, self.period))

    def _add(self, block: int, giant: int, terms: list[Op]) -> None:
        held = self.sums[block]
        terms = [held[giant], *terms] if giant in held else terms
        if terms:
            held[giant] = self.builder.sum(terms)

    def _feed_scalars(self, features: Tensor) -> None:
        columns = [int(content[0]) for content in features.contents]
        weights = np.concatenate([matrix[:, columns] for matrix in self.matrices])
        sums = self.builder.weighted_sums(features.values, weights)
        for block, value in enumerate(sums):
            self._add(block, 0, [value] if value else [])

    def _feed_diagonals(self, value: Op, content: Content) -> None:
        diagonals = [self._diagonals(number, first, content) for number, first in self.blocks]
        count = 1 + max((k for one in diagonals for k in one), default=0)
        self.babies = self.babies or baby_steps(count, len(self.blocks), self.ciphertexts)
        rotated = [value]
        while len(rotated) < min(self.babies, count):
            rotated.append(self.builder.rotate(rotated[-1], self.layout.lanes))
        for block, (one, (number, _)) in enumerate(zip(diagonals, self.blocks, strict=True)):
            for giant in range(-(-count // self.babies)):
                first = giant * self.babies
                pairs = [
                    (rotated[k - first], self._mask(one[k], first, self.lanes[number]))
                    for k in range(first, min(first + self.babies, count))
                    if k in one
                ]
                self._add(block, giant, self.builder.products(pairs))

    def _mask(self, diagonal: Vector, first: int, lanes: Vector | None) -> Vector:
        """A diagonal rolled back by the giant step it will be rotated by."""
        mask = np.roll(self.layout.spread(diagonal), first, axis=0)
        return mask if lanes is None else mask * lanes

    def _diagonals(self, number: int, first: int, content: Content) -> dict[int, Vector]:
        columns = np.unique(content[content >= 0])
        matrix = self.matrices[number][first : first + self.rows[number], columns]
        local = np.where(content >= 0, np.searchsorted(columns, content), -1)
        return matrix_diagonals(matrix, local)

    def finish(self) -> list[list[Op | None]]:
        """For each matrix its results, rescaled, of R places each (period R) or 1; None for 0."""
        results: list[list[Op | None]] = [[] for _ in self.matrices]
        for (number, _), sums in zip(self.blocks, self.sums, strict=True):
            results[number].append(self._collect(sums, self.rows[number]) if sums else None)
        return results

    def _collect(self, sums: dict[int, Op], rows: int) -> Op:
        builder, unit = self.builder, self.layout.lanes
        giants = [[sums[giant]] if giant in sums else [] for giant in range(max(sums) + 1)]
        total = builder.horner(giants, self.babies * unit)
        value = builder.settle(total)
        return builder.fold(value, self.period * unit, rows * unit)


def window_weights(matrix: Vector, features: int, together: int = 1, diagonal: int = 0) -> Vector:
    """Weights [F] of windows over copies of a vector h of period P, for a matrix [R, P].

    Windows of R rows begin R + m places apart, m = `together`. After k = `diagonal` rotations by a
    place, row r of window a meets h[((R + m) a + r + k) mod P], and holds its weight there. All of
    h pass by where R is a multiple of P, or R and P are powers of two and m = 1.

    >>> window_weights(np.array([[1.0, 2.0]]), features=4)
    array([1., 0., 2., 0.])
    """
    rows, period = matrix.shape
    row, window = np.arange(rows), np.arange(period // together)[:, None]
    place = (rows + together) * window + row
    values = np.zeros(features)
    values[place] = matrix[row, (place + diagonal) % period]
    return values


def padded_rows(count: int, features: int) -> int:
    """Rows of a matrix as its product is laid out: a power of two, or full ciphertexts.

    >>> padded_rows(12, 64), padded_rows(12, 4), padded_rows(12, 1)
    (16, 12, 12)
    """
    padded = power_of_two(count)
    return padded if padded <= features else -(-count // features) * features


def pad_rows(matrix: Vector, rows: int) -> Vector:
    """The matrix [R, ...] with zero rows added up to `rows`."""
    padded = np.zeros((rows, *matrix.shape[1:]))
    padded[: len(matrix)] = matrix
    return padded
