"""Secret keys: generated and kept by the client. The server never imports this module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from heclstm_lib.errors import SecretError
from heclstm_lib.files import scratch_file
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters, check_security
from heclstm_lib.he.seal import api, load_context, rotation_element, to_bytes
from heclstm_lib.he.transform import lift


class SealKeys:
    """A secret key over a SEAL context of any scheme: no other module holds one."""

    def __init__(self, seal: Any, stored: bytes | None = None) -> None:
        """Make a new secret key, or take the one that `secret_bytes` gave (SecretError if not)."""
        given = () if stored is None else (_load_secret(stored, seal),)
        self._generator = api.KeyGenerator(seal, *given)
        secret = self._generator.secret_key()
        self._decryptor = api.Decryptor(seal, secret)
        self._encryptor = api.Encryptor(seal, secret)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(secret hidden)"

    def secret_bytes(self) -> bytes:
        """The secret key itself, serialised, for `he.secret_bundle` and nothing else."""
        with scratch_file() as (file, path):
            self._generator.secret_key().save(path)
            return file.read()

    def relinearisation_key(self) -> bytes:
        """A relinearisation key, seeded."""
        return to_bytes(self._generator.create_relin_keys())

    def encrypt_plain(self, plain: Any) -> bytes:
        """A fresh seeded symmetric encryption of a plaintext."""
        return to_bytes(self._encryptor.encrypt_symmetric(plain))

    def decrypt_plain(self, ciphertext: Any) -> Any:
        """The plaintext of a ciphertext."""
        plain = api.Plaintext()
        self._decryptor.decrypt(ciphertext, plain)
        return plain

    def noise_budget(self, ciphertext: Any) -> int:
        """Bits of noise that a BFV ciphertext can still take; 0: its numbers are wrong."""
        return int(self._decryptor.invariant_noise_budget(ciphertext))


class SecretKeys(SealKeys):
    """A CKKS secret key with what only its holder can do: encrypt symmetrically, decrypt."""

    def __init__(self, params: CkksParameters, stored: bytes | None = None) -> None:
        """Make a new secret key, or take the one that `secret_bytes` gave.

        Raises SecurityError for parameters below 128-bit security, SecretError for bytes that are
        no secret key of these parameters.
        """
        check_security(params)
        self.params = params
        self._context = load_context(params)
        super().__init__(self._context.seal, stored)
        self._public = api.PublicKey()
        self._generator.create_public_key(self._public)

    def __repr__(self) -> str:
        return (
            f"SecretKeys(N={self.params.poly_degree}, levels={self.params.levels}, secret hidden)"
        )

    def evaluation_keys(self, rotations: tuple[int, ...]) -> Iterator[bytes]:
        """Yield the public key, the relinearisation key, then one Galois key per rotation.

        One at a time and seeded, so that the client holds one key in memory and sends half.
        """
        yield to_bytes(self._public)
        yield self.relinearisation_key()
        for step in rotations:
            element = rotation_element(step, self.params.poly_degree)
            yield to_bytes(self._generator.create_galois_keys([element]))

    def encrypt(self, slots: Vector) -> bytes:
        """A fresh seeded symmetric encryption of slot values [S] at the top level."""
        return self.encrypt_plain(
            self._context.encode(slots, self.params.levels, self.params.scale)
        )

    def reencrypt(self, ciphertext: Any, level: int) -> bytes:
        """A fresh seeded encryption at a level of the very polynomial a ciphertext decrypts to."""
        return self.encrypt_plain(lift(self._context, self.decrypt_plain(ciphertext), level))

    def decrypt(self, ciphertext: Any) -> Vector:
        """Slot values [S] of a ciphertext."""
        return np.asarray(self._context.encoder.decode_double(self.decrypt_plain(ciphertext)))


def _load_secret(stored: bytes, context: Any) -> Any:
    secret = api.SecretKey()
    with scratch_file() as (file, path):
        file.write(stored)
        file.flush()
        try:
            secret.load(context, path)
        except (RuntimeError, ValueError, IndexError) as error:
            raise SecretError(
                f"{len(stored)} bytes are no secret key for the plan's parameters: {error}. Use "
                "the secret bundle made with this plan's signature."
            ) from error
    return secret
