"""The hospital's side of `he.bfv`: secret keys, encryption and decryption. No server imports it."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from heclstm_lib.errors import DataError, PlanError
from heclstm_lib.he.bfv import bfv_header, load_bfv
from heclstm_lib.he.bfv_params import BfvParameters
from heclstm_lib.he.keys import SealKeys
from heclstm_lib.he.seal import from_bytes
from heclstm_lib.he.wire import iter_chunks, read_count, read_header, write_message
from heclstm_lib.models.integer_cnn import Integers, Whole


class BfvClient:
    """Keys for every plaintext modulus; it knows the parameters, not the model's weights."""

    def __init__(self, params: BfvParameters) -> None:
        self.params = params
        self.contexts = [load_bfv(params, i) for i in range(len(params.plain_moduli))]
        self._keys = [SealKeys(context.seal) for context in self.contexts]

    def __repr__(self) -> str:
        return f"BfvClient(N={self.params.poly_degree}, {len(self.contexts)} moduli, keys hidden)"

    def write_bundle(self, path: Path) -> int:
        """Write the relinearisation keys, one a plaintext modulus; size in bytes."""
        header = bfv_header("public", self.params, len(self._keys))
        return write_message(path, header, (keys.relinearisation_key() for keys in self._keys))

    def encrypt_batch(self, images: Integers, path: Path) -> int:
        """Encrypt whole images [n, C, H, W], n at most N, into a request file; size in bytes.

        A seeded ciphertext a pixel and modulus. Raises DataError for another number of pixels or
        more images than slots.
        """
        pixels = images.reshape(len(images), -1)
        if pixels.shape[1] != self.params.pixels or not 1 <= len(images) <= self.params.poly_degree:
            raise DataError(
                f"BFV: got images of shape {images.shape}, expected 1 to "
                f"{self.params.poly_degree} images of {self.params.pixels} pixels."
            )
        header = bfv_header("bfv request", self.params, len(self.contexts) * pixels.shape[1])
        return write_message(path, header | {"sequences": len(images)}, self._inputs(pixels))

    def _inputs(self, pixels: Integers) -> Any:
        for context, keys in zip(self.contexts, self._keys, strict=True):
            for column in pixels.T:
                yield keys.encrypt_plain(context.encode(column))

    def decrypt_outputs(self, path: Path) -> tuple[Whole, int]:
        """Outputs [n, K] as Python integers, and the least noise budget left, in bits.

        Raises PlanError when a ciphertext has no budget left: its numbers would be wrong.
        """
        moduli, outputs = self.params.plain_moduli, self.params.outputs
        header = read_header(path, "bfv response", self.params.digest, len(moduli) * outputs)
        count = read_count(header, path, self.params.poly_degree)
        chunks, total, budget = iter_chunks(path), prod(moduli), 1 << 30
        values = np.zeros((count, outputs), dtype=object)
        for context, keys in zip(self.contexts, self._keys, strict=True):
            modulus = context.modulus
            factor = total // modulus * pow(total // modulus, -1, modulus)
            for output in range(outputs):
                ciphertext = from_bytes("Ciphertext", next(chunks), context)  # type: ignore[arg-type]
                budget = min(budget, keys.noise_budget(ciphertext))
                plain = keys.decrypt_plain(ciphertext)
                residues = context.encoder.decode_uint64(plain)[:count]
                values[:, output] += np.array([int(r) * factor for r in residues], dtype=object)
        if budget <= 0:
            raise PlanError(
                "BFV: no noise budget is left in a result. Use fewer bits of weights and inputs."
            )
        values %= total
        return np.where(values > total // 2, values - total, values), budget
