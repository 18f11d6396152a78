"""What a plan costs a worker: seconds, bytes and memory, by the costs of the primitives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heclstm_lib.capacity.workload import check_positive
from heclstm_lib.compiler.planner import Cost, predicted_seconds
from heclstm_lib.errors import PlanError
from heclstm_lib.he.footprint import evaluation_bytes
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan

START_S = 1.4
"""The command and its workers until they ask for keys: two interpreters and their libraries.

Measured: seconds of a run less those of its requests, runs of profile smoke on one worker.
"""

UNPACKED_BYTES_S = 1.9e8
"""Bytes a second of a message that are read, checksummed (SHA-256), inflated (zstd) and laid out.

All that comes before SEAL loads an object. Measured: what the batches of profile smoke with 256
sequences, and a profile of loading the keys of profile default, take beyond their primitives.
"""

SPREAD = 0.05
"""Standard deviation of a batch's seconds over their mean, on a machine that does nothing else.

Measured: runs of profile smoke; see `validate.batch_spread`.
"""

WIRE_OVERHEAD = 1.01
"""What zstd takes over the entropy of bytes: code lengths are whole bits, blocks have tables.

About what the requests and responses of reports/reference show.
"""

ZSTD_BLOCK = 1 << 17
"""Bytes that zstd codes with one table of code lengths, at most (RFC 8878)."""


@dataclass(frozen=True)
class Layout:
    """One plan as a worker meets it.

    `together` sequences share a batch, which takes `batch_s` with one worker on the machine and
    all plaintexts in memory, `encode_s` more where none is: they are encoded at each use. `load_s`
    is what another hospital's keys and the model take, `start_s` the process itself. `spread` is
    the standard deviation of batch seconds over their mean. Bytes are those on the wire; memory
    is that of a worker without plaintexts.
    """

    name: str
    together: int
    batch_s: float
    load_s: float
    memory_bytes: float
    request_bytes: float
    response_bytes: float
    bundle_bytes: float
    plaintext_bytes: float = 0.0
    encode_s: float = 0.0
    start_s: float = START_S
    spread: float = SPREAD

    def __post_init__(self) -> None:
        check_positive(self, "together", "batch_s", "memory_bytes")

    def held_share(self, memory_bytes: float) -> float:
        """The share of the plaintexts that a worker keeps, given a quarter of the memory for them.

        The same quarter as `he.encoded.EncodedPlaintexts` takes of what is available.
        """
        if not self.plaintext_bytes:
            return 1.0
        return min(1.0, memory_bytes / 4 / self.plaintext_bytes)

    def worker_bytes(self, memory_bytes: float) -> float:
        """Memory of a worker on a machine of so many bytes."""
        return self.memory_bytes + self.held_share(memory_bytes) * self.plaintext_bytes

    def batch_on(self, memory_bytes: float) -> float:
        """Seconds of a batch on such a machine, one worker on it."""
        return self.batch_s + (1 - self.held_share(memory_bytes)) * self.encode_s


def layout_of(plan: Plan, cost: Cost, name: str = "", efficiency: float = 1.0) -> Layout:
    """The layout of a plan: work times cost, over `efficiency` (1: as fast as its primitives).

    Raises PlanError for a plan with refreshes: its server waits for clients meanwhile, which this
    model leaves out.
    """
    if plan.refreshes:
        raise PlanError(
            f"this plan has the client re-encrypt its state {len(plan.refreshes)} time(s) a "
            "batch; the capacity model has no client that answers. Plan without refresh."
        )
    params = plan.params
    encoded = [op for op in plan.ops if op.kind in ("add_plain", "multiply_plain")]
    kept = {(op.constant, op.level, op.constant_scale) for op in encoded}
    encode_s = sum(cost("encode", level, params) for _, level, _ in kept)
    bundle = bundle_bytes(plan)
    return Layout(
        name=name or f"N={params.poly_degree} x{plan.layout.sequences}",
        together=plan.layout.sequences,
        batch_s=(predicted_seconds(plan, cost) + request_bytes(plan) / UNPACKED_BYTES_S)
        / efficiency,
        load_s=(key_seconds(plan, cost) + encode_s + bundle / UNPACKED_BYTES_S) / efficiency,
        memory_bytes=evaluation_bytes(plan, held_plaintexts=False),
        request_bytes=request_bytes(plan),
        response_bytes=response_bytes(plan),
        bundle_bytes=bundle,
        plaintext_bytes=plan.plaintext_bytes(),
        encode_s=sum(cost("encode", op.level, params) for op in encoded) / efficiency,
    )


def key_seconds(plan: Plan, cost: Cost) -> float:
    """Seconds to load the keys: each is a ciphertext a digit, with the special prime."""
    top = plan.params.levels
    digits, primes = top + 1, top + 2
    one = cost("load", top, plan.params) * primes / (top + 1)
    return (len(plan.rotations) + 1) * digits * one


def request_bytes(plan: Plan) -> float:
    """Expected bytes of a request: one polynomial a ciphertext, the other is a seed."""
    return plan.inputs.count * wire_bytes(plan.params, plan.params.levels)


def response_bytes(plan: Plan) -> float:
    """Expected bytes of a response."""
    return sum(2 * wire_bytes(plan.params, plan.ops[index].level) for index in plan.results)


def bundle_bytes(plan: Plan) -> float:
    """Expected bytes of a public bundle: the public key, and a seeded pair a digit of each key."""
    params = plan.params
    pair = _polynomial_bytes(params.poly_degree, params.coeff_bits)
    return pair * (1 + (len(plan.rotations) + 1) * (params.levels + 1))


def wire_bytes(params: CkksParameters, level: int) -> float:
    """Expected bytes of one polynomial at a level under zstd."""
    return _polynomial_bytes(params.poly_degree, params.coeff_bits[: level + 1])


def _polynomial_bytes(poly_degree: int, prime_bits: Sequence[int]) -> float:
    """One polynomial, prime after prime; small rings have several primes in a block of zstd."""
    together = max(1, ZSTD_BLOCK // (8 * poly_degree))
    blocks = [prime_bits[i : i + together] for i in range(0, len(prime_bits), together)]
    packed = sum(len(block) * packed_share(*block) for block in blocks)
    return WIRE_OVERHEAD * 8 * poly_degree * packed


def packed_share(*prime_bits: int) -> float:
    """What an entropy coder leaves of 8 bytes that hold a random residue of one of these primes.

    Residues are uniform, so that nothing repeats; zstd's gain is the zero bytes above them, which
    it cannot tell from others by place: the entropy of a byte drawn from all eight, and from all
    primes of a block, since a block has one code.

    >>> round(packed_share(64), 3), round(packed_share(40), 3), round(packed_share(60, 40), 3)
    (1.0, 0.742, 0.889)
    """
    counts = [0.0] * 256
    for bits in prime_bits:
        for place in range(8):
            values = 1 << min(max(bits - 8 * place, 0), 8)
            for value in range(values):
                counts[value] += 1 / values / 8 / len(prime_bits)
    return -sum(share * math.log2(share) for share in counts if share) / 8
