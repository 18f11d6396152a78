"""Ways to run a plan: one server in this process, worker processes, or one batch over several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

from heclstm_lib.evaluation.cost import OpTimer
from heclstm_lib.evaluation.fanout import evaluate_request, make_executor
from heclstm_lib.evaluation.primitives import load_primitives
from heclstm_lib.evaluation.strands import evaluate_on_strands
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.server import Server
from heclstm_lib.paths import cache_root

Rows = list[dict[str, Any]]
"""Time by (layer, kind, level), as evaluation.cost.OpTimer has it."""


class Machine(Protocol):
    """The server's side."""

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> tuple[float, Rows]:
        """Server seconds for all requests together, and where they went."""

    def close(self) -> None:
        """End what was started."""


class InProcess:
    """A server in this process; requests one after the other."""

    def __init__(self, plan: Plan, bundle: Path, cache: Path | None) -> None:
        self.server = Server(plan, bundle, cache)

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> tuple[float, Rows]:
        """Evaluate in order."""
        rows: Rows = []
        begin = time.perf_counter()
        for request, response in zip(requests, responses, strict=True):
            timer = OpTimer(self.server.plan)
            self.server.evaluate(request, response, timer.record)
            rows += timer.rows()
        return time.perf_counter() - begin, rows

    def close(self) -> None:
        """Nothing was started."""


class Pool:
    """Worker processes; each loads the keys with its first request (a run that is not counted)."""

    def __init__(self, plan_path: Path, bundle: Path, workers: int) -> None:
        self.plan_path, self.bundle = plan_path, bundle
        self.executor: Executor = make_executor(workers)

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> tuple[float, Rows]:
        """From the first submission to the last result."""
        begin = time.perf_counter()
        futures = [
            self.executor.submit(evaluate_request, self.plan_path, self.bundle, *files)
            for files in zip(requests, responses, strict=True)
        ]
        rows = [row for future in futures for row in future.result()["operations"]]
        return time.perf_counter() - begin, rows

    def close(self) -> None:
        """End the workers."""
        self.executor.shutdown()


class Strands:
    """Worker processes that share each request, one strand of the plan each."""

    def __init__(self, plan: Plan, plan_path: Path, bundle: Path, processes: int) -> None:
        self.plan_path, self.bundle, self.processes = plan_path, bundle, processes
        self.costs = load_primitives(plan.params, cache_root())
        self.executor: Executor = make_executor(processes)

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> tuple[float, Rows]:
        """Seconds while all strands were at work, from the last one's begin."""
        done = [
            evaluate_on_strands(
                self.plan_path, self.bundle, *files, self.executor, self.processes, self.costs
            )
            for files in zip(requests, responses, strict=True)
        ]
        rows = [row for part in done for row in part["operations"]]
        return sum(part["server_s"] for part in done), rows

    def close(self) -> None:
        """End the workers."""
        self.executor.shutdown()


def batches(count: int, size: int) -> Iterator[slice]:
    """Rows 0..count-1 in pieces of at most `size`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
