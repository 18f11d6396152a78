"""One LSTM step by itself, with cubic gates and a cubic cell, as the server needs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heclstm_lib.models.folded import Array, GateForm


@dataclass(frozen=True)
class FoldedStep:
    """c' = f c + i g and h' = o p(c') for inputs x [I], states h, c [H]; gates i, f, g, o.

    gate_input [4, H, I], gate_recurrent [4, H, H] and gate_bias [4, H] give stretched gate
    arguments; p(c) = cell[0] c + cell[1] c^3.
    """

    gates: tuple[GateForm, ...]
    gate_input: Array
    gate_recurrent: Array
    gate_bias: Array
    cell: tuple[float, float]

    @classmethod
    def from_coefficients(
        cls,
        gate_input: Array,
        gate_recurrent: Array,
        gate_bias: Array,
        gate_coefficients: Array,
        cell_coefficients: Array,
    ) -> FoldedStep:
        """Fold polynomials of the raw pre-activation, ascending coefficients [4, 4] and [4].

        Raises PlanError for coefficients that are no cubic without a quadratic term.
        """
        gates = tuple(GateForm.from_coefficients(row) for row in gate_coefficients)
        stretch = np.array([gate.stretch for gate in gates])
        shift = np.array([gate.shift for gate in gates])
        return cls(
            gates,
            gate_input * stretch[:, None, None],
            gate_recurrent * stretch[:, None, None],
            gate_bias * stretch[:, None] + shift[:, None],
            (float(cell_coefficients[1]), float(cell_coefficients[3])),
        )

    @property
    def inputs(self) -> int:
        """I."""
        return self.gate_input.shape[-1]

    @property
    def hidden(self) -> int:
        """H."""
        return self.gate_recurrent.shape[-1]

    def outputs(self, values: Array) -> Array:
        """[h', c'] [n, 2H] of values [x, h, c] [n, I + 2H], in float64."""
        x, h, c = np.split(values, [self.inputs, self.inputs + self.hidden], axis=1)
        arguments = np.einsum("ghi,ni->gnh", self.gate_input, x)
        arguments += np.einsum("ghk,nk->gnh", self.gate_recurrent, h)
        arguments += self.gate_bias[:, None, :]
        i, f, g, o = (gate(y) for gate, y in zip(self.gates, arguments, strict=True))
        cell = f * c + i * g
        return np.concatenate([o * cell * (self.cell[0] + self.cell[1] * cell**2), cell], axis=1)
