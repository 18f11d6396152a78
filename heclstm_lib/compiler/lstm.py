"""Compile the LSTM steps: hidden-to-hidden product, polynomial gates, cell, output.

Frame t lives in its own lanes. Each gate is one ciphertext of period H on the feature axis (or
several of fewer places), so gates need no alignment and share the baby rotations of h. A step
adds its hidden-to-hidden product to the gate inputs; only the lanes of the frame it reads
(`Reading`) count later. With several features a ciphertext the product is masked to them; with
one, the other lanes run the same LSTM on the frames next to them (cyclically), so they stay as
bounded as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.gates import ONES, evaluate_gate, score_states
from heclstm_lib.compiler.linear import Products, Tensor, pad_rows, padded_rows
from heclstm_lib.compiler.reading import Reading
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import GATES, FoldedNetwork


class LstmCompiler:
    """Appends every step of an LSTM to a builder; h and c are lists of ciphertexts."""

    lanes: tuple[Vector | None, ...] = (None,) * len(GATES)

    def __init__(self, network: FoldedNetwork, builder: Builder, backward: bool = False) -> None:
        self.network = network
        self.builder = builder
        self.layout = builder.layout
        self.reading = Reading(network.frames, self.layout.sequences, backward)
        self.layer = self.reading.layer
        self.scalar = self.layout.features == 1
        self.period = padded_rows(network.hidden, self.layout.features)
        self.width = min(self.period, self.layout.features)
        place = np.arange(self.period).reshape(-1, self.width)
        self.contents = tuple(np.where(place < network.hidden, place, -1))

    def temporal(self, inputs: Sequence[Sequence[Op]]) -> list[Op]:
        """The score's sum over states, or nothing if all its weights are 0."""
        hidden = self.reading.by_frame(self.steps(inputs))
        with self.builder.layer("voting"):
            return score_states(self.builder, hidden, self.network.temporal)

    def steps(self, inputs: Sequence[Sequence[Op]]) -> list[Tensor]:
        """The steps' hidden states, 0..T-1, from the inputs' share of the gate arguments."""
        with self.builder.layer(f"{self.layer}.input"):
            inputs = [self.biased(number, gate) for number, gate in enumerate(inputs)]
        hidden: list[Tensor] = []
        cell: list[Op] = []
        for t in range(self.network.frames):
            with self.builder.layer(f"{self.layer}.t{t}"):
                arguments = inputs if t == 0 else self.recurrent(inputs, hidden[-1], t)
                cell, state = self.step(arguments, cell, t)
                hidden.append(Tensor(tuple(state), self.contents))
        return hidden

    def biased(self, number: int, gate: Sequence[Op]) -> list[Op]:
        """A gate plus its bias; places beyond H hold the gate's argument of zero."""
        padded = np.full(self.period, self.network.gates[number].shift)
        padded[: self.network.hidden] = self.network.gate_bias[number]
        parts = padded.reshape(-1, self.width)
        return [
            self.builder.add_plain(value, self.layout.spread(part))
            for value, part in zip(gate, parts, strict=True)
        ]

    def recurrent(self, inputs: Sequence[Sequence[Op]], hidden: Tensor, t: int) -> list[list[Op]]:
        """Gate arguments of step t: inputs plus U h_{t-1}, h moved into the lanes of its frame."""
        builder = self.builder
        matrices = [pad_rows(matrix, self.period) for matrix in self.network.gate_recurrent]
        own = np.eye(self.layout.frames)[self.reading.frame(t)]
        lanes = None if self.scalar else [own] * len(matrices)
        products = Products(builder, matrices, len(hidden.values), lanes)
        moved = (builder.rotate(value, self.reading.onward) for value in hidden.values)
        products.feed(Tensor(tuple(moved), hidden.contents))
        return [
            [self.argument(part, value, hidden.values[0].level - 1) for part, value in pair]
            for pair in (
                zip(parts, gate, strict=True)
                for parts, gate in zip(products.finish(), inputs, strict=True)
            )
        ]

    def argument(self, recurrent: Op | None, gate: Op, level: int) -> Op:
        """The gate's input, lowered, plus its share of the recurrent product if there is one."""
        lowered = self.builder.lower(gate, level)
        return lowered if recurrent is None else self.builder.add(recurrent, lowered)

    def step(
        self, arguments: Sequence[Sequence[Op]], cell: list[Op], t: int
    ) -> tuple[list[Op], list[Op]]:
        """c_t = f c_{t-1} + i g and h_t = o c_t, ciphertext by ciphertext."""
        cells, states = [], []
        for place, parts in enumerate(zip(*arguments, strict=True)):
            new_cell, state = self.cell(parts, cell[place] if cell else None, t)
            cells.append(new_cell)
            states.append(state)
        return cells, states

    def cell(self, arguments: Sequence[Op], cell: Op | None, t: int) -> tuple[Op, Op]:
        """One cell and state; one relinearisation serves both products of c."""
        builder = self.builder
        gates = {
            name: evaluate_gate(builder, form, argument, ONES)
            for name, form, argument in zip(GATES, self.network.gates, arguments, strict=True)
            if name != "f" or cell is not None
        }
        product = builder.multiply(gates["i"], gates["g"])
        if cell is not None:
            carried = self.carry(cell, gates["i"], t)
            product = builder.add(builder.multiply(gates["f"], carried), product)
        new_cell = builder.reduce(product)
        output = builder.lower(gates["o"], new_cell.level)
        return new_cell, builder.reduce(builder.multiply(output, new_cell))

    def carry(self, cell: Op, like: Op, t: int) -> Op:
        """c_{t-1} in the lanes of step t's frame, at the level and exact scale of the gates.

        The product by ones costs no depth (a cell waits two levels for its next use): it lands
        f c on the very scale of i g.
        """
        builder = self.builder
        ones = self.layout.spread(np.ones(1), None if self.scalar else self.reading.frame(t - 1))
        scaled = builder.rescale(builder.multiply_plain(cell, ones, scale=like.scale))
        lowered = builder.lower(scaled, like.level)
        return builder.rotate(lowered, self.reading.onward)
