"""The honest-but-curious server: holds a plan and public keys, computes on ciphertexts.

It cannot import the secret key's type; a test and an import contract hold that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heclstm_lib.errors import WireError
from heclstm_lib.he.backend import execute
from heclstm_lib.he.encoded import EncodedPlaintexts
from heclstm_lib.he.flooding import Flooder
from heclstm_lib.he.header import message_header, read_ids, shared_terms
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.refresh import Ask, OnOp, Refresher
from heclstm_lib.he.seal import (
    Context,
    SealBackend,
    from_bytes,
    load_context,
    rotation_element,
    to_bytes,
)
from heclstm_lib.he.wire import (
    iter_chunks,
    message_checksum,
    read_count,
    read_header,
    write_message,
)


class Server:
    """Evaluates a plan for one registered public bundle; loads keys and encodes the model once."""

    def __init__(
        self,
        plan: Plan,
        bundle: Path,
        cache: Path | None = None,
        flood_bits: int | None = None,
    ) -> None:
        """Load the keys; `cache` is a folder for the encoded model (default: only in memory).

        `flood_bits` hides the model in the results (`he.flooding`): 0 adds a fresh encryption of
        zero, more also noise of so many bits; None leaves results as they are, the same bytes for
        the same request. Raises WireError for another plan's bundle, PlanError for too many bits.
        """
        self.plan = plan
        self._context = load_context(plan.params)
        steps = plan.rotations
        read_header(bundle, "public", plan.digest, 2 + len(steps), shared_terms(plan))
        chunks = iter_chunks(bundle)
        self.public_key = from_bytes("PublicKey", next(chunks), self._context)
        relin = from_bytes("RelinKeys", next(chunks), self._context)
        galois = {
            step: load_galois_key(chunk, step, self._context)
            for step, chunk in zip(steps, chunks, strict=True)
        }
        self._flood: Flooder | None = None
        if flood_bits is not None:
            self._flood = Flooder(plan, self._context, self.public_key, flood_bits)
        encoded = EncodedPlaintexts(self._context, cache)
        self._backend = SealBackend(self._context, relin, galois, encoded)
        self._backend.encode_plan(plan)

    def __repr__(self) -> str:
        return f"Server(plan {self.plan.digest[:12]}, {len(self.plan.rotations)} Galois keys)"

    def evaluate(
        self, request: Path, response: Path, on_op: OnOp | None = None, ask: Ask | None = None
    ) -> int:
        """Evaluate a request file into a response file; return the response's size in bytes.

        `on_op` sees every operation as it ends. A plan with refreshes needs `ask`, which takes a
        message file to the client and returns the file of its reply. Raises WireError for a
        request of another plan, a wrong number of ciphertexts, or ciphertexts not at the top
        level and working scale, PlanError for a refresh without `ask`.
        """
        ids = read_request_ids(request, self.plan)
        chunks = iter_chunks(request)
        backend = self._backend
        if ask is not None:
            see = on_op or (lambda _op, _value: None)
            backend = backend.refreshed_by(
                Refresher(self.plan, self._context, self.public_key, response, ask, see)
            )
        results = execute(
            self.plan,
            backend,
            lambda number: load_fresh(next(chunks), number, self._context),
            on_op,
        )
        if self._flood is not None:
            results = [self._flood(result) for result in results]
        answer = response_header(self.plan, ids, request)
        return write_message(response, answer, map(to_bytes, results))


def load_galois_key(data: bytes, step: int, context: Context) -> Any:
    """The Galois key of a rotation from a bundle's chunk; WireError when it is for another one."""
    key = from_bytes("GaloisKeys", data, context)
    if not key.has_key(rotation_element(step, context.params.poly_degree)):
        raise WireError(
            f"public bundle: the key in the place of rotation {step} is for another one. "
            "Make the bundle anew from this plan's signature."
        )
    return key


def load_fresh(data: bytes, number: int, context: Context) -> Any:
    """Input `number` of a request; WireError unless at the top level and the working scale."""
    ciphertext = from_bytes("Ciphertext", data, context)
    params = context.params
    level, size = ciphertext.coeff_modulus_size() - 1, ciphertext.size()
    if (level, size, ciphertext.scale) != (params.levels, 2, params.scale):
        raise WireError(
            f"input {number}: level {level}, size {size}, scale {ciphertext.scale:.4g}; "
            f"expected level {params.levels}, size 2, scale {params.scale:.4g}. "
            "Encrypt with this plan's signature."
        )
    return ciphertext


def read_request_ids(request: Path, plan: Plan) -> list[str]:
    """The ids of a request's sequences, in order; WireError unless it is one for this plan."""
    count = plan.inputs.count
    header = read_header(request, "request", plan.digest, count, shared_terms(plan))
    return read_ids(header, request.name, read_count(header, request, plan.layout.sequences))


def response_header(plan: Plan, ids: list[str], request: Path) -> dict[str, Any]:
    """Header of the response to a request with the sequences called `ids`."""
    more = {"sequences": len(ids), "ids": ids, "request": message_checksum(request)}
    return message_header(plan, "response", len(plan.results), **more)
