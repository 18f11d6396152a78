"""Polynomial gates, gates unpacked from the blocks of one ciphertext, the score of states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.linear import Content, Tensor
from heclstm_lib.he.packing import Layout, Vector
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import GATES, GateForm

ONES = np.ones((1, 1))
"""The constant 1 in every slot."""

BLOCKS = len(GATES)
"""Blocks of a ciphertext with packed gates: four gates, or three and an empty block."""


def evaluate_gate(builder: Builder, form: GateForm, argument: Op, where: Vector) -> Op:
    """A polynomial gate: a square, or y (y^2 + inner); its constant only `where` [P, 1 or T] is 1.

    Elsewhere a gate whose argument is 0 is 0.
    """
    value = gate_power(builder, argument, form.inner * ONES if form.degree == 3 else None)
    if form.degree == 2 and form.sign < 0:
        value = builder.negate(value)
    return builder.add_plain(value, form.constant * where)


def gate_power(builder: Builder, argument: Op, inner: Vector | None) -> Op:
    """y^2, or y (y^2 + inner) with a constant `inner` [P, 1]."""
    value = builder.square(argument)
    if inner is None:
        return value
    value = builder.add_plain(value, inner)
    return builder.reduce(builder.multiply(value, builder.lower(argument, value.level)))


def score_states(builder: Builder, states: Sequence[Tensor], weights: Vector) -> list[Op]:
    """The sum over frames t of weights[t] [H] times the state of frame t, or nothing if all are 0.

    One copy of each unit counts, in the lanes of its frame. At an open end the product of the
    lowest state alone, the last step's, stays unrescaled: the others have a level, and a larger
    scale, to spare.
    """
    end = min(state.values[0].level for state in states)
    before = end + builder.params.ends_at(end)
    pairs = [
        (builder.lower(value, min(value.level, before)), once(builder.layout, row, content, t))
        for t, (state, row) in enumerate(zip(states, weights, strict=True))
        for value, content in zip(state.values, state.contents, strict=True)
    ]
    sums = []
    for level in dict.fromkeys((before, end)):
        same = [pair for pair in pairs if pair[0].level == level]
        products = builder.products(same, builder.params.end_scale)
        sums += [builder.settle(builder.sum(products))] if products else []
    return sums


def once(layout: Layout, row: Vector, content: Content, frame: int) -> Vector:
    """Values [H] as a constant [F, T] at one copy of each place and the lanes of one frame."""
    values = np.zeros(layout.features)
    values[: len(content)] = np.where(content >= 0, row[np.maximum(content, 0)], 0.0)
    return layout.spread(values, frame)


def unpack_gates(
    builder: Builder, packed: Op, period: int, lanes: Sequence[Vector | None]
) -> list[list[Op]]:
    """Gates of period H from one ciphertext of four blocks: three rotations, masks, a level.

    One gate for each item of `lanes`, the numbers [T] its frames are multiplied by (None: 1).
    """
    rotated = [packed]
    for _ in range(BLOCKS - 1):
        rotated.append(builder.rotate(rotated[-1], period * builder.layout.lanes))
    block = np.repeat(np.arange(BLOCKS), period)[:, None]
    gates = []
    for number, frames in enumerate(lanes):
        terms = [
            builder.multiply_plain(
                value, (block == (number - shift) % BLOCKS) * (1.0 if frames is None else frames)
            )
            for shift, value in enumerate(rotated)
        ]
        gates.append([builder.rescale(builder.sum(terms))])
    return gates
