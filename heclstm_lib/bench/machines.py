"""Ways to run a plan: a server in this process, with a client that refreshes, or in others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.evaluation.cost import OpTimer
from heclstm_lib.evaluation.fanout import evaluate_request
from heclstm_lib.evaluation.primitives import load_primitives
from heclstm_lib.evaluation.strands import evaluate_on_strands
from heclstm_lib.he.client import Client
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.server import Server
from heclstm_lib.paths import cache_root

Rows = list[dict[str, Any]]
"""Time by (layer, kind, level), as evaluation.cost.OpTimer has it."""


@dataclass(frozen=True)
class Evaluation:
    """Server seconds for some requests together, where they went, and what else to report."""

    seconds: float
    rows: Rows
    extra: dict[str, Any] = field(default_factory=dict)


class Machine(Protocol):
    """The server's side."""

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> Evaluation:
        """Turn request files into response files."""

    def close(self) -> None:
        """End what was started."""


class InProcess:
    """A server in this process; requests one after the other."""

    def __init__(self, plan: Plan, bundle: Path, cache: Path | None) -> None:
        self.server = Server(plan, bundle, cache)

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> Evaluation:
        """Evaluate in order."""
        rows: Rows = []
        begin = time.perf_counter()
        for request, response in zip(requests, responses, strict=True):
            timer = OpTimer(self.server.plan)
            self.server.evaluate(request, response, timer.record)
            rows += timer.rows()
        return Evaluation(time.perf_counter() - begin, rows)

    def close(self) -> None:
        """Nothing was started."""


class Refreshing(InProcess):
    """A server in this process whose plan has a client re-encrypt the state on the way.

    Server time is what is left without the client's; the round trips themselves take no time
    here, so their number and bytes are reported.
    """

    def __init__(self, plan: Plan, bundle: Path, client: Client) -> None:
        super().__init__(plan, bundle, None)
        self.client = client

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> Evaluation:
        """Evaluate in order; `refresh_s` is the client's part."""
        rows: Rows = []
        trips, sizes, client_s = 0, 0, 0.0

        def ask(message: Path) -> Path:
            nonlocal trips, sizes, client_s
            begin = time.perf_counter()
            reply = message.with_name(f"{message.name}.reply")
            sizes += message.stat().st_size + self.client.refresh(message, reply)
            client_s += time.perf_counter() - begin
            trips += 1
            return reply

        begin = time.perf_counter()
        for request, response in zip(requests, responses, strict=True):
            timer = OpTimer(self.server.plan)
            self.server.evaluate(request, response, timer.record, ask)
            rows += [row for row in timer.rows() if row["kind"] != "wait"]  # for the client
        seconds = time.perf_counter() - begin - client_s
        extra = {"refresh_s": client_s, "round_trips": trips, "refresh_bytes": sizes}
        return Evaluation(seconds, rows, extra)


class Pool:
    """Worker processes; each loads the keys with its first request (a run that is not counted)."""

    def __init__(self, plan_path: Path, bundle: Path, workers: int) -> None:
        self.plan_path, self.bundle = plan_path, bundle
        self.executor: Executor = make_executor(workers)

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> Evaluation:
        """From the first submission to the last result."""
        begin = time.perf_counter()
        futures = [
            self.executor.submit(evaluate_request, self.plan_path, self.bundle, *files)
            for files in zip(requests, responses, strict=True)
        ]
        rows = [row for future in futures for row in future.result()["operations"]]
        return Evaluation(time.perf_counter() - begin, rows)

    def close(self) -> None:
        """End the workers."""
        self.executor.shutdown()


class Strands:
    """Worker processes that share each request, one strand of the plan each."""

    def __init__(self, plan: Plan, plan_path: Path, bundle: Path, processes: int) -> None:
        self.plan_path, self.bundle, self.processes = plan_path, bundle, processes
        self.costs = load_primitives(plan.params, cache_root())
        self.executor: Executor = make_executor(processes)

    def evaluate(self, requests: Sequence[Path], responses: Sequence[Path]) -> Evaluation:
        """Seconds while all strands were at work, from the last one's begin."""
        done = [
            evaluate_on_strands(
                self.plan_path, self.bundle, *files, self.executor, self.processes, self.costs
            )
            for files in zip(requests, responses, strict=True)
        ]
        rows = [row for part in done for row in part["operations"]]
        return Evaluation(sum(part["server_s"] for part in done), rows)

    def close(self) -> None:
        """End the workers."""
        self.executor.shutdown()


def batches(count: int, size: int) -> Iterator[slice]:
    """Rows 0..count-1 in pieces of at most `size`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
