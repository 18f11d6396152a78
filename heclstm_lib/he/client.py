"""The hospital: holds the secret key, encrypts sequences, decrypts scores."""

from __future__ import annotations

from pathlib import Path

from heclstm_lib.errors import WireError
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.layout_io import decode_outputs, encode_inputs
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Signature
from heclstm_lib.he.refresh import load_at, refresh_header
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
        header = self._header("request", self.signature.inputs.count)
        header |= {"sequences": len(frames)}
        inputs = encode_inputs(self.signature, frames)
        return write_message(path, header, (self._keys.encrypt(slots) for slots in inputs))

    def refresh(self, message: Path, reply: Path) -> int:
        """Re-encrypt the masked state of a message into a reply file; the reply's size in bytes.

        What is decrypted on the way is hidden under the server's mask and leaves this object only
        encrypted. Answer only a server that follows the protocol: whatever it sends comes back
        freshly encrypted (`he.refresh`). Raises WireError for a message that does not fit.
        """
        signature, refreshes = self.signature, self.signature.refreshes
        header = read_header(message, "refresh", signature.digest, chunks=1)
        number = header.get("number")
        if not isinstance(number, int) or not 0 <= number < len(refreshes):
            raise WireError(
                f"{message.name}: refresh number {number!r}, the plan has {len(refreshes)}. "
                "Client and server must hold the same plan."
            )
        wanted, context = refreshes[number], load_context(signature.params)
        data = next(iter_chunks(message))
        masked = load_at(data, wanted.sent_level, wanted.scale, context)
        fresh = self._keys.reencrypt(masked, wanted.level)
        answer = refresh_header("refreshed", signature.digest, number)
        return write_message(reply, answer, [fresh])

    def decrypt_outputs(self, path: Path) -> Vector:
        """Outputs [n, K] from a response file. A CKKS decryption must not leave its key holder."""
        signature = self.signature
        header = read_header(path, "response", signature.digest, len(signature.outputs.places))
        count = read_count(header, path, signature.layout.sequences)
        context = load_context(signature.params)
        results = [
            self._keys.decrypt(from_bytes("Ciphertext", data, context))
            for data in iter_chunks(path)
        ]
        return decode_outputs(signature, results, count)

    def decrypt_scores(self, path: Path) -> Vector:
        """Scores [n] from the response of a plan with one output a sequence."""
        return self.decrypt_outputs(path)[:, 0]

    def _header(self, kind: str, chunks: int) -> dict[str, object]:
        return {
            "kind": kind,
            "plan": self.signature.digest,
            "tenseal": TENSEAL_VERSION,
            "chunks": chunks,
        }
