"""The HE-friendly network as the server needs it: linear maps, squares and gates in vertex form.

Batch norm, mean pooling, the coefficients of the activations, the weighted unit and the voting
layer are all folded into the linear maps around them, so none of them costs a level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError

Array = NDArray[np.float64]
GATES = ("i", "f", "g", "o")
SRU_GATES = ("f", "o")  # the rows of the linear candidate g follow


@dataclass(frozen=True)
class GateForm:
    """A polynomial gate of a pre-activation p through y = stretch * p + shift.

    degree 2: gate = sign * y^2 + constant (the completed square);
    degree 3: gate = y * (y^2 + inner) + constant.
    """

    degree: int
    stretch: float
    shift: float
    sign: float
    inner: float
    constant: float

    @classmethod
    def from_coefficients(cls, coefficients: Array) -> GateForm:
        """Rewrite ascending coefficients c0..c2, or c0, c1, c2 = 0, c3.

        a p^2 + b p + c = s (sqrt|a| p + s b / (2 sqrt|a|))^2 + c - b^2 / (4a), s = sign(a).
        Raises PlanError for other degrees, a leading 0, or a cubic with a quadratic term.
        """
        cubic = len(coefficients) == 4
        if len(coefficients) not in (3, 4) or coefficients[-1] == 0 or (cubic and coefficients[2]):
            raise PlanError(
                f"polynomial gate: got {list(map(float, coefficients))}, expected c0, c1, c2 or "
                "c0, c1, 0, c3 with a leading coefficient other than 0 (models.polynomial)."
            )
        if len(coefficients) == 3:
            c, b, a = coefficients
            sign, root = float(np.sign(a)), float(np.sqrt(abs(a)))
            shift = sign * b / (2 * root)
            return cls(2, root, shift, sign, 0.0, c - b * b / (4 * a))
        c0, c1, _, c3 = coefficients
        stretch = float(np.cbrt(c3))
        return cls(3, stretch, 0.0, 1.0, c1 / stretch, c0)

    def __call__(self, y: Array) -> Array:
        """Gate values of already stretched and shifted pre-activations."""
        if self.degree == 2:
            return self.sign * y * y + self.constant
        return y * (y * y + self.inner) + self.constant


@dataclass(frozen=True)
class FoldedLSTM:
    """Weights of a further LSTM with the same gates, as in `FoldedNetwork`."""

    gate_input: Array
    gate_bias: Array
    gate_recurrent: Array


@dataclass(frozen=True)
class FoldedNetwork:
    """Float64 weights after folding; P conv positions, V features before the gates, H hidden.

    conv_weight [O, C, k, k] and conv_bias [O] give the argument of the first square;
    dense holds (matrix [out, in], bias [out]) for each further block, squared in turn;
    gate_input [4, H, V], gate_bias [4, H] and gate_recurrent [4, H, H] give stretched gate
    arguments in the order i, f, g, o (H = 0 without recurrence); for recurrence "sru" gate_input
    [3, H, V] and gate_bias [3, H] in the order f, o, g, where g is the candidate itself;
    spatial [T, V] and temporal [T, H] are the weighted unit, frame score and votes in one:
    score = bias + sum_t spatial[t] . a_t + temporal[t] . h_t. Of a Bi-LSTM, `backward` is the half
    that reads the frames from the last to the first, and h_t the sum of both halves' states.
    """

    frames: int
    image_size: int
    stride: int
    conv_weight: Array
    conv_bias: Array
    dense: tuple[tuple[Array, Array], ...]
    gates: tuple[GateForm, ...]
    gate_input: Array
    gate_bias: Array
    gate_recurrent: Array
    spatial: Array
    temporal: Array
    bias: float
    recurrence: str = "lstm"
    backward: FoldedLSTM | None = None

    @property
    def directions(self) -> tuple[FoldedNetwork, ...]:
        """This network, and of a Bi-LSTM that with the backward half's weights in their place."""
        if self.backward is None:
            return (self,)
        return self, replace(self, **vars(self.backward), backward=None)

    @property
    def hidden(self) -> int:
        """H, or 0 without recurrence."""
        return self.gate_bias.shape[-1]

    @property
    def gate_degree(self) -> int:
        """Degree of the gate polynomials, 0 without recurrence."""
        return self.gates[0].degree if self.gates else 0

    def features(self, frames: Array) -> Array:
        """Squared features a_t [B, T, V] of normalised frames [B, T, C, H, W]."""
        size = self.conv_weight.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(frames, (size, size), axis=(3, 4))
        windows = windows[:, :, :, :: self.stride, :: self.stride]  # [B, T, C, P', P', k, k]
        maps = np.einsum("btcyxij,ocij->btoyx", windows, self.conv_weight, optimize=True)
        maps = (maps + self.conv_bias[:, None, None]) ** 2
        values = maps.reshape(*maps.shape[:2], -1)
        for matrix, bias in self.dense:
            values = (values @ matrix.T + bias) ** 2
        return values

    def scores(self, frames: Array) -> Array:
        """Sequence logits [B] of normalised frames [B, T, C, H, W], all in float64."""
        values = self.features(frames.astype(np.float64))
        score = self.bias + np.einsum("btv,tv->b", values, self.spatial)
        if not self.hidden:
            return score
        for one, order in zip(self.directions, (1, -1), strict=False):
            arguments = np.einsum("ghv,btv->gtbh", one.gate_input, values[:, ::order])
            arguments += one.gate_bias[:, None, None, :]
            states = one._sru(arguments) if one.recurrence == "sru" else one._lstm(arguments)
            for state, weights in zip(states, one.temporal[::order], strict=True):
                score = score + state @ weights
        return score

    def _lstm(self, inputs: Array) -> Iterator[Array]:
        """h_t [B, H], t = 0..T-1, of the gates' input parts [4, T, B, H]."""
        hidden = cell = np.zeros(inputs.shape[2:])
        for t in range(self.frames):
            arguments = inputs[:, t] + np.einsum("ghk,bk->gbh", self.gate_recurrent, hidden)
            i, f, g, o = (gate(y) for gate, y in zip(self.gates, arguments, strict=True))
            cell = f * cell + i * g
            hidden = o * cell
            yield hidden

    def _sru(self, inputs: Array) -> Iterator[Array]:
        """h_t [B, H], t = 0..T-1, of the arguments of f and o and the candidate [3, T, B, H]."""
        cell = inputs[2, 0]  # f_0 = 0
        for t in range(self.frames):
            f, o = (gate(y) for gate, y in zip(self.gates, inputs[:2, t], strict=True))
            if t:
                cell = f * cell + (1 - f) * inputs[2, t]
            yield o * cell
