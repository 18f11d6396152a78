"""The hospital: holds the secret key, encrypts sequences, decrypts scores."""

from __future__ import annotations

from pathlib import Path

from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.layout_io import decode_scores, encode_taps
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Signature
from heclstm_lib.he.seal import TENSEAL_VERSION, from_bytes, load_context
from heclstm_lib.he.wire import iter_chunks, read_count, read_header, write_message


class Client:
    """One hospital's side of a plan; it knows the plan's signature, not the model's weights."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._keys = SecretKeys(signature.params)

    def __repr__(self) -> str:
        return f"Client(plan {self.signature.digest[:12]}, {self._keys!r})"

    def write_public_bundle(self, path: Path) -> int:
        """Write what the server may hold (public, relinearisation, Galois keys); size in bytes."""
        rotations = self.signature.rotations
        header = self._header("public", 2 + len(rotations))
        return write_message(path, header, self._keys.evaluation_keys(rotations))

    def encrypt_batch(self, frames: Vector, path: Path) -> int:
        """Encrypt normalised frames [n, T, C, H, W] into a request file; size in bytes."""
        header = self._header("request", self.signature.inputs.taps) | {"sequences": len(frames)}
        taps = encode_taps(self.signature, frames)
        return write_message(path, header, (self._keys.encrypt(tap) for tap in taps))

    def decrypt_scores(self, path: Path) -> Vector:
        """Scores [n] from a response file. A CKKS decryption must not leave its key holder."""
        layout = self.signature.layout
        header = read_header(path, "response", self.signature.digest, chunks=1)
        count = read_count(header, path, layout.sequences)
        data = next(iter_chunks(path))
        ciphertext = from_bytes("Ciphertext", data, load_context(self.signature.params))
        return decode_scores(layout, self._keys.decrypt(ciphertext), count)

    def _header(self, kind: str, chunks: int) -> dict[str, object]:
        return {
            "kind": kind,
            "plan": self.signature.digest,
            "tenseal": TENSEAL_VERSION,
            "chunks": chunks,
        }
