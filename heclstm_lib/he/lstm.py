"""Compile the LSTM steps: hidden-to-hidden product, polynomial gates, cell, output.

Frame t lives in its own lanes. Gates are four ciphertexts of period H on the feature axis, so
they need no alignment and share the baby rotations of h. One level on the way in unpacks the
gates once for all frames; from then on a step only adds its hidden-to-hidden product in the
lanes of frame t. Other lanes carry gates of other frames without their h: bounded, never read.
"""

from __future__ import annotations

import numpy as np

from heclstm_lib.he.builder import Builder
from heclstm_lib.he.packing import Vector, baby_steps, power_of_two
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import GATES, FoldedNetwork, GateForm


class LstmCompiler:
    """Appends every step of the LSTM to a builder."""

    def __init__(self, network: FoldedNetwork, builder: Builder) -> None:
        self.network = network
        self.builder = builder
        self.layout = builder.layout
        self.period = power_of_two(network.hidden)

    def steps(self, packed: Op) -> list[Op]:
        """Hidden states h_t, t = 0..T-1, from the packed gate inputs (blocks i, f, g, o)."""
        with self.builder.layer("lstm.unpack"):
            inputs = self.unpack(packed)
        hidden: list[Op] = []
        cell: Op | None = None
        for t in range(self.network.frames):
            with self.builder.layer(f"lstm.t{t}"):
                arguments = inputs if t == 0 else self.recurrent(inputs, hidden[-1], t)
                cell, state = self.step(arguments, cell, t)
                hidden.append(state)
        return hidden

    def unpack(self, packed: Op) -> list[Op]:
        """Four gate arguments of period H: three rotations by blocks, masks, biases."""
        rotated = [packed]
        for _ in range(3):
            rotated.append(self.builder.rotate(rotated[-1], self.period * self.layout.lanes))
        block = np.repeat(np.arange(4), self.period)
        gates = []
        for number in range(len(GATES)):
            terms = [
                self.builder.multiply_plain(
                    rotated[shift],
                    self.layout.spread((block == (number - shift) % 4).astype(np.float64)),
                )
                for shift in range(4)
            ]
            gate = self.builder.rescale(self.builder.sum(terms))
            gates.append(self.builder.add_plain(gate, self.gate_bias(number)))
        return gates

    def gate_bias(self, number: int) -> Vector:
        """A gate's bias at every frame; places beyond H hold the gate's argument of zero."""
        padded = np.full(self.period, self.network.gates[number].shift)
        padded[: self.network.hidden] = self.network.gate_bias[number]
        return self.layout.spread(padded)

    def recurrent(self, inputs: list[Op], hidden: Op, t: int) -> list[Op]:
        """Gate arguments of step t: inputs plus U h_{t-1}, h moved into the lanes of frame t."""
        builder, unit, matrices = self.builder, self.layout.lanes, self.network.gate_recurrent
        babies = baby_steps(self.period, outputs=len(GATES))
        rotated = [builder.rotate(hidden, -self.layout.sequences)]
        while len(rotated) < babies:
            rotated.append(builder.rotate(rotated[-1], unit))
        arguments = []
        for gate, matrix in zip(inputs, matrices, strict=True):
            argument = builder.lower(gate, hidden.level - 1)
            if np.any(matrix):
                argument = builder.add(self.recurrent_product(rotated, matrix, t), argument)
            arguments.append(argument)
        return arguments

    def recurrent_product(self, rotated: list[Op], matrix: Vector, t: int) -> Op:
        """U_gate h by baby-step giant-step diagonals, giants from the last inwards (Horner)."""
        unit, babies = self.layout.lanes, len(rotated)
        padded = np.zeros((self.period, self.period))
        padded[: len(matrix), : len(matrix)] = matrix
        place = np.arange(self.period)

        def mask(k: int, first: int) -> Vector:
            diagonal = padded[place, (place + k) % self.period]
            return np.roll(self.layout.spread(diagonal, frame=t), first * unit)

        steps = [
            [(value, mask(first + baby, first)) for baby, value in enumerate(rotated)]
            for first in range(0, self.period, babies)
        ]
        return self.builder.rescale(self.builder.giant_steps(steps, babies * unit))

    def gate(self, form: GateForm, argument: Op) -> Op:
        """One polynomial gate: a square, or y (y^2 + inner)."""
        builder, slots = self.builder, self.layout.slots
        value = builder.square(argument)
        if form.degree == 3:
            value = builder.add_plain(value, np.full(slots, form.inner))
            value = builder.reduce(builder.multiply(value, builder.lower(argument, value.level)))
        elif form.sign < 0:
            value = builder.negate(value)
        return builder.add_plain(value, np.full(slots, form.constant))

    def step(self, arguments: list[Op], cell: Op | None, t: int) -> tuple[Op, Op]:
        """c_t = f c_{t-1} + i g and h_t = o c_t; one relinearisation serves both products of c."""
        builder = self.builder
        used = [name for name in GATES if name != "f" or cell is not None]
        gates = {
            name: self.gate(form, argument)
            for name, form, argument in zip(GATES, self.network.gates, arguments, strict=True)
            if name in used
        }
        product = builder.multiply(gates["i"], gates["g"])
        if cell is not None:
            carried = self.carry(cell, gates["i"], t)
            product = builder.add(builder.multiply(gates["f"], carried), product)
        new_cell = builder.reduce(product)
        output = builder.lower(gates["o"], new_cell.level)
        return new_cell, builder.reduce(builder.multiply(output, new_cell))

    def carry(self, cell: Op, like: Op, t: int) -> Op:
        """c_{t-1} in the lanes of frame t, at the level and exact scale of the gates.

        The product by a mask of ones costs no depth (a cell waits two levels for its next use):
        it lands f c on the very scale of i g.
        """
        builder = self.builder
        ones = self.layout.spread(np.ones(1), frame=t - 1)
        scaled = builder.rescale(builder.multiply_plain(cell, ones, scale=like.scale))
        lowered = builder.lower(scaled, like.level)
        return builder.rotate(lowered, -self.layout.sequences)
