"""The small convolutional network packed by hand, written once for every library's primitives.

A machine offers: slots, constant(vector), encrypt, decrypt, weighted(pairs) (sum of ciphertext x
constant, rescaled), plus(ciphertext, constant), add, square (relinearised, rescaled),
rotations(ciphertext, steps) (hoisted where the library can) and fold(ciphertext, steps).
Five levels: convolution, square, first matrix, square, second matrix.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from packing import cover, diagonals, patches, powers
from protocol import Refusal
from stacked_cnn import StackedCnn


class Diagonals:
    """A matrix as baby-step giant-step diagonals: input of period K, output of period max(R, K)
    or, after the fold where K > R, of period R."""

    def __init__(self, machine: Any, matrix: np.ndarray) -> None:
        height, width = matrix.shape
        count = min(height, width)
        self.machine = machine
        self.baby = 1 << ((count.bit_length() - 1 + 1) // 2)  # hoisted steps are the cheaper ones
        plaintexts = diagonals(matrix, self.baby, machine.slots)
        self.constants = [[machine.constant(p) for p in group] for group in plaintexts]
        self.folds = powers(width // height, height) if width > height else []

    @property
    def steps(self) -> set[int]:
        """Single rotations it uses."""
        giants = {index * self.baby for index in range(len(self.constants))}
        return giants | set(range(self.baby))

    def apply(self, x: Any) -> Any:
        """matrix @ x."""
        copies = self.machine.rotations(x, list(range(self.baby)))
        total = None
        for index, group in enumerate(self.constants):
            part = self.machine.weighted(list(zip(copies, group, strict=True)))
            part = self.machine.rotations(part, [index * self.baby])[0]
            total = part if total is None else self.machine.add(total, part)
        return self.machine.fold(total, self.folds) if self.folds else total


class BsgsCnn:
    """Image windows in `uploads` ciphertexts, the 256 conv features repeated over all slots, and
    both matrices by baby-step giant-step diagonals: what the literature calls hand-packed.

    Each upload holds 2^k of the 25 window places side by side, so k rotations finish the
    convolution.
    """

    def __init__(self, machine: Any, case: dict[str, np.ndarray], uploads: int = 1) -> None:
        self.machine, self.uploads = machine, uploads
        weight = case["conv_weight"]
        self.size, self.stride = weight.shape[-1], int(case["stride"])
        self.channels = len(weight)
        self.features = case["dense1"].shape[1]
        self.taps = 1 << (math.ceil(self.size**2 / uploads) - 1).bit_length()
        self.uploads = math.ceil(self.size**2 / self.taps)  # none of them empty
        if self.taps * self.features > machine.slots:
            raise Refusal(f"{uploads} upload(s) do not hold {self.size**2} window places.")
        self.conv_fold = powers(self.taps, self.features)
        self._convolution(weight.reshape(self.channels, -1), case["conv_bias"])
        self._matrices(case)

    def _convolution(self, weight: np.ndarray, bias: np.ndarray) -> None:
        positions = self.features // self.channels
        kernels = np.zeros((self.uploads * self.taps, self.features))
        kernels[: weight.shape[1]] = np.repeat(weight.T, positions, axis=1)
        kernels = kernels.reshape(self.uploads, -1)
        self.kernels = [self.machine.constant(self._repeated(kernel)) for kernel in kernels]
        self.conv_bias = self.machine.constant(self._repeated(np.repeat(bias, positions)))

    def _matrices(self, case: dict[str, np.ndarray]) -> None:
        second = case["dense2"]
        self.output_count = len(second)
        padded = np.zeros((1 << (len(second) - 1).bit_length(), second.shape[1]))
        padded[: len(second)] = second
        self.first = Diagonals(self.machine, case["dense1"])
        self.second = Diagonals(self.machine, padded)
        bias = np.zeros(len(padded))
        bias[: len(second)] = case["bias2"]
        self.first_bias = self.machine.constant(self._repeated(case["bias1"]))
        self.second_bias = self.machine.constant(self._repeated(bias))

    def _repeated(self, values: np.ndarray) -> np.ndarray:
        return np.tile(values, self.machine.slots // len(values))

    def rotation_steps(self) -> tuple[set[int], list[list[int]]]:
        """Single rotations, and the folds, which a machine may split as it likes."""
        folds = [self.conv_fold, self.first.folds, self.second.folds]
        return self.first.steps | self.second.steps, folds

    def encrypt(self, image: np.ndarray) -> list[Any]:
        """Uploads of one image [1, H, W]: the window places of each, repeated for each channel."""
        windows = patches(image[None], self.size, self.stride)[0]  # [25, positions]
        padded = np.zeros((self.uploads * self.taps, windows.shape[1]))
        padded[: len(windows)] = windows
        values = np.tile(padded, (1, self.channels)).reshape(self.uploads, -1)
        return [self.machine.encrypt(self._repeated(value)) for value in values]

    def features_of(self, uploads: list[Any]) -> Any:
        """Squared convolution of the uploads, of period 256."""
        machine = self.machine
        x = machine.weighted(list(zip(uploads, self.kernels, strict=True)))
        x = machine.fold(x, self.conv_fold) if self.conv_fold else x
        return machine.square(machine.plus(x, self.conv_bias))

    def evaluate(self, uploads: list[Any]) -> Any:
        """Encrypted logits."""
        machine = self.machine
        x = self.first.apply(self.features_of(uploads))
        x = machine.square(machine.plus(x, self.first_bias))
        return machine.plus(self.second.apply(x), self.second_bias)

    def decrypt(self, response: Any) -> np.ndarray:
        """Logits [K]."""
        return self.machine.decrypt(response)[: self.output_count]


class TiledCnn(BsgsCnn):
    """The same uploads; the first matrix uses the shifted copies that the repetition offers.

    In tiles 257 slots apart an input of period 256 appears shifted by one more each, so one
    product does the work of 31 diagonals, and one fold over the tiles that of the giant steps.
    Its output is clean in slots 0..63 only, which the masks of the second matrix respect.
    """

    def _matrices(self, case: dict[str, np.ndarray]) -> None:
        first, second = case["dense1"], case["dense2"]
        machine, blocks = self.machine, self.machine.slots // self.features
        places = np.arange(machine.slots) % self.features
        inner = powers(self.features // len(first), len(first))
        self.first_fold = powers(blocks, self.features + 1) + inner
        # the fold wraps around over a few slots of one tile, so tiles - 1 diagonals a product count
        self.first_shifts = list(range(0, len(first), blocks - 1))
        plaintexts = cover(first, places, self.first_shifts, self.first_fold)
        self.first_plain = [machine.constant(p) for p in plaintexts]
        self.first_bias = machine.constant(self._padded(case["bias1"]))
        self._second(second, len(first))
        self.second_bias = machine.constant(self._padded(case["bias2"]))

    def _second(self, matrix: np.ndarray, inputs: int) -> None:
        count = 1 << (len(matrix) - 1).bit_length()  # outputs padded to a power of two
        self.baby = 1 << (count.bit_length() // 2)
        padded = np.zeros((count, inputs))
        padded[: len(matrix)] = matrix
        column = np.arange(inputs)
        self.second_plain = []  # [giant][baby]
        for giant in range(0, count, self.baby):
            group = []
            for baby in range(self.baby):
                plaintext = np.zeros(self.machine.slots)
                place = (column - baby) % self.machine.slots
                plaintext[place] = padded[(column - baby - giant) % count, column]
                group.append(self.machine.constant(plaintext))
            self.second_plain.append(group)
        # outputs lie at -count+1..inputs-1, so the fold starts one block to the left
        self.second_fold = powers(1 << (inputs // count).bit_length(), count)
        self.second_start = -count
        self.output_count = len(matrix)

    def _padded(self, values: np.ndarray) -> np.ndarray:
        vector = np.zeros(self.machine.slots)
        vector[: len(values)] = values
        return vector

    def rotation_steps(self) -> tuple[set[int], list[list[int]]]:
        """Single rotations, and the folds, which a machine may split as it likes."""
        single = {*self.first_shifts, *range(1, self.baby), self.second_start}
        single |= {giant * self.baby for giant in range(len(self.second_plain))}
        return single - {0}, [self.conv_fold, self.first_fold, self.second_fold]

    def evaluate(self, uploads: list[Any]) -> Any:
        """Encrypted logits."""
        machine = self.machine
        copies = machine.rotations(self.features_of(uploads), self.first_shifts)
        x = machine.weighted(list(zip(copies, self.first_plain, strict=True)))
        x = machine.fold(x, self.first_fold)
        x = machine.square(machine.plus(x, self.first_bias))
        copies = machine.rotations(x, list(range(self.baby)))
        total = None
        for index, group in enumerate(self.second_plain):
            part = machine.weighted(list(zip(copies, group, strict=True)))
            part = machine.rotations(part, [index * self.baby])[0]
            total = part if total is None else machine.add(total, part)
        x = machine.rotations(total, [self.second_start])[0]
        x = machine.fold(x, self.second_fold)
        return machine.plus(x, self.second_bias)


def packed_cnn(machine: Any, case: dict[str, np.ndarray], options: dict[str, Any]) -> Any:
    """The packing the options name: "tiled" or "bsgs" (both with "uploads"), or "stacked"."""
    packing = options.get("packing", "tiled")
    if packing == "stacked":
        return StackedCnn(machine, case)
    if packing not in ("tiled", "bsgs"):
        raise Refusal(f'packing {packing!r}: expected "tiled", "bsgs" or "stacked".')
    network = TiledCnn if packing == "tiled" else BsgsCnn
    return network(machine, case, int(options.get("uploads", 1)))
