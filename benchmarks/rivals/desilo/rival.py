"""DESILO FHE packed by hand: the small network, one image, and batched per pixel.

The library offers primitives at fixed parameters per depth; every product with a plaintext divides
by a prime on its own, so sums of products cost more here than in SEAL or OpenFHE.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from desilofhe import Engine

sys.path.append(str(Path(__file__).resolve().parents[1]))

from packed_cnn import packed_cnn
from packing import fold_offsets
from protocol import Contender, Refusal, rows, serve, thread_count

DEPTH = 5


class Constant:
    """A plaintext vector, encoded at the level where it is first used and kept."""

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = np.ascontiguousarray(vector, dtype=float)
        self.encoded: dict[int, Any] = {}


class Machine:
    """Keys and operations. `constant`, `encrypt`, ... as packed_cnn describes them.

    hoist: rotations of a fold made together by `rotate_many` (2: none).
    """

    constant = staticmethod(Constant)

    def __init__(self, radix: int) -> None:
        self.radix = radix
        self.engine = Engine(max_level=DEPTH, mode="cpu", thread_count=thread_count())
        self.slots = self.engine.slot_count
        self.secret = self.engine.create_secret_key()
        self.public = self.engine.create_public_key(self.secret)
        self.relin = self.engine.create_relinearization_key(self.secret)
        self.rotation: dict[int, Any] = {}

    def make_rotation_keys(self, single: set[int], folds: list[list[int]]) -> None:
        """Keys for single rotations and for the rotations the folds are split into."""
        steps = set(single)
        for fold in folds:
            for group in self._groups(fold):
                steps |= set(fold_offsets(group).tolist())
        for step in sorted(steps - {0}):
            key = self.engine.create_fixed_rotation_key(self.secret, step)
            self.rotation[step] = key

    def _groups(self, steps: list[int]) -> list[list[int]]:
        if not steps:
            return []
        count = -(-len(steps) // (self.radix.bit_length() - 1))
        return [part.tolist() for part in np.array_split(np.array(steps), count)]

    def facts(self) -> dict[str, Any]:
        """The parameters and sizes to report."""
        return {
            "parameters": {
                "N": 2 * self.slots,
                "levels": DEPTH,
                "security": "128 bits, the vendor's claim; its moduli are not shown",
                "fold_radix": self.radix,
                "library": f"desilofhe {version('desilofhe')}",
                "threads": thread_count(),
            },
            "key_bytes": (len(self.rotation) + 1)
            * len(self.engine.serialize_relinearization_key(self.relin)),
        }

    def encrypt(self, vector: np.ndarray) -> Any:
        """Fresh ciphertext under the public key."""
        return self.engine.encrypt(np.ascontiguousarray(vector, dtype=float), self.public)

    def decrypt(self, ciphertext: Any) -> np.ndarray:
        """All slots."""
        return np.real(np.asarray(self.engine.decrypt(ciphertext, self.secret)))

    def _encoded(self, constant: Constant, level: int) -> Any:
        if level not in constant.encoded:
            constant.encoded[level] = self.engine.encode(constant.vector, level)
        return constant.encoded[level]

    def weighted(self, pairs: list[tuple[Any, Constant]]) -> Any:
        """Sum of ciphertext x constant; the library rescales each product."""
        total = None
        for ciphertext, constant in pairs:
            plaintext = self._encoded(constant, ciphertext.level)
            product = self.engine.multiply(ciphertext, plaintext)
            total = product if total is None else self.engine.add(total, product)
        return total

    def plus(self, ciphertext: Any, constant: Constant) -> Any:
        """Ciphertext + constant."""
        return self.engine.add(ciphertext, self._encoded(constant, ciphertext.level))

    def add(self, a: Any, b: Any) -> Any:
        """Sum of two ciphertexts."""
        return self.engine.add(a, b)

    def square(self, ciphertext: Any) -> Any:
        """Square, relinearised and rescaled."""
        return self.engine.square(ciphertext, self.relin)

    def rotations(self, ciphertext: Any, steps: list[int]) -> list[Any]:
        """Left rotations, hoisted where there is more than one."""
        keys = [self.rotation[step] for step in steps if step]
        if len(keys) > 1:
            rotated = iter(self.engine.rotate_many(ciphertext, keys))
        else:
            rotated = (self.engine.rotate(ciphertext, key) for key in keys)
        return [next(rotated) if step else ciphertext for step in steps]

    def fold(self, ciphertext: Any, steps: list[int]) -> Any:
        """Sum over all subsets of the steps."""
        for group in self._groups(steps):
            total = ciphertext
            for rotated in self.rotations(ciphertext, [s for s in fold_offsets(group) if s]):
                total = self.engine.add(total, rotated)
            ciphertext = total
        return ciphertext


class SingleCnn(Contender):
    """One image through a network packed by hand."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Keys, and one evaluation so that every constant is encoded."""
        self.images = rows(case["images"], 1)
        self.machine = Machine(int(options.get("radix", 4)))
        self.network = packed_cnn(self.machine, case, options)
        self.machine.make_rotation_keys(*self.network.rotation_steps())
        request = self.encrypt()
        response = self.evaluate(request)
        size = self.machine.engine.serialize_ciphertext
        return {
            **self.machine.facts(),
            "layout": f"{options.get('packing', 'tiled')}, {len(request)} upload(s)",
            "upload_bytes": sum(len(size(ciphertext)) for ciphertext in request),
            "response_bytes": len(size(response)),
        }

    def encrypt(self) -> list[Any]:
        """Uploads of the image."""
        return self.network.encrypt(self.images[0])

    def evaluate(self, encrypted: list[Any]) -> Any:
        """Encrypted logits."""
        return self.network.evaluate(encrypted)

    def decrypt(self, encrypted: Any) -> np.ndarray:
        """Logits [1, K]."""
        return self.network.decrypt(encrypted)[None]


