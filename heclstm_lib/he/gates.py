"""Polynomial gates, and the unpacking of gates that one ciphertext holds as blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heclstm_lib.he.builder import Builder
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import GateForm

ONES = np.ones((1, 1))
"""The constant 1 in every slot."""

BLOCKS = 4
"""Blocks of a ciphertext with packed gates: four gates, or three and an empty block."""


def evaluate_gate(builder: Builder, form: GateForm, argument: Op, where: Vector) -> Op:
    """A polynomial gate: a square, or y (y^2 + inner); its constant only `where` [P, 1 or T] is 1.

    Elsewhere a gate whose argument is 0 is 0.
    """
    value = builder.square(argument)
    if form.degree == 3:
        value = builder.add_plain(value, np.full((1, 1), form.inner))
        value = builder.reduce(builder.multiply(value, builder.lower(argument, value.level)))
    elif form.sign < 0:
        value = builder.negate(value)
    return builder.add_plain(value, form.constant * where)


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
