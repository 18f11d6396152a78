"""A server for one strand: of the public bundle it loads only the keys that its operations need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from heclstm_lib.he.backend import execute
from heclstm_lib.he.encoded import EncodedPlaintexts
from heclstm_lib.he.exchange import Exchange
from heclstm_lib.he.header import shared_terms
from heclstm_lib.he.memory import coefficients, make_ciphertext
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.refresh import OnOp
from heclstm_lib.he.schedule import Strand
from heclstm_lib.he.seal import SealBackend, api, from_bytes, load_context, to_bytes
from heclstm_lib.he.server import load_fresh, load_galois_key, read_request_ids
from heclstm_lib.he.wire import locate_chunks, read_chunk, read_header


class StrandServer:
    """Computes one strand of a plan, in step with the servers of the other strands."""

    def __init__(
        self, plan: Plan, number: int, strand: Strand, bundle: Path, cache: Path | None = None
    ) -> None:
        """Load the keys; `cache` is a folder for the encoded model (default: only in memory)."""
        self.whole, self.number, self.strand = plan, number, strand
        self.plan = strand.plan(plan)
        self._context = load_context(plan.params)
        steps = plan.rotations
        read_header(bundle, "public", plan.digest, 2 + len(steps), shared_terms(plan))
        _, relin, *galois = locate_chunks(bundle)
        kinds = {op.kind for op in strand.ops}
        keys = {
            step: load_galois_key(read_chunk(bundle, place), step, self._context)
            for step, place in zip(steps, galois, strict=True)
            if step in self.plan.rotations
        }
        relin_key = (
            from_bytes("RelinKeys", read_chunk(bundle, relin), self._context)
            if "relinearise" in kinds
            else None
        )
        self._backend = SealBackend(
            self._context, relin_key, keys, EncodedPlaintexts(self._context, cache)
        )
        self._backend.encode_plan(self.plan)

    def evaluate(
        self, request: Path, exchange: Exchange, on_op: OnOp
    ) -> tuple[list[str], dict[int, bytes]]:
        """Ids of the sequences, and the strand's results as bytes by their place in the response.

        `on_op` sees each operation as it ends, and the kinds "wait", "receive" and "send" for
        the values that move. Raises WireError for a request that does not fit, StrandError when
        other strands fail or do not send in time.
        """
        ids = read_request_ids(request, self.whole)
        chunks = locate_chunks(request)
        strand = self.strand
        inputs = [op for op in strand.ops if op.kind == "input"]

        def load_input(number: int) -> Any:
            op = inputs[number]
            if op.index in strand.receives:
                return self._receive(op, exchange, on_op)
            chunk = strand.requests[op.index]
            return load_fresh(read_chunk(request, chunks[chunk]), chunk, self._context)

        def finish(op: Op, result: Any) -> None:
            exchange.check()
            if op.index in strand.receives:
                return
            on_op(op, result)
            if op.index in strand.sends:
                value, readers = strand.values[op.index], strand.sends[op.index]
                exchange.send(value, coefficients(result), readers)
                on_op(replace(op, kind="send", args=()), result)

        results = execute(self.plan, self._backend, load_input, finish)
        return ids, {
            place: to_bytes(made) for place, made in zip(strand.results, results, strict=True)
        }

    def _receive(self, op: Op, exchange: Exchange, on_op: OnOp) -> Any:
        value = self.strand.values[op.index]
        exchange.await_value(value, self.number)
        on_op(replace(op, kind="wait"), None)
        result = make_ciphertext(self._context, op.level, op.size, op.scale, api.Ciphertext())
        exchange.receive(value, self.number, coefficients(result))
        on_op(replace(op, kind="receive"), result)
        return result
