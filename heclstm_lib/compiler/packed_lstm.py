"""LSTM steps on gates that stay packed: blocks i, f, g, o of one ciphertext, few rotations.

The whole step of all four gates is one matrix product, one polynomial and three rotations by a
block. Block 0 of a result holds i g, f c, o c; what the other blocks and the lanes of other frames
hold is never read: masks that cost no depth (o and c each wait a level for their next use) leave
h in block 0 and the lanes of frame t alone. h and c then share one ciphertext, the state: h in the
lanes of frame t + 1, where the next step needs it, c in those of frame t (the other way round
where the frames are read backward).

With `refresh_level` the client re-encrypts the state between steps at that level (`he.refresh`),
so that the modulus chain need not grow with the number of frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.gates import BLOCKS, gate_power, score_states
from heclstm_lib.compiler.linear import Products, Tensor, pad_rows
from heclstm_lib.compiler.reading import Reading
from heclstm_lib.errors import PlanError
from heclstm_lib.he.packing import Vector, power_of_two
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import GATES, FoldedNetwork


class PackedLstm:
    """Appends every step of an LSTM to a builder; needs 4 H places on the feature axis."""

    def __init__(
        self,
        network: FoldedNetwork,
        builder: Builder,
        refresh_level: int | None = None,
        backward: bool = False,
    ) -> None:
        self.network, self.builder, self.layout = network, builder, builder.layout
        self.reading = Reading(network.frames, self.layout.sequences, backward)
        self.layer = self.reading.layer
        self.refresh_level = refresh_level
        self.hidden = power_of_two(network.hidden)
        self.rows = BLOCKS * self.hidden
        self.block = self.hidden * self.layout.lanes
        place = np.arange(self.hidden)
        self.content = np.where(place < network.hidden, place, -1)
        if self.rows > self.layout.features:
            raise PlanError(
                f"packing: {self.rows} rows (four gates of the padded hidden size) do not fit a "
                f"feature axis of {self.layout.features}. Encrypt fewer sequences together."
            )

    def blocks(self, values: Sequence[Vector] | Vector, padding: Vector) -> Vector:
        """Values [4][H] as a constant [4 H', 1], the places from H to H' of a block at padding."""
        padded = np.repeat(np.asarray(padding, dtype=float)[:, None], self.hidden, axis=1)
        padded[:, : self.network.hidden] = values
        return self.layout.spread(padded.reshape(-1))

    def per_gate(self, name: str) -> Vector:
        """A number of the gates' forms as [4]."""
        return np.array([getattr(form, name) for form in self.network.gates])

    def temporal(self, packed: Op) -> list[Op]:
        """The score's sum over states, or nothing if all its weights are 0."""
        hidden = self.reading.by_frame(self.steps(packed))
        states = [Tensor((value,), (self.content,)) for value in hidden]
        with self.builder.layer("voting"):
            return score_states(self.builder, states, self.network.temporal)

    def steps(self, packed: Op) -> list[Op]:
        """The steps' h, in block 0 and the lanes of their frames, of the packed input products."""
        builder, frames = self.builder, self.network.frames
        with builder.layer(f"{self.layer}.input"):
            bias = self.blocks(self.network.gate_bias, self.per_gate("shift"))
            inputs = builder.add_plain(packed, bias)
        hidden: list[Op] = []
        state: Op | None = None
        for t in range(frames):
            with builder.layer(f"{self.layer}.t{t}"):
                cell, output = self.cell(self.argument(inputs, state, t), state)
                hidden.append(self.state_part(output, cell, t))
            if t + 1 < frames:
                with builder.layer(f"{self.layer}.state{t}"):
                    state = self.state(hidden[-1], cell, t)
        return hidden

    def argument(self, inputs: Op, state: Op | None, t: int) -> Op:
        """Gate arguments: the inputs' share plus, in the lanes of step t's frame, U h_{t-1}."""
        if state is None:
            return inputs
        recurrent = self.recurrent(state, t)
        lowered = self.builder.lower(inputs, state.level - 1)
        return lowered if recurrent is None else self.builder.add(recurrent, lowered)

    def recurrent(self, state: Op, t: int) -> Op | None:
        """U h_{t-1} in the lanes of step t's frame; None if U is zero."""
        matrices = [pad_rows(matrix, self.hidden) for matrix in self.network.gate_recurrent]
        lanes = [np.eye(self.layout.frames)[self.reading.frame(t)]]
        products = Products(self.builder, [np.concatenate(matrices)], lanes=lanes)
        products.feed(Tensor((state,), (self.content,)))
        [[recurrent]] = products.finish()
        return recurrent

    def gates(self, argument: Op) -> Op:
        """sign * gate of every block: y^2 + constant, or y (y^2 + inner) + constant."""
        builder, sign = self.builder, self.per_gate("sign")
        cubic = self.network.gate_degree == 3
        inner = self.constants(self.per_gate("inner")) if cubic else None
        value = gate_power(builder, argument, inner)
        return builder.add_plain(value, self.constants(sign * self.per_gate("constant")))

    def constants(self, values: Vector) -> Vector:
        """A constant of one number a block, or of one number if they are all alike."""
        return self.layout.spread(values[:1] if np.ptp(values) == 0 else values.repeat(self.hidden))

    def cell(self, argument: Op, state: Op | None) -> tuple[Op, Op]:
        """c_t = f c_{t-1} + i g and sign * o, both in block 0."""
        builder, sign = self.builder, dict(zip(GATES, self.per_gate("sign"), strict=True))
        gates = self.gates(argument)
        forget = builder.rotate(gates, self.block)
        candidate = builder.rotate(forget, self.block)
        output = builder.rotate(candidate, self.block)
        product, positive = builder.multiply(gates, candidate), sign["i"] * sign["g"] > 0
        if state is not None:
            before = builder.rotate(builder.lower(state, gates.level), self.reading.onward)
            carried = builder.multiply(forget, before)
            if sign["f"] * sign["i"] * sign["g"] < 0:
                carried = builder.negate(carried)
            product = builder.add(carried, product)
        cell = builder.reduce(product)
        return (cell if positive else builder.negate(cell)), output

    def state_part(self, output: Op, cell: Op, t: int) -> Op:
        """h_t = o c_t at the state's scale, zero but for block 0 and its frame's lanes."""
        builder, primes = self.builder, self.builder.params.primes
        last = t + 1 == self.network.frames
        after = cell.level - 1
        wanted = builder.params.scale_at(after) if last else self.state_scale(after)
        mask = self.mask(self.reading.frame(t)) * self.network.gates[GATES.index("o")].sign
        scale = wanted * primes[cell.level] / cell.scale
        chosen = builder.rescale(builder.multiply_plain(output, mask, scale=scale))
        return builder.reduce(builder.multiply(builder.lower(chosen, cell.level), cell))

    def mask(self, frame: int) -> Vector:
        """Ones [4 H', T] in block 0 at the places of units and the lanes of a frame."""
        place = np.arange(self.rows)
        return self.layout.spread((place < self.network.hidden).astype(float), frame)

    def state(self, hidden: Op, cell: Op, t: int) -> Op:
        """h_t and c_t in one ciphertext, repeated, refreshed if the plan asks."""
        builder, mask = self.builder, self.mask(self.reading.frame(t))
        scaled = builder.multiply_plain(cell, mask, scale=hidden.scale)
        moved = builder.rotate(hidden, self.reading.onward)
        state = self.repeated(builder.add(moved, builder.rescale(scaled)))
        if self.refresh_level is None:
            return state
        return builder.refresh(state, self.refresh_level)

    def repeated(self, state: Op) -> Op:
        """The state of block 0 in every block."""
        return self.builder.fold(state, BLOCKS * self.block, self.block)

    def state_scale(self, level: int) -> float:
        """The gates' scale in the next step, so that f c and i g can be added."""
        builder = self.builder
        top = level if self.refresh_level is None else self.refresh_level
        primes = builder.params.primes[top - 1 :: -1]
        working = builder.params.scale
        first = working * working / primes[0]
        return reduce(
            lambda scale, prime: scale * working / prime,
            primes[1 : self.network.gate_degree - 1],
            first,
        )
