"""The small convolutional network for a full batch in OpenFHE: one ciphertext per pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from machine import Machine, Setting, ciphertext_bytes
from protocol import Contender, rows


class BatchCnn(Contender):
    """An image in each slot (CryptoNets' layout): scalar products and squares, no rotation."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Context and keys; scalar weights need no encoding."""
        defaults = {"ring": 16384, "depth": 5, "scale_bits": 36, "first_bits": 44, "digits": 2}
        self.machine = Machine(Setting.of(options, radix=2, **defaults))
        self.batch = self.machine.slots
        self.case, self.stride = case, int(case["stride"])
        self.images = rows(case["images"], self.batch)[:, 0]
        size, window = self.images.shape[-1], case["conv_weight"].shape[-1]
        self.positions = (size - window) // self.stride + 1
        self.reach = (self.positions - 1) * self.stride + window  # pixels any window reads
        sample = self.machine.encrypt(self.images[:, 0, 0])
        response = len(case["bias2"]) * 2 * 8 * self.machine.setting.ring
        return {
            **self.machine.facts(),
            "layout": "one ciphertext per pixel",
            "upload_bytes": self.reach**2 * ciphertext_bytes([sample]),
            "response_bytes": response,  # logits keep one prime
        }

    def encrypt(self) -> list[list[Any]]:
        """A ciphertext for each pixel that is read, by row."""
        return [
            [self.machine.encrypt(self.images[:, y, x]) for x in range(self.reach)]
            for y in range(self.reach)
        ]

    def _linear(self, inputs: list[Any], weights: np.ndarray, bias: float) -> Any:
        context = self.machine.context
        total = context.EvalLinearWSum(inputs, weights.tolist())  # rescales too
        return context.EvalAdd(total, float(bias))

    def evaluate(self, encrypted: list[list[Any]]) -> list[Any]:
        """Encrypted logits, one ciphertext each."""
        case, machine, size = self.case, self.machine, self.case["conv_weight"].shape[-1]
        corners = range(0, self.positions * self.stride, self.stride)
        windows = [
            [pixel for row in encrypted[y : y + size] for pixel in row[x : x + size]]
            for y in corners
            for x in corners
        ]
        kernels = case["conv_weight"].reshape(len(case["conv_weight"]), -1)
        features = [
            machine.square(self._linear(window, kernel, bias))
            for kernel, bias in zip(kernels, case["conv_bias"], strict=True)
            for window in windows
        ]
        middle = [
            machine.square(self._linear(features, row, bias))
            for row, bias in zip(case["dense1"], case["bias1"], strict=True)
        ]
        return [
            self._linear(middle, row, bias)
            for row, bias in zip(case["dense2"], case["bias2"], strict=True)
        ]

    def decrypt(self, encrypted: list[Any]) -> np.ndarray:
        """Logits [batch, K]."""
        return np.stack([self.machine.decrypt(ciphertext) for ciphertext in encrypted], axis=1)
