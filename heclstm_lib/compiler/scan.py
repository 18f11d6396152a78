"""Compile the SRU: every frame at once, and a prefix scan over the lanes of the frames.

c_t = f_t c_{t-1} + u_t with u_t = (1 - f_t) g_t is a chain of affine maps. Composing neighbours
twice as far apart each time (Hillis and Steele, CACM 29(12), 1986)

    (f, u) <- (f * back(f), f * back(u) + u),   back: frame t - 2^k moves to the lanes of frame t

gives c in log2(T) levels. Lanes before the first frame need no mask: f_0 = 0, so each product of
forget gates that reaches back beyond frame 0 holds a factor 0 and cancels what a rotation brought
round from the end. f_0 = 0 costs nothing where weights and constants differ by lane; with scalar
weights (one feature a ciphertext) a product with a mask, a level, makes it.

The last composition is merged with h = o c and with the score's weights w, which are known before:
sum_t w_t h_t = sum_t (w_t o_t f_t) back(u)_t + (w_t o_t) u_t. f is a level ahead of u all along, so
that neither the output gate nor the score costs a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.gates import ONES, evaluate_gate
from heclstm_lib.compiler.linear import padded_rows
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import FoldedNetwork


class Maps(NamedTuple):
    """Affine maps c -> keep * c + state of every unit and frame; `output` is o."""

    keep: Op
    state: Op
    output: Op


def scan_steps(frames: int) -> int:
    """Compositions that reach back over all frames: log2 T, rounded up.

    >>> scan_steps(1), scan_steps(5), scan_steps(16)
    (0, 3, 4)
    """
    return (frames - 1).bit_length()


def scan_depth(frames: int, gate_degree: int) -> int:
    """Levels from the gates' arguments to the summed score: gate, u, scan with output."""
    steps = scan_steps(frames)
    return (gate_degree - 1) + max(steps + 1, min(steps, 1) + 2)


class ScanCompiler:
    """Appends the SRU over all frames to a builder; a unit's place is as in the LSTM."""

    layer = "sru"

    def __init__(self, network: FoldedNetwork, builder: Builder) -> None:
        self.network, self.builder, self.layout = network, builder, builder.layout
        self.scalar = self.layout.features == 1
        self.period = padded_rows(network.hidden, self.layout.features)
        self.width = min(self.period, self.layout.features)
        self.later = np.zeros(self.layout.frames)  # the frames with one before them
        self.later[1 : network.frames] = 1.0
        forget = self.later if network.frames > 1 else None  # one frame has no use for f
        self.lanes = (forget, None, None)

    def temporal(self, arguments: Sequence[Sequence[Op]]) -> list[Op]:
        """The sum over units of w_t h_t in the lanes of frame t, or nothing if all w are 0.

        arguments: input products of f, o and g, each in one or more ciphertexts.
        """
        sums = []
        for group, parts in enumerate(zip(*arguments, strict=True)):
            weights = self.weights(group)
            if not self.builder.vanishes(weights, self.builder.params.scale):
                with self.builder.layer("sru.gates"):
                    maps = self.maps(parts, group)
                with self.builder.layer("sru.scan"):
                    maps = self.compose(maps)
                with self.builder.layer("sru.output"):
                    sums.append(self.output(maps, weights))
        with self.builder.layer("sru.output"):
            return [self.builder.reduce(self.builder.sum(sums))] if sums else []

    def part(self, values: Vector, group: int) -> Vector:
        """Values [H] at the places of a ciphertext, [P, 1], 0 where there is no unit."""
        padded = np.zeros(self.period)
        padded[: len(values)] = values
        return self.layout.spread(padded.reshape(-1, self.width)[group])

    def weights(self, group: int) -> Vector:
        """The score's weights [F, T] of a ciphertext's units, at one copy of each."""
        weights = np.zeros((self.layout.features, self.layout.frames))
        for t, row in enumerate(self.network.temporal):
            weights[: self.width, t] = self.part(row, group)[:, 0]
        return weights

    def maps(self, parts: Sequence[Op], group: int) -> Maps:
        """Gates and u of every frame."""
        builder, network = self.builder, self.network
        units = self.part(np.ones(network.hidden), group)
        free = units * self.later if not self.scalar else units
        biases = [self.part(bias, group) for bias in network.gate_bias]
        forget, output, state = (
            builder.add_plain(value, bias * where)
            for value, bias, where in zip(parts, biases, (free, ONES, ONES), strict=True)
        )
        output = evaluate_gate(builder, network.gates[1], output, units)
        if self.layout.frames == 1:
            return Maps(output, state, output)
        keep = evaluate_gate(builder, network.gates[0], forget, free)
        if self.scalar:
            keep = builder.rescale(builder.multiply_plain(keep, self.later[None, :]))
        rest = builder.add_plain(builder.negate(keep), ONES)
        update = builder.multiply(rest, builder.lower(state, rest.level))
        return Maps(keep, builder.reduce(update), output)

    def compose(self, maps: Maps) -> Maps:
        """All compositions but the last."""
        builder, (keep, state, output) = self.builder, maps
        for step in self.steps()[:-1]:
            moved = builder.rotate(state, step)
            joined = builder.multiply(builder.lower(keep, state.level), moved)
            own = self.scaled(state, ONES, joined.scale)
            keep = builder.reduce(builder.multiply(keep, builder.rotate(keep, step)))
            state = builder.reduce(builder.add(joined, own))
        return Maps(keep, state, output)

    def steps(self) -> list[int]:
        """Rotations that bring frame t - 2^k to the lanes of frame t."""
        return [-self.layout.sequences << k for k in range(scan_steps(self.layout.frames))]

    def scaled(self, value: Op, weights: Vector, scale: float) -> Op:
        """value * weights at a scale, unrescaled."""
        target = scale / self.builder.params.primes[value.level]
        return self.builder.multiply_plain(value, weights, scale=target)

    def output(self, maps: Maps, weights: Vector) -> Op:
        """w o c of the last composition, of size 3 and unrescaled, at the working scale after."""
        builder, (keep, state, output) = self.builder, maps
        primes, wanted = builder.params.primes, builder.params.scale
        level = min(output.level - 1, keep.level)
        if self.layout.frames == 1:
            level = min(output.level - 1, state.level)
            gate = self.weighted(output, weights, level, wanted * primes[level] / state.scale)
            return builder.multiply(gate, builder.lower(state, level))
        last = min(level - 1, state.level)
        state = builder.lower(state, last)
        scale = wanted * primes[last] / state.scale  # of w o f and of w o
        gate = self.weighted(output, weights, level, scale * primes[level] / keep.scale)
        gated = builder.reduce(builder.multiply(gate, builder.lower(keep, level)))
        moved = builder.rotate(state, self.steps()[-1])
        before = builder.multiply(builder.lower(gated, last), moved)
        own = builder.multiply(self.weighted(output, weights, last, scale), state)
        return builder.add(before, own)

    def weighted(self, output: Op, weights: Vector, level: int, scale: float) -> Op:
        """w o at a level and scale."""
        value = self.builder.lower(output, level + 1)
        return self.builder.rescale(self.builder.multiply_plain(value, weights, scale=scale))
