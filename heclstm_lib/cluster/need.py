"""The memory that an evaluation asks of a Dask worker, and what a worker may offer."""

from __future__ import annotations

from heclstm_lib.he.footprint import evaluation_bytes
from heclstm_lib.he.plan import Plan

DASK_BYTES = 150_000_000
"""What a Dask worker takes beside the evaluation: its libraries, the store's client, buffers.

Measured on a small ConvLSTM: 964 MB in a plain process, 1,030 in a Dask worker with local files,
1,076 with files in S3, the same after one batch and after six that switch flooding.
"""


def evaluation_mb(plan: Plan) -> int:
    """`evaluation_bytes` and a Dask worker's own share, in MB (2^20 bytes), rounded up."""
    return -(-(evaluation_bytes(plan) + DASK_BYTES) >> 20)


def offered_mb(limit_mb: int) -> int:
    """What a worker with a memory limit may offer to evaluations: Dask pauses it at 80 %."""
    return 3 * limit_mb // 4


def limit_for(need_mb: int) -> int:
    """The least memory limit of a worker that may offer so many MB."""
    return -(-4 * need_mb // 3)
