"""SEAL through tenseal.sealapi, as the primitives the packed networks are written in."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tenseal
from protocol import Refusal, thread_count
from tenseal import sealapi as seal

# largest log2(QP) at 128 bits: Bossuat et al., Security Guidelines 2024 (ePrint 2024/463)
MOST_BITS = {8192: 214, 16384: 430, 32768: 868}


@dataclass(frozen=True)
class Setting:
    """Ring and modulus chain [first, scale x depth, special] in bits.

    scales: bits of the scale that fresh ciphertexts (last entry) and products with constants have
    at level 0, 1, ..., depth; scale_bits throughout when it is not given. Where modulus is left, a
    larger scale drowns more of the noise.
    """

    ring: int
    depth: int
    scale_bits: int
    first_bits: int
    special_bits: int
    scales: tuple[int, ...] | None = None

    @classmethod
    def of(cls, options: dict[str, Any], **defaults: Any) -> Setting:
        """The defaults with what the options override."""
        names = cls.__dataclass_fields__
        return cls(**{**defaults, **{k: v for k, v in options.items() if k in names}})

    @property
    def chain(self) -> list[int]:
        """Bits of the primes in SEAL's order."""
        return [self.first_bits, *[self.scale_bits] * self.depth, self.special_bits]

    @property
    def key_bytes(self) -> int:
        """One Galois or relinearisation key: 16 N k (k - 1) with k primes."""
        return 16 * self.ring * len(self.chain) * (len(self.chain) - 1)


class Constant:
    """A plaintext vector, encoded at the level and scale where it is first used and kept."""

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = np.asarray(vector, dtype=float).tolist()
        self.encoded: dict[tuple[int, float], Any] = {}


