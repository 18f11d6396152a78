"""One batch over several worker processes: each runs a strand of the plan, values move between."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, BrokenExecutor, Executor, Future, wait
from pathlib import Path
from typing import Any

import pandas as pd

from heclstm_lib.errors import PlanError, StrandError
from heclstm_lib.evaluation.strand_task import StrandTask, run_strand
from heclstm_lib.he.exchange import Exchange, StrandStopped, exchange_folder
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.he.schedule import Schedule, schedule
from heclstm_lib.he.store import load_plan
from heclstm_lib.he.wire import write_message

MEETING_S = 120.0
"""How long workers wait for each other to begin; a fresh process needs seconds to start."""

PATIENCE_S = 1800.0
"""How long a worker waits for the others' keys, or for one value."""

FILE_S, FILE_FACTOR = 5e-4, 2.0
"""A value through a file costs this many seconds and times of a copy in memory."""

MOVING = ("receive", "send")
"""Kinds of rows that move values; with "wait" those that are no operation of the plan."""

_schedules: dict[tuple[str, int, int], tuple[pd.DataFrame, str, Schedule]] = {}


def evaluate_on_strands(
    plan_path: Path,
    bundle_path: Path,
    request: Path,
    response: Path,
    executor: Executor,
    workers: int,
    costs: pd.DataFrame,
    meeting_s: float = MEETING_S,
    patience_s: float = PATIENCE_S,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Evaluate one request by up to `workers` free workers of the executor, on this machine.

    `costs` has columns kind, level, seconds, as `evaluation.primitives` measures them. Returns
    what `fanout.evaluate_request` does, `operations` having rows of all strands, moreover the
    schedule's `predicted_s` and `strands`: seconds each computed, moved values and waited.
    `cache` is a folder for the encoded model. Raises StrandError when workers are too few, too
    slow or end, else what a server raises.
    """
    schedule_id, spread = _schedule(plan_path, workers, costs)
    _check_size(executor, len(spread.strands))
    with exchange_folder(spread.transfer_bytes) as folder:
        task = StrandTask(
            plan_path, bundle_path, request, folder, schedule_id, spread.strands,
            meeting_s, patience_s, cache,
        )  # fmt: skip
        done = sorted(_run_all(task, executor), key=lambda part: part["strand"])
    results = {place: data for part in done for place, data in part["results"].items()}
    size = write_message(response, done[0]["header"], (results[place] for place in sorted(results)))
    return {
        "load_s": max(part["load_s"] for part in done),
        "server_s": time.perf_counter() - max(part["begin"] for part in done),
        "server_cpu_s": sum(part["cpu_s"] for part in done),
        "response_bytes": size,
        "operations": [row for part in done for row in part["operations"]],
        "predicted_s": spread.makespan_s,
        "strands": [_shares(part) for part in done],
    }


def _schedule(plan_path: Path, workers: int, costs: pd.DataFrame) -> tuple[str, Schedule]:
    """The schedule of a plan file, made once; by its id workers know whether they hold keys."""
    key = str(plan_path), plan_path.stat().st_mtime_ns, workers
    if key not in _schedules or not _schedules[key][0].equals(costs):
        plan = load_plan(plan_path)
        spread = schedule(plan, op_seconds(plan, costs), transfer_seconds(costs), workers)
        _schedules[key] = costs, uuid.uuid4().hex, spread
    _, schedule_id, spread = _schedules[key]
    return schedule_id, spread


def op_seconds(plan: Plan, costs: pd.DataFrame) -> Callable[[Op], float]:
    """The price of an operation of a plan, that of the nearest level where its own is missing.

    It raises PlanError for a kind that the table lacks.
    """
    table: dict[str, dict[int, float]] = {
        str(kind): rows.set_index("level")["seconds"].to_dict()
        for kind, rows in costs.groupby("kind")
    }

    def seconds(op: Op) -> float:
        kind, level = "load" if op.kind == "input" else op.kind, plan.working_level(op)
        if kind not in table:
            raise PlanError(f"no cost of {kind}. Measure the primitives anew: heclstm calibrate.")
        nearest = min(table[kind], key=lambda measured: abs(measured - level))
        return table[kind][nearest] * plan.units(op)

    return seconds


def transfer_seconds(costs: pd.DataFrame) -> Callable[[int, int], float]:
    """The price of writing and reading a ciphertext of a level and size through a file."""
    table = costs[costs["kind"] == "transfer"].set_index("level")["seconds"].to_dict()
    return lambda level, size: FILE_S + FILE_FACTOR * table[level] * size / 2


def _check_size(executor: Executor, needed: int) -> None:
    size = getattr(executor, "_max_workers", needed)  # of the pools of concurrent.futures
    if size < needed:
        raise StrandError(
            f"the executor has {size} worker(s), the schedule {needed} strands that run at the "
            f"same time. Use make_executor({needed}), or evaluate with workers={size}."
        )


def _run_all(task: StrandTask, executor: Executor) -> list[dict[str, Any]]:
    """What all strands return; when one fails, the others are stopped and waited for."""
    futures = [executor.submit(run_strand, task) for _ in task.strands]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        if any(not future.done() or future.exception() for future in futures):
            Exchange(task.folder, 0).fail("the caller gave up")
            for future in futures:
                future.cancel()
            wait(futures, timeout=task.meeting_s)
    errors = [error for future in futures if (error := _error(future))]
    if errors:
        raise _reason(errors)
    return [future.result() for future in futures]


def _error(future: Future[Any]) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None


def _reason(errors: list[BaseException]) -> BaseException:
    """The error that made the others stop; in words where a process just ended."""
    first = next((e for e in errors if not isinstance(e, StrandStopped)), errors[0])
    if not isinstance(first, BrokenExecutor):
        return first
    ended = StrandError(
        f"a worker process ended in the middle of its strand, most often for lack of memory "
        f"({first}). Use a new executor, with fewer workers or a smaller plan."
    )
    ended.__cause__ = first
    return ended


def _shares(part: dict[str, Any]) -> dict[str, Any]:
    """Where the seconds of one strand went."""
    seconds = {"compute_s": 0.0, "move_s": 0.0, "wait_s": 0.0}
    for row in part["operations"]:
        kind = row["kind"]
        where = "wait_s" if kind == "wait" else "move_s" if kind in MOVING else "compute_s"
        seconds[where] += row["seconds"]
    return {key: part[key] for key in ("strand", "load_s", "server_s", "cpu_s")} | seconds
