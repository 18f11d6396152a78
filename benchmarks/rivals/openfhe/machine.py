"""OpenFHE's CKKS at one setting, as the primitives the packed networks are written in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import openfhe as fhe
from packing import fold_offsets
from protocol import Refusal, thread_count

# largest log2(QP) at 128 bits: Bossuat et al., Security Guidelines 2024 (ePrint 2024/463)
MOST_BITS = {8192: 214, 16384: 430, 32768: 868}
SPECIAL_BITS = 60  # OpenFHE's primes of P


@dataclass(frozen=True)
class Setting:
    """Ring, multiplicative depth, bits of the scale and of the last prime, digits of hybrid keys.

    radix: rotations of a fold that share one decomposition and one division by P (2 = plain).
    """

    ring: int
    depth: int
    scale_bits: int
    first_bits: int
    digits: int
    radix: int
    scaling: str = "FIXEDMANUAL"

    @classmethod
    def of(cls, options: dict[str, Any], **defaults: Any) -> Setting:
        """The defaults with what the options override."""
        names = cls.__dataclass_fields__
        return cls(**{**defaults, **{k: v for k, v in options.items() if k in names}})

    @property
    def modulus_bits(self) -> tuple[float, int]:
        """log2 Q and log2 P as OpenFHE chooses them: P covers the largest digit."""
        primes = [self.first_bits] + [self.scale_bits] * self.depth
        size = -(-len(primes) // self.digits)
        largest = max(sum(primes[i : i + size]) for i in range(0, len(primes), size))
        return sum(primes), SPECIAL_BITS * -(-largest // SPECIAL_BITS)

    @property
    def key_bytes(self) -> int:
        """One evaluation key: a pair of polynomials modulo QP for each digit."""
        special = self.modulus_bits[1] // SPECIAL_BITS
        return self.digits * 2 * (self.depth + 1 + special) * self.ring * 8


class Constant:
    """A plaintext vector, encoded at the level where it is first used and kept."""

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = np.ascontiguousarray(vector, dtype=np.float64)
        self.encoded: dict[int, Any] = {}

    def at(self, context: Any, level: int) -> Any:
        """The plaintext with the primes of that level."""
        if level not in self.encoded:
            self.encoded[level] = context.MakeCKKSPackedPlaintext(self.vector, 1, level)
        return self.encoded[level]


class Machine:
    """Keys and operations. `constant`, `encrypt`, ... as packed_cnn describes them."""

    constant = staticmethod(Constant)

    def __init__(self, setting: Setting) -> None:
        self.setting, self.slots = setting, setting.ring // 2
        if sum(setting.modulus_bits) > MOST_BITS[setting.ring]:
            raise Refusal(
                f"log2(QP) = {sum(setting.modulus_bits)} exceeds {MOST_BITS[setting.ring]} bits, "
                f"the 2024 table's limit for N = {setting.ring}."
            )
        parameters = fhe.CCParamsCKKSRNS()
        parameters.SetSecurityLevel(fhe.HEStd_128_classic)
        parameters.SetSecretKeyDist(fhe.UNIFORM_TERNARY)
        parameters.SetRingDim(setting.ring)
        parameters.SetBatchSize(self.slots)
        parameters.SetMultiplicativeDepth(setting.depth)
        parameters.SetScalingModSize(setting.scale_bits)
        parameters.SetFirstModSize(setting.first_bits)
        parameters.SetScalingTechnique(getattr(fhe, setting.scaling))
        parameters.SetKeySwitchTechnique(fhe.HYBRID)
        parameters.SetNumLargeDigits(setting.digits)
        self.context = context = fhe.GenCryptoContext(parameters)
        for feature in (fhe.PKE, fhe.KEYSWITCH, fhe.LEVELEDSHE, fhe.ADVANCEDSHE):
            context.Enable(feature)
        self.keys = context.KeyGen()
        context.EvalMultKeyGen(self.keys.secretKey)
        self.key_count = 1

    def make_rotation_keys(self, single: set[int], folds: list[list[int]]) -> None:
        """Keys for single rotations and for the rotations the folds are split into."""
        steps = set(single)
        for fold in folds:
            for group in self._groups(fold):
                steps |= set(fold_offsets(group).tolist())
        steps -= {0}
        if steps:
            self.context.EvalRotateKeyGen(self.keys.secretKey, sorted(steps))
        self.key_count += len(steps)

    def _groups(self, steps: list[int]) -> list[list[int]]:
        """Fold steps taken together, log2(radix) at a time, as even as possible."""
        if not steps:
            return []
        per_group = self.setting.radix.bit_length() - 1
        count = -(-len(steps) // per_group)
        return [part.tolist() for part in np.array_split(np.array(steps), count)]

    def facts(self) -> dict[str, Any]:
        """The parameters and sizes to report."""
        q_bits, p_bits = self.setting.modulus_bits
        return {
            "parameters": {
                "N": self.setting.ring,
                "log2_QP": q_bits + p_bits,
                "levels": self.setting.depth,
                "scale_bits": self.setting.scale_bits,
                "dnum": self.setting.digits,
                "fold_radix": self.setting.radix,
                "scaling": self.setting.scaling,
                "library": f"openfhe {version('openfhe')}",
                "threads": thread_count(),
            },
            "key_bytes": self.key_count * self.setting.key_bytes,
        }

    def encrypt(self, vector: np.ndarray) -> Any:
        """Fresh ciphertext under the public key."""
        plaintext = self.context.MakeCKKSPackedPlaintext(np.ascontiguousarray(vector, dtype=float))
        return self.context.Encrypt(self.keys.publicKey, plaintext)

    def decrypt(self, ciphertext: Any) -> np.ndarray:
        """All slots."""
        plaintext = self.context.Decrypt(ciphertext, self.keys.secretKey)
        plaintext.SetLength(self.slots)
        return np.asarray(plaintext.GetRealPackedValue())

    def weighted(self, pairs: list[tuple[Any, Constant]]) -> Any:
        """Sum of ciphertext x constant, rescaled once."""
        total = None
        for ciphertext, constant in pairs:
            plaintext = constant.at(self.context, ciphertext.GetLevel())
            product = self.context.EvalMult(ciphertext, plaintext)
            if total is None:
                total = product
            else:
                self.context.EvalAddInPlace(total, product)
        self.context.RescaleInPlace(total)
        return total

    def plus(self, ciphertext: Any, constant: Constant) -> Any:
        """Ciphertext + constant."""
        return self.context.EvalAdd(ciphertext, constant.at(self.context, ciphertext.GetLevel()))

    def add(self, a: Any, b: Any) -> Any:
        """Sum of two ciphertexts."""
        return self.context.EvalAdd(a, b)

    def square(self, ciphertext: Any) -> Any:
        """Square, relinearised and rescaled."""
        return self.rescaled(self.context.EvalSquare(ciphertext))

    def multiply(self, a: Any, b: Any) -> Any:
        """Product, relinearised and rescaled."""
        return self.rescaled(self.context.EvalMult(a, b))

    def rescaled(self, ciphertext: Any) -> Any:
        """The same ciphertext, rescaled in place."""
        self.context.RescaleInPlace(ciphertext)
        return ciphertext

    def rotations(self, ciphertext: Any, steps: list[int]) -> list[Any]:
        """Left rotations; the decomposition is shared (hoisting) where there is more than one."""
        if sum(step != 0 for step in steps) < 2:
            return [self.context.EvalRotate(ciphertext, s) if s else ciphertext for s in steps]
        digits = self.context.EvalFastRotationPrecompute(ciphertext)
        order = 2 * self.setting.ring
        return [
            self.context.EvalFastRotation(ciphertext, s, order, digits) if s else ciphertext
            for s in steps
        ]

    def fold(self, ciphertext: Any, steps: list[int]) -> Any:
        """Sum over all subsets of the steps; within a group the sum is taken modulo QP."""
        context = self.context
        for group in self._groups(steps):
            offsets = [int(s) for s in fold_offsets(group) if s]
            if len(offsets) == 1:
                ciphertext = context.EvalAdd(ciphertext, context.EvalRotate(ciphertext, offsets[0]))
                continue
            digits = context.EvalFastRotationPrecompute(ciphertext)
            total = context.EvalFastRotationExt(ciphertext, offsets[0], digits, True)
            for step in offsets[1:]:
                rotated = context.EvalFastRotationExt(ciphertext, step, digits, True)
                context.EvalAddInPlaceNoCheck(total, rotated)
            ciphertext = context.EvalAdd(ciphertext, context.KeySwitchDown(total))
        return ciphertext


def ciphertext_bytes(ciphertexts: list[Any]) -> int:
    """Size on the wire in OpenFHE's binary serialisation."""
    return sum(len(fhe.Serialize(ciphertext, fhe.BINARY)) for ciphertext in ciphertexts)
