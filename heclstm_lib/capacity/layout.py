"""What a plan costs a worker: seconds, bytes and memory, by the costs of the primitives."""

from __future__ import annotations

from dataclasses import dataclass

from heclstm_lib.capacity.memory import first_use_seconds
from heclstm_lib.capacity.wire import bundle_bytes, request_bytes, response_bytes
from heclstm_lib.capacity.workload import check_positive
from heclstm_lib.compiler.planner import Cost, predicted_seconds
from heclstm_lib.errors import PlanError
from heclstm_lib.he.footprint import evaluation_bytes
from heclstm_lib.he.plan import Plan

START_S = 1.4
"""The command and its workers until they ask for keys: two interpreters and their libraries.

Fitted on runs of profile smoke with one worker, their seconds less those of their requests. As
reports/capacity runs that profile again, its whole runs say little of this number.
"""

UNPACKED_BYTES_S = 1.9e8
"""Bytes a second of a message that are read, checksummed (SHA-256), inflated (zstd) and laid out.

All that comes before SEAL loads an object. Fitted on what batches of profile smoke with 256
sequences, which reports/capacity runs again, take beyond their primitives, and on a profile of
loading the keys of profile default, which it does not.
"""

SPREAD = 0.05
"""Standard deviation of a batch's seconds over their mean, on a machine that does nothing else.

Rounded up from runs of profile smoke; see `validate.batch_spread`.
"""


@dataclass(frozen=True)
class Layout:
    """One plan as a worker meets it.

    `together` sequences share a batch, which takes `batch_s` with one worker on the machine and
    all plaintexts in memory, `encode_s` more where none is: they are encoded at each use. `load_s`
    is what another hospital's keys and the model take, `start_s` the process itself, `first_s` its
    first batch beyond that: memory is fresh once. `spread` is the standard deviation of batch
    seconds over their mean. Bytes are those on the wire; memory is the reserve
    (`he.footprint.evaluation_bytes`) of a worker without plaintexts.
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
    first_s: float = 0.0
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
        """Memory to reserve for a worker on a machine of so many bytes."""
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
    request, bundle = request_bytes(plan), bundle_bytes(plan)
    return Layout(
        name=name or f"N={params.poly_degree} x{plan.layout.sequences}",
        together=plan.layout.sequences,
        batch_s=(predicted_seconds(plan, cost) + request / UNPACKED_BYTES_S) / efficiency,
        load_s=(key_seconds(plan, cost) + encode_s + bundle / UNPACKED_BYTES_S) / efficiency,
        memory_bytes=evaluation_bytes(plan, held_plaintexts=False),
        request_bytes=request,
        response_bytes=response_bytes(plan),
        bundle_bytes=bundle,
        plaintext_bytes=plan.plaintext_bytes(),
        encode_s=sum(cost("encode", op.level, params) for op in encoded) / efficiency,
        first_s=first_use_seconds(plan) / efficiency,
    )


def key_seconds(plan: Plan, cost: Cost) -> float:
    """Seconds to load the keys: each is a ciphertext a digit, with the special prime."""
    top = plan.params.levels
    digits, primes = top + 1, top + 2
    one = cost("load", top, plan.params) * primes / (top + 1)
    return (len(plan.rotations) + 1) * digits * one