class BatchCnn(Contender):
    """An image in each slot, one ciphertext per pixel that a window reads."""

    def setup(self, case: dict[str, np.ndarray], _: dict[str, Any]) -> dict[str, Any]:
        """Keys; scalar weights need no encoding."""
        self.machine = Machine(2)
        self.engine = self.machine.engine
        self.batch = self.machine.slots
        self.case, self.stride = case, int(case["stride"])
        self.images = rows(case["images"], self.batch)[:, 0]
        self.window = case["conv_weight"].shape[-1]
        self.corners = range(0, self.images.shape[-1] - self.window + 1, self.stride)
        self.reach = self.corners[-1] + self.window
        sample = self.engine.serialize_ciphertext(self.machine.encrypt(self.images[:, 0, 0]))
        return {
            **self.machine.facts(),
            "layout": "one ciphertext per pixel",
            "upload_bytes": self.reach**2 * len(sample),
        }

    def encrypt(self) -> list[list[Any]]:
        """A ciphertext for each pixel, by row."""
        return [
            [self.machine.encrypt(self.images[:, y, x]) for x in range(self.reach)]
            for y in range(self.reach)
        ]

    def _linear(self, inputs: list[Any], weights: np.ndarray, bias: float) -> Any:
        # its first weight is the constant term
        return self.engine.weighted_sum(inputs, [float(bias), *weights.tolist()])

    def evaluate(self, encrypted: list[list[Any]]) -> list[Any]:
        """Encrypted logits, one ciphertext each."""
        case, size = self.case, self.window
        windows = [
            [pixel for row in encrypted[y : y + size] for pixel in row[x : x + size]]
            for y in self.corners
            for x in self.corners
        ]
        kernels = case["conv_weight"].reshape(len(case["conv_weight"]), -1)
        square = self.machine.square
        features = [
            square(self._linear(window, kernel, bias))
            for kernel, bias in zip(kernels, case["conv_bias"], strict=True)
            for window in windows
        ]
        first = zip(case["dense1"], case["bias1"], strict=True)
        middle = [square(self._linear(features, row, bias)) for row, bias in first]
        second = zip(case["dense2"], case["bias2"], strict=True)
        return [self._linear(middle, row, bias) for row, bias in second]

    def decrypt(self, encrypted: list[Any]) -> np.ndarray:
        """Logits [batch, K]."""
        return np.stack([self.machine.decrypt(ciphertext) for ciphertext in encrypted], axis=1)


class Desilo(Contender):
    """options: batch (1 or all slots), packing, uploads, radix."""

    def setup(self, case: dict[str, np.ndarray], options: dict[str, Any]) -> dict[str, Any]:
        """Set up the program for this batch."""
        if str(case["kind"]) != "cnn":
            raise Refusal("desilo: only the small network is written.")
        self.program = BatchCnn() if int(options.get("batch", 1)) > 1 else SingleCnn()
        facts = self.program.setup(case, options)
        self.batch = self.program.batch
        return facts

    def encrypt(self) -> Any:
        """The program's request."""
        return self.program.encrypt()

    def evaluate(self, encrypted: Any) -> Any:
        """The program's evaluation."""
        return self.program.evaluate(encrypted)

    def decrypt(self, encrypted: Any) -> np.ndarray:
        """The program's outputs."""
        return self.program.decrypt(encrypted)


if __name__ == "__main__":
    serve(Desilo)
