"""Compile a folded network into a plan: packing, rotations, levels, exact scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import DepthBudgetExceeded
from heclstm_lib.he.builder import Builder
from heclstm_lib.he.lstm import LstmCompiler
from heclstm_lib.he.packing import (
    Layout,
    Vector,
    baby_steps,
    matrix_diagonals,
    offset_copies,
    power_of_two,
)
from heclstm_lib.he.params import CkksParameters, bit_budget
from heclstm_lib.he.plan import InputSpec, Op, Plan, check_plan
from heclstm_lib.models.folded import FoldedNetwork

SCALE_BITS = range(26, 41)
"""Working scales tried: below 26 bits rescaling leaves too little precision, and primes are few."""

LARGEST_PRIME_BITS = 60
"""SEAL's limit on the bits of one prime."""


def network_depth(network: FoldedNetwork) -> int:
    """Levels a network needs: 2 a block, 2 to reach the gates, the LSTM steps, 1 for the score.

    A step costs the product with h (1, not in the first step), the gates (degree - 1), the cell
    (1) and the output (1).
    """
    depth = 2 * (1 + len(network.dense)) + 1
    if network.hidden:
        step = (network.gate_degree - 1) + 2
        depth += 2 + step + (network.frames - 1) * (step + 1)
    return depth


def choose_parameters(
    network: FoldedNetwork,
    poly_degree: int,
    scale_bits: int | None = None,
    first_bits: int | None = None,
    special_bits: int | None = None,
) -> CkksParameters:
    """The chain of exactly the network's depth; without `scale_bits` the largest secure scale.

    The first prime leaves 10 bits above the scale for the score, the special prime 12 and what
    is to spare: key switching divides its noise by it. Raises DepthBudgetExceeded when even the
    smallest scale does not fit 128-bit security, SecurityError for a degree outside the tables.
    """
    levels = network_depth(network)
    budget = bit_budget(poly_degree)
    for bits in reversed(SCALE_BITS) if scale_bits is None else [scale_bits]:
        params = CkksParameters(
            poly_degree, levels, bits, first_bits or bits + 10, special_bits or bits + 12
        )
        spare = budget - params.total_bits
        if spare >= 0:
            widest = special_bits or min(params.special_bits + spare, LARGEST_PRIME_BITS)
            return replace(params, special_bits=widest)
    raise DepthBudgetExceeded(
        f"the network needs {levels} levels: {params.total_bits} bits at {params.scale_bits} a "
        f"level, but N={poly_degree} allows {budget} at 128-bit security. "
        "Use a larger N, fewer frames, quadratic gates or a smaller scale_bits."
    )


def plan_network(network: FoldedNetwork, params: CkksParameters, sequences: int) -> Plan:
    """Plan the encrypted evaluation of up to `sequences` sequences (a power of two) at once.

    Needs no key. Raises PlanError and its kinds when the network does not fit.
    """
    layout = Layout(params.slots, power_of_two(network.frames), power_of_two(sequences))
    compiler = _Compiler(network, Builder(params, layout))
    plan = compiler.plan()
    check_plan(plan)
    return plan


