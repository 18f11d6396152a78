"""Packed LSTM steps whose state is spread out where that is cheap, before a refresh.

At the low level where a state is sent to the client a rotation costs a tenth of one after it has
come back. So h, alone in places 0..H-1, is repeated there over as many places as there are. Those
copies stand in a window of 4 H rows for every m-th column: in window a, at distance R = 4 H + m
from the one before, row r meets h[(r + m a) mod H]. m diagonals and a sum over the H / m windows
make U h, valid in window 0, which alone is read.

Worked example: H = 2, m = 1, so 8 rows and R = 9. Row 3 stands at places 3 and 3 + 9 = 12, where
copies of h = (h0, h1) hold h1 and h0: one product and one rotation by 9 do.
"""

from __future__ import annotations

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.gates import BLOCKS, once
from heclstm_lib.compiler.linear import pad_rows, window_weights
from heclstm_lib.compiler.packed_lstm import PackedLstm
from heclstm_lib.he.packing import Vector, baby_steps, power_of_two
from heclstm_lib.he.plan import Op
from heclstm_lib.models.folded import FoldedNetwork


def step_cost(hidden: int, diagonals: int, level: int, features: int) -> float:
    """Key switching of U h by m diagonals: rotations, each in proportion to (level + 1)(level + 2).

    Infinite when the windows do not fit F places. m = 0 stands for H diagonals without windows.

    >>> step_cost(16, 1, level=5, features=2048), step_cost(16, 0, level=5, features=2048)
    (162.0, 264.0)
    """
    per_level = [(at + 1.0) * (at + 2.0) for at in (1, level - 1, level)]
    count = diagonals or hidden
    babies = baby_steps(count)
    at_top = (babies - 1) + (-(-count // babies) - 1)
    if not diagonals:
        return 2 * per_level[0] + at_top * per_level[2]
    copies = window_copies(hidden, diagonals)
    if copies * hidden > features:
        return float("inf")
    folds = (hidden // diagonals).bit_length() - 1
    doublings = copies.bit_length() - 1
    return doublings * per_level[0] + folds * per_level[1] + at_top * per_level[2]


def window_copies(hidden: int, diagonals: int) -> int:
    """Copies of h, a power of two, that fill all windows."""
    rows = BLOCKS * hidden
    last = (hidden // diagonals - 1) * (rows + diagonals)
    return power_of_two(-(-(last + rows + diagonals - 1) // hidden))


def choose_diagonals(hidden: int, level: int, features: int) -> int:
    """The m that costs least, 0 for no windows."""
    choices = [0, *(1 << bit for bit in range(hidden.bit_length()))]
    return min(choices, key=lambda m: step_cost(hidden, m, level, features))


class WindowedLstm(PackedLstm):
    """The steps with windows; `diagonals` is m."""

    def __init__(
        self,
        network: FoldedNetwork,
        builder: Builder,
        refresh_level: int,
        diagonals: int,
        backward: bool = False,
    ) -> None:
        super().__init__(network, builder, refresh_level, backward)
        self.diagonals = diagonals
        self.windows = self.hidden // diagonals
        self.distance = self.rows + diagonals

    def mask(self, frame: int) -> Vector:
        """Ones [F, T] in block 0 of window 0 and the lanes of a frame."""
        return once(self.layout, np.ones(self.network.hidden), self.content, frame)

    def repeated(self, state: Op) -> Op:
        """The state of places 0..H-1 in as many copies as the windows need."""
        builder, copies = self.builder, window_copies(self.hidden, self.diagonals)
        everywhere = copies * self.hidden == self.layout.features  # then either way round will do
        step = self.block if everywhere else -self.block
        return builder.repeat(state, step, copies)

    def recurrent(self, state: Op, t: int) -> Op | None:
        """U h_{t-1} in window 0 and the lanes of step t's frame; None if U is zero."""
        builder, unit = self.builder, self.layout.lanes
        babies = baby_steps(self.diagonals)
        rotated = [state]
        while len(rotated) < babies:
            rotated.append(builder.rotate(rotated[-1], unit))
        terms = [
            builder.products(
                (value, np.roll(self.weights(first + baby, self.reading.frame(t)), first, axis=0))
                for baby, value in enumerate(rotated)
            )
            for first in range(0, self.diagonals, babies)
        ]
        if not any(terms):
            return None
        total = builder.rescale(builder.horner(terms, babies * unit))
        return builder.repeat(total, self.distance * unit, self.windows)

    def weights(self, diagonal: int, frame: int) -> Vector:
        """Diagonal k [F, T]: at row r of window a the weight of h[(r + m a + k) mod H]."""
        matrices = [pad_rows(matrix, self.hidden) for matrix in self.network.gate_recurrent]
        matrix = pad_rows(np.concatenate(matrices).T, self.hidden).T  # [4 H', H']
        values = window_weights(matrix, self.layout.features, self.diagonals, diagonal)
        return self.layout.spread(values, frame)