class Machine:
    """Keys and operations. `constant`, `encrypt`, ... as packed_cnn describes them.

    Constants of products are encoded at the prime about to be dropped, corrected by the
    ciphertext's scale, so that every product lands on the scale exactly.
    """

    constant = staticmethod(Constant)

    def __init__(self, setting: Setting) -> None:
        self.setting, self.slots = setting, setting.ring // 2
        if sum(setting.chain) > MOST_BITS[setting.ring]:
            raise Refusal(
                f"log2(QP) = {sum(setting.chain)} exceeds {MOST_BITS[setting.ring]} bits, "
                f"the 2024 table's limit for N = {setting.ring}."
            )
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(setting.ring)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(setting.ring, setting.chain))
        self.context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        bits = setting.scales or [setting.scale_bits] * (setting.depth + 1)
        self.scales = [2.0**b for b in bits]
        self.primes, self.ids = {}, {}
        data = self.context.first_context_data()
        while data:
            level = data.chain_index()
            self.ids[level] = data.parms_id()
            self.primes[level] = float(data.parms().coeff_modulus()[-1].value())
            data = data.next_context_data()
        self.encoder = seal.CKKSEncoder(self.context)
        self.evaluator = seal.Evaluator(self.context)
        self.generator = seal.KeyGenerator(self.context)
        public = seal.PublicKey()
        self.generator.create_public_key(public)
        self.relin = seal.RelinKeys()
        self.generator.create_relin_keys(self.relin)
        self.encryptor = seal.Encryptor(self.context, public)
        self.decryptor = seal.Decryptor(self.context, self.generator.secret_key())
        self.key_count = 1

    def make_rotation_keys(self, single: set[int], folds: list[list[int]]) -> None:
        """Galois keys for exactly these rotations."""
        steps = {*single, *(step for fold in folds for step in fold)} - {0}
        self.galois = seal.GaloisKeys()
        elements = sorted({self._element(step) for step in steps})
        self.generator.create_galois_keys(elements, self.galois)
        self.key_count += len(elements)

    def _element(self, step: int) -> int:
        return pow(3, step % self.slots, 2 * self.setting.ring)

    def facts(self) -> dict[str, Any]:
        """The parameters and sizes to report."""
        return {
            "parameters": {
                "N": self.setting.ring,
                "log2_QP": sum(self.setting.chain),
                "levels": self.setting.depth,
                "scale_bits": self.setting.scales or self.setting.scale_bits,
                "library": f"tenseal.sealapi {tenseal.__version__}",
                "threads": thread_count(),
            },
            "key_bytes": self.key_count * self.setting.key_bytes,
        }

    def _level(self, ciphertext: Any) -> int:
        return ciphertext.coeff_modulus_size() - 1

    def _encoded(self, constant: Constant, level: int, scale: float) -> Any:
        key = level, scale
        if key not in constant.encoded:
            plaintext = seal.Plaintext()
            self.encoder.encode(constant.vector, self.ids[level], scale, plaintext)
            constant.encoded[key] = plaintext
        return constant.encoded[key]

    def encrypt(self, vector: np.ndarray) -> Any:
        """Fresh ciphertext under the public key."""
        plaintext, ciphertext = seal.Plaintext(), seal.Ciphertext()
        values = np.asarray(vector, dtype=float).tolist()
        self.encoder.encode(values, self.scales[-1], plaintext)
        self.encryptor.encrypt(plaintext, ciphertext)
        return ciphertext

    def decrypt(self, ciphertext: Any) -> np.ndarray:
        """All slots."""
        plaintext = seal.Plaintext()
        self.decryptor.decrypt(ciphertext, plaintext)
        return np.array(self.encoder.decode_double(plaintext))

    def weighted(self, pairs: list[tuple[Any, Constant]]) -> Any:
        """Sum of ciphertext x constant, rescaled once, at the level's scale."""
        total = None
        for ciphertext, constant in pairs:
            level = self._level(ciphertext)
            target = self.scales[level - 1]
            scale = self.primes[level] * (target / ciphertext.scale)
            product = seal.Ciphertext()
            plaintext = self._encoded(constant, level, scale)
            self.evaluator.multiply_plain(ciphertext, plaintext, product)
            if total is None:
                total = product
            else:
                self.evaluator.add_inplace(total, product)
        self.evaluator.rescale_to_next_inplace(total)
        total.scale = target  # the same number up to the last bit of a double
        return total

    def plus(self, ciphertext: Any, constant: Constant) -> Any:
        """Ciphertext + constant, in place."""
        plaintext = self._encoded(constant, self._level(ciphertext), ciphertext.scale)
        self.evaluator.add_plain_inplace(ciphertext, plaintext)
        return ciphertext

    def add(self, a: Any, b: Any) -> Any:
        """Sum of two ciphertexts, in place of the first."""
        self.evaluator.add_inplace(a, b)
        return a

    def square(self, ciphertext: Any) -> Any:
        """Square, relinearised and rescaled."""
        result = seal.Ciphertext()
        self.evaluator.square(ciphertext, result)
        self.evaluator.relinearize_inplace(result, self.relin)
        self.evaluator.rescale_to_next_inplace(result)
        return result

    def rotations(self, ciphertext: Any, steps: list[int]) -> list[Any]:
        """Left rotations, one after another: SEAL has no hoisting."""
        results = []
        for step in steps:
            result = ciphertext
            if step:
                result = seal.Ciphertext()
                element = self._element(step)
                self.evaluator.apply_galois(ciphertext, element, self.galois, result)
            results.append(result)
        return results

    def fold(self, ciphertext: Any, steps: list[int]) -> Any:
        """Sum over all subsets of the steps."""
        for step in steps:
            rotated = self.rotations(ciphertext, [step])[0]
            self.evaluator.add_inplace(ciphertext, rotated)
        return ciphertext


def ciphertext_bytes(ciphertexts: list[Any]) -> int:
    """Size on the wire in SEAL's serialisation (compressed)."""
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ciphertext"
        for ciphertext in ciphertexts:
            ciphertext.save(str(path))
            total += path.stat().st_size
    return total
