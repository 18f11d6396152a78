"""A few ciphertexts to play with: CKKS for students, on the same SEAL backend as the study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heclstm_lib.errors import DepthBudgetExceeded
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op
from heclstm_lib.he.seal import SealBackend, first_coefficients, from_bytes, load_context


@dataclass(frozen=True)
class Encrypted:
    """A ciphertext with its level (rescalings left) and scale, and operators for a notebook."""

    sandbox: Sandbox
    ciphertext: Any
    level: int
    scale: float

    def __repr__(self) -> str:
        bits = np.log2(self.scale)
        return f"Encrypted(level={self.level}, scale=2^{bits:.3f}, values hidden)"

    def __add__(self, other: Encrypted) -> Encrypted:
        return self.sandbox.run("add", self, other, scale=self.scale)

    def __mul__(self, other: Encrypted | Vector) -> Encrypted:
        """Product with a ciphertext or a clear vector [S]; the scales multiply too."""
        if isinstance(other, Encrypted):
            scale = self.scale * other.scale
            product = self.sandbox.run("multiply", self, other, scale=scale)
            return self.sandbox.run("relinearise", product, scale=scale)
        scale = self.scale * self.sandbox.params.scale
        return self.sandbox.run("multiply_plain", self, vector=other, scale=scale)

    def rescale(self) -> Encrypted:
        """Divide the scale by the level's prime and go one level down."""
        if self.level == 0:
            raise DepthBudgetExceeded(
                f"no level is left to rescale (the chain has {self.sandbox.params.levels}). "
                "Start again from a fresh encryption, or choose parameters with more levels."
            )
        scale = self.scale / self.sandbox.params.primes[self.level]
        return self.sandbox.run("rescale", self, scale=scale, level=self.level - 1)

    def rotate(self, step: int) -> Encrypted:
        """Move every slot `step` places to the left; needs that step's Galois key."""
        return self.sandbox.run("rotate", self, scale=self.scale, step=step)

    def coefficients(self) -> Vector:
        """What the server sees of it: the first polynomial modulo the first prime [N]."""
        return first_coefficients(self.ciphertext, self.sandbox.params.poly_degree)


class Sandbox:
    """Client and server in one object, for learning only: it holds the secret key."""

    def __init__(self, params: CkksParameters, rotations: tuple[int, ...] = (1,)) -> None:
        self.params = params
        self._keys = SecretKeys(params)
        self._context = load_context(params)
        _, relin, *galois = self._keys.evaluation_keys(rotations)
        keys = {
            step: from_bytes("GaloisKeys", data, self._context)
            for step, data in zip(rotations, galois, strict=True)
        }
        self._backend = SealBackend(
            self._context, from_bytes("RelinKeys", relin, self._context), keys
        )

    def encrypt(self, values: Vector) -> Encrypted:
        """Encrypt up to S values; the other slots are zero."""
        slots = np.zeros(self.params.slots)
        slots[: len(values)] = values
        data = self._keys.encrypt(slots)
        ciphertext = from_bytes("Ciphertext", data, self._context)
        return Encrypted(self, ciphertext, self.params.levels, self.params.scale)

    def decrypt(self, value: Encrypted, count: int = 8) -> Vector:
        """The first `count` slots."""
        return self._keys.decrypt(value.ciphertext)[:count]

    def run(
        self,
        kind: str,
        *values: Encrypted,
        scale: float,
        level: int | None = None,
        step: int = 0,
        vector: Vector | None = None,
    ) -> Encrypted:
        """Run one operation of the backend; the result keeps its level and scale."""
        level = values[0].level if level is None else level
        args: list[Any] = [value.ciphertext for value in values]
        op = Op(-1, kind, (), "sandbox", level, scale, step=step, constant_scale=self.params.scale)
        if vector is not None:
            slots = np.zeros(self.params.slots)
            slots[: len(vector)] = vector
            self._backend.forget()
            args.append(slots)
        return Encrypted(self, getattr(self._backend, kind)(*args, op), level, scale)
