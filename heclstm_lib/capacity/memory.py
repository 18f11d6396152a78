"""Memory of a worker as it will be, beside the reserve that decides how many fit on a machine.

`he.footprint.evaluation_bytes` is a reserve, an estimate from above: a worker that the system ends
for want of memory costs more than one that was not begun. What is expected here lies below it.
"""

from __future__ import annotations

import mmap
import time

from heclstm_lib.capacity.wire import key_bytes
from heclstm_lib.he.footprint import working_bytes
from heclstm_lib.he.plan import Plan

INTERPRETER_BYTES = 106_000_000
"""Resident memory of a worker that has its libraries and no plan yet. Measured, Python 3.11."""

CONTEXT_BYTES = (32.0, 95.0)
"""Bytes of SEAL's tables for N and k primes: N (32 k^2 + 95 k).

A level has tables of its own, hence the square. Fitted on contexts alone (resident memory before
and after `load_context`): N = 8192 with 5 primes, 16384 with 9 and 13, 32768 with 15 and 22; within
3 % but for the first (8 %, 1 MB).
"""

TOUCHED_BYTES_S = 1.3e9
"""Bytes a second of fresh memory: the kernel maps and clears each page at its first use.

Measured by `touched_bytes_s`, in processor time, on the machine of reports/capacity. No run that
validates the model went into it; that first uses were missing was seen in them.
"""

PAGE_BYTES = 4096


def context_bytes(plan: Plan) -> float:
    """Bytes of SEAL's context for the plan's parameters."""
    square, plain = CONTEXT_BYTES
    primes = len(plan.params.coeff_bits)
    return plan.params.poly_degree * (square * primes**2 + plain * primes)


def expected_bytes(plan: Plan, held_share: float = 1.0) -> float:
    """Largest resident memory of a worker that keeps this share of the plaintexts.

    Keys count once, and the last one as read (`wire.key_bytes`), inflated and written for SEAL
    beside it: a seeded key is half of what it becomes, twice.
    """
    loading = key_bytes(plan) + plan.params.switching_key_bytes()
    model = held_share * plan.plaintext_bytes()
    context = context_bytes(plan)
    return INTERPRETER_BYTES + context + plan.key_bytes() + loading + working_bytes(plan) + model


def first_use_seconds(plan: Plan) -> float:
    """Seconds that a worker's first batch takes longer, keys and encoding aside: fresh memory.

    SEAL's pool keeps what it has, so that neither later batches nor other keys pay for it.
    """
    fresh = context_bytes(plan) + plan.plaintext_bytes() + working_bytes(plan)
    return fresh / TOUCHED_BYTES_S


def touched_bytes_s(size: int = 1 << 28) -> float:
    """Bytes of fresh memory that this process touches in a second of its time, for `size` bytes."""
    with mmap.mmap(-1, size) as memory:
        begin = time.process_time()
        for place in range(0, size, PAGE_BYTES):
            memory[place] = 1
        return size / (time.process_time() - begin)
