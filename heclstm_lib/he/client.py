"""The hospital: holds the secret key, encrypts sequences, decrypts scores."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from heclstm_lib.errors import WireError
from heclstm_lib.he.header import (
    check_ids,
    message_header,
    read_ids,
    read_request_checksum,
    shared_terms,
)
from heclstm_lib.he.input_range import check_range, warn_outside
from heclstm_lib.he.keys import SecretKeys
from heclstm_lib.he.layout_io import check_frames, decode_outputs, encode_inputs
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plausible import plausible_limit, warn_implausible
from heclstm_lib.he.refresh import load_at, refresh_header
from heclstm_lib.he.seal import from_bytes, load_context
from heclstm_lib.he.signature import Signature
from heclstm_lib.he.wire import iter_chunks, read_count, read_header, write_message

OnChunk = Callable[[], object]
"""Called after each ciphertext or key that was made, to show progress."""


class Client:
    """One hospital's side of a plan; it knows the plan's signature, not the model's weights."""

    def __init__(self, signature: Signature, keys: SecretKeys | None = None) -> None:
        """Make new keys, or use `keys` (`he.secret_bundle.load_secret`)."""
        self.signature = signature
        self._keys = SecretKeys(signature.params) if keys is None else keys

    def __repr__(self) -> str:
        return f"Client(plan {self.signature.digest[:12]}, {self._keys!r})"

    def write_public_bundle(self, path: Path, on_chunk: OnChunk | None = None) -> int:
        """Write what the server may hold (public, relinearisation, Galois keys); size in bytes."""
        rotations = self.signature.rotations
        header = message_header(self.signature, "public", 2 + len(rotations))
        keys = self._keys.evaluation_keys(rotations)
        return write_message(path, header, _seen(keys, on_chunk))

    def encrypt_batch(
        self,
        frames: Vector,
        path: Path,
        ids: Sequence[str] | None = None,
        on_chunk: OnChunk | None = None,
        names: Sequence[str] | None = None,
    ) -> int:
        """Encrypt normalised frames [n, T, C, H, W] into a request file; size in bytes.

        `ids` name the sequences and cross in clear: give pseudonyms (default: `random_ids`).
        Issues an InputRangeWarning first for frames outside the calibrated range, with the
        client's own `names` of them (default: the ids), which do not cross. Raises DataError
        for frames of another shape or not finite, WireError for ids that are not unique.
        """
        signature = self.signature
        check_frames(signature, frames)
        ids = random_ids(len(frames)) if ids is None else list(ids)
        check_ids(ids, len(frames), path.name)
        warn_outside(check_range(signature, frames), ids if names is None else names)
        more = {"sequences": len(frames), "ids": ids}
        header = message_header(signature, "request", signature.inputs.count, **more)
        inputs = (self._keys.encrypt(slots) for slots in encode_inputs(signature, frames))
        return write_message(path, header, _seen(inputs, on_chunk))

    def refresh(self, message: Path, reply: Path) -> int:
        """Re-encrypt the masked state of a message into a reply file; the reply's size in bytes.

        What is decrypted on the way is hidden under the server's mask and leaves this object only
        encrypted. Answer only a server that follows the protocol: whatever it sends comes back
        freshly encrypted (`he.refresh`). Raises WireError for a message that does not fit.
        """
        signature, refreshes = self.signature, self.signature.refreshes
        header = read_header(message, "refresh", signature.digest, 1, shared_terms(signature))
        number = header.get("number")
        if type(number) is not int or not 0 <= number < len(refreshes):
            raise WireError(
                f"{message.name}: refresh number {number!r}, the plan has {len(refreshes)}. "
                "Client and server must hold the same plan."
            )
        wanted, context = refreshes[number], load_context(signature.params)
        data = next(iter_chunks(message))
        masked = load_at(data, wanted.sent_level, wanted.scale, context)
        fresh = self._keys.reencrypt(masked, wanted.level)
        answer = refresh_header("refreshed", signature, number)
        return write_message(reply, answer, [fresh])

    def read_response(self, path: Path) -> tuple[str, list[str]]:
        """The checksum of the request that a response answers, and the ids of its sequences.

        WireError unless it is a response of this plan.
        """
        signature = self.signature
        chunks = len(signature.outputs.places)
        header = read_header(path, "response", signature.digest, chunks, shared_terms(signature))
        count = read_count(header, path, signature.layout.sequences)
        return read_request_checksum(header, path.name), read_ids(header, path.name, count)

    def decrypt_outputs(self, path: Path) -> Vector:
        """Outputs [n, K] from a response file, in the order of the ids of `read_response`.

        Issues an ImplausibleWarning when they look like noise of another key. A CKKS decryption
        must not leave its key holder.
        """
        signature = self.signature
        count = len(self.read_response(path)[1])
        context = load_context(signature.params)
        ciphertexts = [from_bytes("Ciphertext", data, context) for data in iter_chunks(path)]
        outputs = decode_outputs(signature, map(self._keys.decrypt, ciphertexts), count)
        warn_implausible(outputs, plausible_limit(ciphertexts[0], signature.params))
        return outputs

    def decrypt_scores(self, path: Path) -> Vector:
        """Scores [n] from the response of a plan with one output a sequence."""
        return self.decrypt_outputs(path)[:, 0]


def random_ids(count: int) -> list[str]:
    """Names for `count` sequences that say nothing of them and do not repeat in other requests.

    A response to another request is known by them.
    """
    batch = secrets.token_hex(8)
    return [f"{batch}-{number}" for number in range(count)]


def _seen(chunks: Iterable[bytes], on_chunk: OnChunk | None) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        if on_chunk is not None:
            on_chunk()