class _Compiler:
    """Walks the network front to back, appending to one builder."""

    def __init__(self, network: FoldedNetwork, builder: Builder) -> None:
        self.network = network
        self.builder = builder
        self.layout = builder.layout
        channels_out, channels, size, _ = network.conv_weight.shape
        grid = (network.image_size - size) // network.stride + 1
        self.positions = grid * grid
        rows = power_of_two(network.dense[0][0].shape[0]) if network.dense else self.gate_rows
        self.content = offset_copies(channels_out * self.positions, self.layout.features, rows or 1)
        self.inputs = InputSpec(
            network.frames, channels, network.image_size, size, network.stride,
            tuple(self.content.tolist()),
        )  # fmt: skip

    @property
    def gate_rows(self) -> int:
        """Rows of the packed gates, 4 H with H padded to a power of two."""
        return 4 * power_of_two(self.network.hidden) if self.network.hidden else 0

    def plan(self) -> Plan:
        values, content = self.convolution(), self.content
        for number, (matrix, bias) in enumerate(self.network.dense, start=1):
            with self.builder.layer(f"blocks.{number}.conv"):
                values, content = self.dense(values, content, matrix, bias)
            with self.builder.layer(f"blocks.{number}.activation"):
                values = self.builder.square(values)
        hidden: list[Op] = []
        if self.network.hidden:
            with self.builder.layer("lstm.input"):
                packed = self.gate_arguments(values, content)
            hidden = LstmCompiler(self.network, self.builder).steps(packed)
        with self.builder.layer("voting"):
            output = self.score(values, content, hidden)
        builder = self.builder
        return Plan(
            builder.params, self.layout, self.inputs, tuple(builder.ops),
            tuple(builder.constants), output.index,
        )  # fmt: skip

    def per_channel(self, values: Vector) -> Vector:
        """Values [O] at every place of the convolution's layout, 0 where it is empty."""
        channel = np.maximum(self.content, 0) // self.positions
        return self.layout.spread(np.where(self.content >= 0, values[channel], 0.0))

    def convolution(self) -> Op:
        """The client's taps make the convolution a weighted sum of ciphertexts: no rotation."""
        taps = self.network.conv_weight.reshape(len(self.network.conv_weight), -1).T
        with self.builder.layer("blocks.0.conv"):
            total: list[Op] = []
            for tap in taps:
                term = self.builder.products([(self.builder.input(), self.per_channel(tap))])
                total = [self.builder.sum(total + term)] if total or term else []
            value = self.builder.rescale(self.builder.sum(total))
            value = self.builder.add_plain(value, self.per_channel(self.network.conv_bias))
        with self.builder.layer("blocks.0.activation"):
            return self.builder.square(value)

    def matvec(self, value: Op, content: NDArray[np.int64], matrix: Vector) -> Op:
        """matrix [rows, V] times the features; the result has period rows on the feature axis."""
        unit, rows = self.layout.lanes, len(matrix)
        diagonals = matrix_diagonals(matrix, content)
        babies = baby_steps(max(diagonals, default=0) + 1)
        rotated = [value]
        while len(rotated) < babies:
            rotated.append(self.builder.rotate(rotated[-1], unit))
        steps = [
            [
                (rotated[k - first], np.roll(self.layout.spread(diagonals[k]), first * unit))
                for k in range(first, first + babies)
                if k in diagonals
            ]
            for first in range(0, max(diagonals, default=0) + 1, babies)
        ]
        result = self.builder.rescale(self.builder.giant_steps(steps, babies * unit))
        return self.builder.fold(result, len(content) * unit, rows * unit)

    def dense(
        self, value: Op, content: NDArray[np.int64], matrix: Vector, bias: Vector
    ) -> tuple[Op, NDArray[np.int64]]:
        """A further block: matrix, bias; the new content is simply periodic."""
        rows = power_of_two(len(matrix))
        value = self.matvec(value, content, _pad_rows(matrix, rows))
        value = self.builder.add_plain(value, self.layout.spread(_pad_rows(bias, rows)))
        place = np.arange(max(rows, self.gate_rows))
        return value, np.where(place % rows < len(matrix), place % rows, -1)

    def gate_arguments(self, value: Op, content: NDArray[np.int64]) -> Op:
        """All four gates' input products in one ciphertext, blocks i, f, g, o of H places."""
        blocks = [_pad_rows(gate, self.gate_rows // 4) for gate in self.network.gate_input]
        return self.matvec(value, content, np.concatenate(blocks))

    def score(self, values: Op, content: NDArray[np.int64], hidden: list[Op]) -> Op:
        """Weighted unit, frame score and votes: one product each, then a fold over the slots."""
        _, first = np.unique(content, return_index=True)
        chosen = np.zeros(self.layout.features, dtype=bool)
        chosen[first] = True
        places = np.resize(content, self.layout.features)
        chosen &= places >= 0
        spatial = np.zeros(self.layout.slots)
        for t, row in enumerate(self.network.spatial):
            spatial += self.layout.spread(np.where(chosen, row[places], 0.0), frame=t)
        level = hidden[-1].level if hidden else values.level
        pairs = [(values, spatial)]
        for t, (state, row) in enumerate(zip(hidden, self.network.temporal, strict=False)):
            once = np.zeros(self.layout.features)
            once[: len(row)] = row
            pairs.append((state, self.layout.spread(once, frame=t)))
        builder = self.builder
        total = builder.sum(
            builder.products((builder.lower(value, level), weights) for value, weights in pairs)
        )
        score = builder.fold(builder.rescale(total), self.layout.slots, self.layout.lanes)
        score = self.sum_frames(score)
        return builder.add_plain(score, np.full(self.layout.slots, self.network.bias))

    def sum_frames(self, score: Op) -> Op:
        """Sum over frames by rotations of one frame back, the key that the LSTM uses already."""
        width = 1
        while width < self.layout.frames:
            back = self.builder.rotate(score, -self.layout.sequences, times=width)
            score = self.builder.add(score, back)
            width *= 2
        return score


def _pad_rows(matrix: Vector, rows: int) -> Vector:
    padded = np.zeros((rows, *matrix.shape[1:]))
    padded[: len(matrix)] = matrix
    return padded
