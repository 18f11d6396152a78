"""The small convolutional network with one upload for each place of the convolution window."""

from __future__ import annotations

from typing import Any

import numpy as np
from packing import patches, powers
from protocol import Refusal


class StackedCnn:
    """One ciphertext for each of the 25 window places, each value repeated over a tile of 64.

    The convolution and both matrices need no rotation of an input: slot 64 t + r of the squared
    features holds position t mod 64 for row r of the first matrix, so products and one fold over
    the tiles give its outputs with period 64, ready for all rows of the second. (The idea is
    LoLa's, Brutzkus et al. 2019.) Fast on the server; the client encrypts and sends 25 times more.
    """

    def __init__(self, machine: Any, case: dict[str, np.ndarray]) -> None:
        self.machine, self.case = machine, case
        weight = case["conv_weight"]
        self.size, self.stride = weight.shape[-1], int(case["stride"])
        first, second = case["dense1"], case["dense2"]
        self.rows = len(first)
        self.positions = first.shape[1] // len(weight)
        slot = np.arange(machine.slots)
        self.place = slot // self.rows % self.positions
        tiles = machine.slots // (self.rows * self.positions)  # channels side by side
        if tiles < 1 or len(weight) % tiles:
            raise Refusal(f"{machine.slots} slots do not hold whole channels of the features.")
        taps = weight.reshape(len(weight), -1)
        self.kernels, self.conv_bias, self.first = [], [], []
        for start in range(0, len(weight), tiles):
            channel = start + slot // (self.rows * self.positions)
            self.kernels.append(
                [machine.constant(taps[channel, tap]) for tap in range(taps.shape[1])]
            )
            self.conv_bias.append(machine.constant(case["conv_bias"][channel]))
            feature = channel * self.positions + self.place
            self.first.append(machine.constant(first[slot % self.rows, feature]))
        self.first_fold = powers(machine.slots // self.rows, self.rows)
        self.first_bias = machine.constant(case["bias1"][slot % self.rows])
        output = slot // self.rows
        clipped = np.minimum(output, len(second) - 1)
        used = output < len(second)
        self.second = machine.constant(np.where(used, second[clipped, slot % self.rows], 0.0))
        self.second_fold = powers(self.rows)
        head = used & (slot % self.rows == 0)
        self.second_bias = machine.constant(np.where(head, case["bias2"][clipped], 0.0))
        self.heads = np.flatnonzero(head)

    def rotation_steps(self) -> tuple[set[int], list[list[int]]]:
        """Single rotations (none), and the folds."""
        return set(), [self.first_fold, self.second_fold]

    def encrypt(self, image: np.ndarray) -> list[Any]:
        """25 ciphertexts of one image [1, H, W]."""
        windows = patches(image[None], self.size, self.stride)[0]
        return [self.machine.encrypt(values[self.place]) for values in windows]

    def evaluate(self, uploads: list[Any]) -> Any:
        """Encrypted logits."""
        machine = self.machine
        products = []
        for kernels, bias, matrix in zip(self.kernels, self.conv_bias, self.first, strict=True):
            x = machine.weighted(list(zip(uploads, kernels, strict=True)))
            products.append((machine.square(machine.plus(x, bias)), matrix))
        x = machine.fold(machine.weighted(products), self.first_fold)
        x = machine.square(machine.plus(x, self.first_bias))
        x = machine.fold(machine.weighted([(x, self.second)]), self.second_fold)
        return machine.plus(x, self.second_bias)

    def decrypt(self, response: Any) -> np.ndarray:
        """Logits [K]."""
        return self.machine.decrypt(response)[self.heads]
