"""Builds a plan operation by operation and keeps every level and scale exact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from math import prod

import numpy as np

from heclstm_lib.errors import DepthBudgetExceeded, PlanError
from heclstm_lib.he.packing import Layout, Vector, encodes_to_zero
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op

CHEAP_KEY_BYTES = 50e6
"""A Galois key up to this size is worth the few rotations at level 0 that it saves."""


class Builder:
    """Appends operations; a value is the Op that made it.

    Products by plaintext choose the plaintext's scale so that after rescaling the result lands
    exactly on the scale asked for; a ciphertext's scale is never overwritten.
    """

    def __init__(self, params: CkksParameters, layout: Layout) -> None:
        self.params = params
        self.layout = layout
        self.ops: list[Op] = []
        self.constants: list[Vector] = []
        self.patterns: list[tuple[int, ...]] = []
        self._inputs: dict[tuple[int, ...], Op] = {}
        self._constant_ids: dict[bytes, int] = {}
        self._layer = ""

    @contextmanager
    def layer(self, name: str) -> Iterator[None]:
        """Name the operations appended inside the block."""
        outer, self._layer = self._layer, name
        yield
        self._layer = outer

    def _append(
        self, kind: str, args: Sequence[Op], level: int, scale: float, **more: object
    ) -> Op:
        if level < 0:
            raise DepthBudgetExceeded(
                f"layer '{self._layer}' rescales below level 0; the chain has "
                f"{self.params.levels} levels. Use fewer frames, quadratic gates or a larger N."
            )
        values = {"size": max((arg.size for arg in args), default=2)} | more
        numbers = tuple(arg.index for arg in args)
        self.ops.append(Op(len(self.ops), kind, numbers, self._layer, level, scale, **values))  # type: ignore[arg-type]
        return self.ops[-1]

    def _constant(self, vector: Vector) -> int:
        shape, data = repr(vector.shape).encode(), np.ascontiguousarray(vector).tobytes()
        key = hashlib.sha256(shape + data).digest()
        if key not in self._constant_ids:
            self._constant_ids[key] = len(self.constants)
            self.constants.append(vector)
        return self._constant_ids[key]

    def input(self, pattern: Iterable[int] = (-1,)) -> Op:
        """The fresh ciphertext whose feature axis holds the frame's values of this pattern [P]."""
        key = tuple(int(index) for index in pattern)
        if key not in self._inputs:
            self._inputs[key] = self._append("input", (), self.params.levels, self.params.scale)
            self.patterns.append(key)
        return self._inputs[key]

    def rotate(self, value: Op, step: int, times: int = 1) -> Op:
        """Rotate left by `step` slots, `times` times (one Galois key serves them all)."""
        for _ in range(times):
            value = self._append("rotate", (value,), value.level, value.scale, step=step)
        return value

    def add(self, left: Op, right: Op) -> Op:
        """Sum of two values at one level and scale."""
        return self._append("add", (left, right), left.level, left.scale)

    def sum(self, values: Iterable[Op]) -> Op:
        """Sum of one or more values at one level and scale."""
        terms = list(values)
        if not terms:
            raise PlanError(f"layer '{self._layer}': nothing to sum; all its weights are zero.")
        return reduce(self.add, terms)

    def required(self, value: Op | None) -> Op:
        """A sum that may be missing; PlanError when it is."""
        return self.sum([] if value is None else [value])

    def horner(self, terms: Sequence[Sequence[Op]], step: int) -> Op:
        """Sum over g of the values terms[g], rotated by g * step: last first.

        Raises PlanError when there is no value at all.
        """
        total: list[Op] = []
        for values in reversed(terms):
            moved = [*(self.rotate(value, step) for value in total), *values]
            total = [self.sum(moved)] if moved else []
        return self.sum(total)

    def add_plain(self, value: Op, vector: Vector) -> Op:
        """Add a constant [P, 1 or T] at the value's own scale."""
        if not np.any(vector):
            return value
        return self._append(
            "add_plain", (value,), value.level, value.scale,
            constant=self._constant(vector), constant_scale=value.scale,
        )  # fmt: skip

    def negate(self, value: Op) -> Op:
        """The negated value."""
        return self._append("negate", (value,), value.level, value.scale)

    def multiply_plain(self, value: Op, vector: Vector, scale: float | None = None) -> Op:
        """Multiply by a constant [P, 1 or T]; `settle` leads to `scale` (the level's own)."""
        return self._append(
            "multiply_plain", (value,), value.level, self._product_scale(value, scale),
            constant=self._constant(vector), constant_scale=self._plain_scale(value, scale),
        )  # fmt: skip

    def products(self, pairs: Iterable[tuple[Op, Vector]], scale: float | None = None) -> list[Op]:
        """Products by plaintext, without those whose vector is encoded as zero: SEAL refuses it."""
        return [
            self.multiply_plain(value, vector, scale)
            for value, vector in pairs
            if not self.vanishes(vector, self._plain_scale(value, scale))
        ]

    def vanishes(self, vector: Vector, scale: float) -> bool:
        """Whether a constant is encoded as zero at a scale."""
        large = scale * np.sqrt(np.mean(vector**2)) >= np.sqrt(self.layout.slots)
        return not large and encodes_to_zero(self.layout.expand(vector), scale)

    def weighted_sums(self, values: Sequence[Op], matrix: Vector) -> list[Op | None]:
        """Sums of values [n] (alike in level, scale and size) by scalars [O, n], as multiply_plain.

        None for a row whose integer weights are all zero.
        """
        value, scale = values[0], self._plain_scale(values[0], None)
        product = self._product_scale(value, None)
        return [
            self._append(
                "weighted_sum", values, value.level, product,
                constant=self._constant(row), constant_scale=scale,
            )
            if np.abs(row).max() * scale >= 0.5
            else None
            for row in matrix
        ]  # fmt: skip

    def _plain_scale(self, value: Op, target: float | None) -> float:
        """Scale of a plaintext whose product with `value` is at `target` when settled."""
        return self._product_scale(value, target) / value.scale

    def _product_scale(self, value: Op, target: float | None) -> float:
        """Scale of a product by plaintext that is at `target` (the level's own) when settled.

        The product of a raw square drops two primes, one at an open end none.
        """
        params, raw = self.params, int(value.scale >= self.params.scale**1.5)
        ends = params.ends_at(value.level - raw)
        level = 0 if ends else value.level - 1 - raw
        wanted = target or (params.end_scale if ends else params.scale_at(level))
        return wanted * float(prod(params.primes[level + 1 : value.level + 1]))

    def settle(self, value: Op) -> Op:
        """Relinearise, then rescale until near the working scale, or at an open end."""
        value = self.relinearise(value)
        while value.scale > self.params.scale**1.5 and not self.params.ends_at(value.level):
            value = self.rescale(value)
        return value

    def multiply(self, left: Op, right: Op) -> Op:
        """Product of two values at one level, still of size 3 and unrescaled."""
        return self._append("multiply", (left, right), left.level, left.scale * right.scale, size=3)

    def raw_square(self, value: Op) -> Op:
        """Square of a value, still of size 3 and unrescaled."""
        return self._append("square", (value,), value.level, value.scale**2, size=3)

    def square(self, value: Op) -> Op:
        """Square of a value, relinearised and rescaled."""
        return self.reduce(self.raw_square(value))

    def relinearise(self, value: Op) -> Op:
        """Back to size 2; a value of size 2 as it is."""
        if value.size == 2:
            return value
        return self._append("relinearise", (value,), value.level, value.scale, size=2)

    def reduce(self, product: Op) -> Op:
        """Relinearise a product of size 3 and rescale it.

        The other order would be cheaper by a prime, but rescaling three polynomials rounds the
        third times the secret squared, sqrt(4 N / 3) times as coarsely: 7 bits at N=32768.
        """
        return self.rescale(self.relinearise(product))

    def rescale(self, value: Op) -> Op:
        """Divide by the level's last prime and drop it."""
        scale = value.scale / self.params.primes[value.level]
        return self._append("rescale", (value,), value.level - 1, scale)

    def lower(self, value: Op, level: int) -> Op:
        """Drop primes without changing the scale, down to `level`."""
        if level > value.level:
            raise PlanError(
                f"layer '{self._layer}': a value at level {value.level} cannot rise to {level}."
            )
        return (
            self._append("mod_switch", (value,), level, value.scale)
            if level < value.level
            else value
        )

    def refresh(self, value: Op, level: int) -> Op:
        """The same value after the client re-encrypted it, masked, at a level (`he.refresh`)."""
        return self._append("refresh", (value,), level, value.scale)

    def fold(self, value: Op, start: int, stop: int) -> Op:
        """Sum over a cyclic axis: rotate by start / 2, ..., stop slots and add each time.

        Afterwards the value has period `stop`. At level 0, where rotations are nearly free next to
        a large Galois key, a step whose key is not yet used is composed of smaller ones that are.
        """
        step = start // 2
        while step >= stop:
            value = self.add(value, self._rotate_composed(value, step))
            step //= 2
        return value

    def repeat(self, value: Op, step: int, times: int) -> Op:
        """Sum of `times` (a power of two) copies of a value, each rotated by `step` more."""
        for bit in range(times.bit_length() - 1):
            value = self.add(value, self.rotate(value, step << bit))
        return value

    def _rotate_composed(self, value: Op, step: int) -> Op:
        used = {op.step for op in self.ops if op.kind == "rotate"}
        parts = [part for part in used if part > 0 and step % part == 0]
        dear = self.params.switching_key_bytes() > CHEAP_KEY_BYTES
        if value.level > 0 or step in used or not parts or not dear:
            return self.rotate(value, step)
        return self.rotate(value, max(parts), step // max(parts))
