"""How much memory an evaluation takes, from the plan alone: what a worker must have for each."""

from __future__ import annotations

from heclstm_lib.he.backend import grouped, last_uses
from heclstm_lib.he.plan import Plan

BASE_BYTES = 300 << 20
"""Interpreter, libraries and Dask's worker, before a key is loaded."""

MARGIN = 1.25
"""SEAL keeps freed memory in pools and works on temporary polynomials."""


def evaluation_bytes(plan: Plan) -> int:
    """Bytes of a process that evaluates one request: keys, model and the widest part of the plan.

    An estimate from above; `heclstm robustness cluster` holds it against what workers take.
    """
    held = plan.key_bytes() + plan.plaintext_bytes() + widest_bytes(plan)
    return BASE_BYTES + int(MARGIN * held)


def evaluation_mb(plan: Plan) -> int:
    """`evaluation_bytes` in MB (2^20 bytes), rounded up."""
    return -(-evaluation_bytes(plan) >> 20)


def offered_mb(limit_mb: int) -> int:
    """What a worker with a memory limit may offer to evaluations: Dask pauses it at 80 %."""
    return 3 * limit_mb // 4


def limit_for(need_mb: int) -> int:
    """The least memory limit of a worker that may offer so many MB."""
    return -(-4 * need_mb // 3)


def widest_bytes(plan: Plan) -> int:
    """Bytes of all ciphertexts alive at once, at most; they live as in `he.backend.execute`."""
    ends = last_uses(plan)
    alive: dict[int, int] = {}
    total = most = 0
    for ops in grouped(plan.ops):
        for op in ops:
            alive[op.index] = plan.params.ciphertext_bytes(op.level, op.size)
            total += alive[op.index]
        most = max(most, total)
        for index in {*ops[0].args, *(op.index for op in ops)}:
            if ends.get(index, -1) <= ops[-1].index:
                total -= alive.pop(index, 0)
    return most
