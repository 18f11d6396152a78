"""The memory that an evaluation asks of a Dask worker, and what a worker may offer."""

from __future__ import annotations

from heclstm_lib.he.footprint import evaluation_bytes
from heclstm_lib.he.plan import Plan


def evaluation_mb(plan: Plan) -> int:
    """`evaluation_bytes` in MB (2^20 bytes), rounded up."""
    return -(-evaluation_bytes(plan) >> 20)


def offered_mb(limit_mb: int) -> int:
    """What a worker with a memory limit may offer to evaluations: Dask pauses it at 80 %."""
    return 3 * limit_mb // 4


def limit_for(need_mb: int) -> int:
    """The least memory limit of a worker that may offer so many MB."""
    return -(-4 * need_mb // 3)
