"""One LSTM step with cubic gates in OpenFHE: one sequence packed by hand, and a full batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from machine import Machine, Setting, ciphertext_bytes
from packed_cnn import Diagonals
from packing import cover, powers
from protocol import Contender, Refusal, rows


class StepWeights:
    """The step's arrays with the gates in the form y (y^2 + inner) + constant, y = stretch * p.

    The stretch, a cube root, goes into the matrices and biases, so a gate costs two products of
    ciphertexts and none by plaintexts. Rows run over i, f, g, o.
    """

    def __init__(self, case: dict[str, np.ndarray], output_scale: float = 1.0) -> None:
        """output_scale multiplies gate o."""
        coefficients = np.array(case["gate_coefficients"], dtype=float)  # [4, 4] ascending
        coefficients[3] *= output_scale
        stretch = np.cbrt(coefficients[:, 3])
        self.hidden = case["gate_bias"].shape[1]
        self.input = self._rows(case["gate_input"] * stretch[:, None, None])
        self.recurrent = self._rows(case["gate_recurrent"] * stretch[:, None, None])
        self.bias = (case["gate_bias"] * stretch[:, None]).ravel()
        self.inner = np.repeat(coefficients[:, 1] / stretch, self.hidden)
        self.constant = np.repeat(coefficients[:, 0], self.hidden)
        self.linear, self.cubic = case["cell_coefficients"][[1, 3]]

    @staticmethod
    def _rows(weight: np.ndarray) -> np.ndarray:
        return weight.reshape(-1, weight.shape[-1])


def gate(machine: Machine, y: Any, inner: Any, constant: Any) -> Any:
    """y (y^2 + inner) + constant; inner and constant are plaintext vectors or numbers."""
    plus = machine.plus if hasattr(inner, "at") else machine.context.EvalAdd
    return plus(machine.multiply(y, plus(machine.square(y), inner)), constant)


def cell_state(machine: Machine, f: Any, c: Any, i: Any, g: Any) -> Any:
    """f c + i g with one relinearisation."""
    context = machine.context
    total = context.EvalAdd(context.EvalMultNoRelin(f, c), context.EvalMultNoRelin(i, g))
    return machine.rescaled(context.Relinearize(total))


def output_state(machine: Machine, o: Any, cell: Any, ratio: Any) -> Any:
    """o c (c^2 + ratio): two levels, with the cubic coefficient already in o."""
    plus = machine.plus if hasattr(ratio, "at") else machine.context.EvalAdd
    return machine.multiply(machine.multiply(o, cell), plus(machine.square(cell), ratio))


class SingleStep(Contender):
    """All four gates in one ciphertext (128 rows); x, h and c enter with period 32.

    packing "bsgs": diagonals, 8 baby steps (hoisted) for x and for h, 3 giant steps; everything
    keeps period 128. packing "window": tiles 129 slots apart see x and h shifted by one more each,
    so that one product each covers all diagonals and one fold over the tiles is left; its result
    is clean in the first tile only. Either way h' leaves with period 32 again.
    """

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context, keys, and one evaluation so that every constant is encoded."""
        self.state = {name: rows(case[name], 1)[0] for name in "xhc"}
        defaults = {"ring": 16384, "depth": 6, "scale_bits": 35, "first_bits": 44, "digits": 3}
        self.machine = machine = Machine(Setting.of(options, radix=8, **defaults))
        self.packing = options.get("packing", "window")
        weights = StepWeights(case)
        self.hidden, self.period = weights.hidden, len(weights.bias)
        single = {self.hidden, 2 * self.hidden, 3 * self.hidden}
        folds = self._matrices(weights, single)
        self.bias, self.inner, self.constant = (
            machine.constant(np.tile(values, machine.slots // self.period))
            for values in (weights.bias, weights.inner, weights.constant)
        )
        ones = np.zeros(machine.slots) + weights.linear / weights.cubic
        self.ratio = machine.constant(ones)
        mask = np.arange(machine.slots) % self.period < self.hidden
        if self.packing == "window":
            mask &= np.arange(machine.slots) < self.period
        self.output_mask = machine.constant(mask * weights.cubic)
        machine.make_rotation_keys(single, [*folds, self.spread])
        request = self.encrypt()
        response = self.evaluate(request)
        return {
            **machine.facts(),
            "layout": self.packing,
            "upload_bytes": ciphertext_bytes(request),
            "response_bytes": ciphertext_bytes(response),
        }

    def _matrices(self, weights: StepWeights, single: set[int]) -> list[list[int]]:
        """Encode both matrices; add the single rotations they need, return the folds."""
        machine = self.machine
        matrices = weights.input, weights.recurrent
        if self.packing == "bsgs":
            self.diagonals = [Diagonals(machine, matrix) for matrix in matrices]
            single |= self.diagonals[0].steps
            copies = self.period // self.hidden
            self.spread = [-step for step in powers(copies, self.hidden)]
            return []
        if self.packing != "window":
            raise Refusal(f'packing {self.packing!r}: expected "window" or "bsgs".')
        places = np.arange(machine.slots) % self.hidden
        self.tile_fold = powers(self.hidden, self.period + 1)
        self.products = [
            machine.constant(cover(matrix, places, [0], self.tile_fold)[0]) for matrix in matrices
        ]
        self.spread = [-step for step in powers(machine.slots // self.hidden, self.hidden)]
        return [self.tile_fold]

    def _arguments(self, x: Any, h: Any) -> Any:
        machine = self.machine
        if self.packing == "window":
            products = list(zip((x, h), self.products, strict=True))
            return machine.fold(machine.weighted(products), self.tile_fold)
        # baby steps of x and of h, then shared giant steps
        first, second = self.diagonals
        steps = list(range(first.baby))
        copies = machine.rotations(x, steps) + machine.rotations(h, steps)
        total = None
        for index, groups in enumerate(zip(first.constants, second.constants, strict=True)):
            part = machine.weighted(list(zip(copies, [*groups[0], *groups[1]], strict=True)))
            part = machine.rotations(part, [index * first.baby])[0]
            total = part if total is None else machine.add(total, part)
        return total

    def encrypt(self) -> list[Any]:
        """x, h and c, each repeated over all slots."""
        copies = self.machine.slots // self.hidden
        return [self.machine.encrypt(np.tile(self.state[name], copies)) for name in "xhc"]

    def evaluate(self, encrypted: list[Any]) -> list[Any]:
        """h' and c'."""
        machine, (x, h, c) = self.machine, encrypted
        y = machine.plus(self._arguments(x, h), self.bias)
        gates = gate(machine, y, self.inner, self.constant)
        # the first 32 rows of each rotation hold gates f, g and o
        f, g, o = machine.rotations(gates, [self.hidden * k for k in (1, 2, 3)])
        cell = cell_state(machine, f, c, gates, g)
        masked = machine.weighted([(o, self.output_mask)])
        output = output_state(machine, masked, cell, self.ratio)
        return [machine.fold(output, self.spread), cell]

    def decrypt(self, encrypted: list[Any]) -> np.ndarray:
        """h' and c' [1, 64]."""
        slots = [self.machine.decrypt(ciphertext)[: self.hidden] for ciphertext in encrypted]
        return np.concatenate(slots)[None]


class BatchStep(Contender):
    """One ciphertext for each input and state; a sequence in each slot; no rotation at all."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context and keys; scalar weights need no encoding."""
        defaults = {"ring": 16384, "depth": 6, "scale_bits": 35, "first_bits": 44, "digits": 3}
        self.machine = machine = Machine(Setting.of(options, radix=2, **defaults))
        self.batch = machine.slots
        self.state = {name: rows(case[name], self.batch) for name in "xhc"}
        linear, cubic = case["cell_coefficients"][[1, 3]]
        self.weights = StepWeights(case, output_scale=cubic)
        self.ratio = float(linear / cubic)
        self.matrix = np.hstack([self.weights.input, self.weights.recurrent]).tolist()
        sample = machine.encrypt(self.state["x"][:, 0])
        size = ciphertext_bytes([sample])
        count = sum(values.shape[1] for values in self.state.values())
        left = 2 * 8 * machine.setting.ring  # bytes of a ciphertext for each prime it keeps
        return {
            **machine.facts(),
            "layout": "one ciphertext per feature",
            "upload_bytes": count * size,
            "response_bytes": self.weights.hidden * left * 4,  # h' keeps 1 prime, c' 3
        }

    def encrypt(self) -> dict[str, list[Any]]:
        """A ciphertext for each column of x, h and c."""
        return {
            name: [self.machine.encrypt(column) for column in values.T]
            for name, values in self.state.items()
        }

    def evaluate(self, encrypted: dict[str, list[Any]]) -> list[Any]:
        """h' and c', one unit after another."""
        inputs = encrypted["x"] + encrypted["h"]
        units = [self._unit(j, inputs, c) for j, c in enumerate(encrypted["c"])]
        return [unit[0] for unit in units] + [unit[1] for unit in units]

    def _unit(self, unit: int, inputs: list[Any], c: Any) -> tuple[Any, Any]:
        machine, weights = self.machine, self.weights
        gates = []
        for row in range(unit, len(self.matrix), weights.hidden):
            y = machine.context.EvalLinearWSum(inputs, self.matrix[row])  # rescales too
            y = machine.context.EvalAdd(y, float(weights.bias[row]))
            inner, constant = float(weights.inner[row]), float(weights.constant[row])
            gates.append(gate(machine, y, inner, constant))
        i, f, g, o = gates
        cell = cell_state(machine, f, c, i, g)
        return output_state(machine, o, cell, self.ratio), cell

    def decrypt(self, encrypted: list[Any]) -> np.ndarray:
        """h' and c' [batch, 64]."""
        return np.stack([self.machine.decrypt(ciphertext) for ciphertext in encrypted], axis=1)
