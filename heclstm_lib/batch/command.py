"""A batch on local worker processes, with its progress as lines of text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heclstm_lib.batch.run import PATIENCE_S, evaluate_folder
from heclstm_lib.batch.task import Result
from heclstm_lib.batch.workers import make_executor


def run_batch(
    plan: Path,
    bundle: Path,
    requests: Path,
    responses: Path,
    workers: int = 1,
    memory_bytes: int | None = None,
    patience_s: float = PATIENCE_S,
    say: Callable[[str], None] = print,
) -> int:
    """Evaluate a folder on `workers` processes of at most `memory_bytes` of address space each.

    Says a line for each request, then the report; returns the exit code: 0 when every request has
    its response, 3 when some failed. Raises as `evaluate_folder`.
    """
    with make_executor(workers, memory_bytes) as executor:
        report = evaluate_folder(
            plan, bundle, requests, responses, executor,
            renew=lambda: make_executor(workers, memory_bytes), in_flight=workers,
            patience_s=patience_s, on_result=lambda result: say(_line(result)),
        )  # fmt: skip
    say(report.text())
    return report.exit_code


def _line(result: Result) -> str:
    took = f" in {result.seconds:.2f} s" if result.state == "evaluated" else ""
    return f"{result.name}: {result.state}{took}"
