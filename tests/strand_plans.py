"""Small random plans, built operation by operation, and a backend that tells any change in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.signature import InputSpec, OutputSpec

PARAMS = CkksParameters(poly_degree=8192, levels=3, scale_bits=30, first_bits=50, special_bits=60)
STEPS = (1, 2, 2048)
COSTS = {
    "rotate": 8.0, "relinearise": 8.0, "input": 4.0, "multiply": 2.0, "square": 2.0,
    "rescale": 2.0, "multiply_plain": 1.0, "weighted_sum": 1.0,
}  # fmt: skip


def finish(builder: Builder, inputs: int, results: Sequence[Op]) -> Plan:
    """The plan of what was built so far."""
    return Plan(
        builder.params, builder.layout,
        InputSpec(2, (inputs,), tuple((number,) for number in range(inputs))),
        OutputSpec(tuple((place,) for place in range(len(results)))),
        tuple(builder.ops), tuple(builder.constants), tuple(op.index for op in results),
    )  # fmt: skip


def random_plan(seed: int, size: int = 12, inputs: int = 3, outputs: int | None = 2) -> Plan:
    """A plan of `size` random steps: sums of many products, groups of weighted sums, and more.

    Any values are its results; with `outputs` None all that no other operation uses.
    """
    rng = np.random.default_rng(seed)
    builder = Builder(PARAMS, Layout(PARAMS.slots, 2, 1024))
    values = [builder.input((number,)) for number in range(inputs)]
    for _ in range(size):
        with builder.layer("random"):
            values += _grow(builder, values, rng)
    if outputs is None:
        used = {arg for op in builder.ops for arg in op.args}
        return finish(builder, inputs, [op for op in builder.ops if op.index not in used])
    chosen = rng.choice(len(values), outputs, replace=False)
    return finish(builder, inputs, [values[index] for index in chosen])


def _grow(builder: Builder, values: list[Op], rng: np.random.Generator) -> list[Op]:
    """One step on values that are alike in level and scale."""
    first = values[rng.integers(len(values))]
    alike = [v for v in values if (v.level, v.scale) == (first.level, first.scale)]
    some = [alike[index] for index in rng.integers(len(alike), size=rng.integers(2, 5))]
    constant = rng.normal(size=(2, 1))
    kind = rng.choice(["rotate", "add", "sum", "negate", "add_plain", "lower"]) if (
        first.level == 0 or rng.random() < 0.3
    ) else rng.choice(["products", "square", "multiply", "weighted"])  # fmt: skip
    if kind == "rotate":
        return [builder.rotate(first, int(rng.choice(STEPS)))]
    if kind in ("add", "sum"):
        return [builder.sum(some[:2] if kind == "add" else some)]
    if kind == "negate":
        return [builder.negate(first)]
    if kind == "add_plain":
        return [builder.add_plain(first, constant)]
    if kind == "lower":
        return [builder.lower(first, int(rng.integers(first.level + 1)))]
    if kind == "products":
        turned = [builder.rotate(value, int(rng.choice(STEPS))) for value in some]
        products = [builder.multiply_plain(v, constant + i) for i, v in enumerate(turned + some)]
        return [builder.rescale(builder.sum(products))]
    if kind == "weighted":
        sums = builder.weighted_sums(some, rng.normal(size=(3, len(some))))
        return [builder.rescale(value) for value in sums if value is not None]
    if kind == "square":
        return [builder.square(first)]
    pairs = [builder.multiply(value, first) for value in some]
    return [builder.reduce(builder.sum(pairs))]


def price(op: Op) -> float:
    """Seconds of an operation, cheap for what is not in the table."""
    return COSTS.get(op.kind, 0.25)


def transfer(_level: int, size: int) -> float:
    """Seconds of a transfer."""
    return 0.1 * size


class HashBackend:
    """Values are integers modulo 2^64: sums are sums, anything else hashes all that defines it."""

    def add(self, left: int, right: int, _op: Op) -> int:
        return (left + right) % 2**64

    def weighted_sums(self, values: Sequence[int], matrix: np.ndarray, ops: Sequence[Op]) -> list:
        return [self._hash(op, *values, row.tobytes()) for row, op in zip(matrix, ops, strict=True)]

    def __getattr__(self, kind: str) -> Callable[..., int]:
        def run(*args: object) -> int:
            *operands, op = args
            return self._hash(op, *(a if isinstance(a, int) else a.tobytes() for a in operands))  # type: ignore[attr-defined,arg-type]

        return run

    @staticmethod
    def _hash(op: Op, *operands: object) -> int:
        text = repr((op.kind, op.level, op.scale, op.size, op.step, op.constant_scale, operands))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def runs_of_sums(ops: Sequence[Op]) -> list[tuple[tuple[int, ...], int]]:
    """Arguments and length of each run of weighted sums over the same arguments."""
    runs = groupby(ops, key=lambda op: op.args if op.kind == "weighted_sum" else None)
    return [(args, len(list(run))) for args, run in runs if args is not None]
