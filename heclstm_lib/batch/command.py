"""A batch on local worker processes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from heclstm_lib.batch.report import BatchReport
from heclstm_lib.batch.run import evaluate_folder
from heclstm_lib.batch.workers import make_executor


def run_batch(
    plan: Path,
    bundle: Path,
    requests: Path,
    responses: Path,
    workers: int = 1,
    memory_bytes: int | None = None,
    **options: Any,
) -> BatchReport:
    """Evaluate a folder on `workers` processes of at most `memory_bytes` of address space each.

    `options` are those of `evaluate_folder` (patience_s, flood_bits, on_result). Raises as it does.
    """
    renew = partial(make_executor, workers, memory_bytes)
    with renew() as executor:
        return evaluate_folder(
            plan, bundle, requests, responses, executor,
            renew=renew, in_flight=workers, **options,
        )  # fmt: skip
