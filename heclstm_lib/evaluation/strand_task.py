"""What a worker does for an evaluation it shares with others: settle, load, meet, compute.

The workers meet before they load keys, so a pool that is too small or busy is noticed; a worker
takes the strand whose keys it holds.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heclstm_lib.errors import HeclstmError
from heclstm_lib.evaluation.cost import OpTimer
from heclstm_lib.he.exchange import Exchange, StrandStopped
from heclstm_lib.he.schedule import Strand
from heclstm_lib.he.server import response_header
from heclstm_lib.he.store import load_plan
from heclstm_lib.he.strand import StrandServer

_worker = threading.local()  # .key and .server: what this worker has loaded


@dataclass(frozen=True)
class StrandTask:
    """What every worker of one evaluation is given; `schedule_id` names the strands' schedule."""

    plan_path: Path
    bundle_path: Path
    request: Path
    folder: Path
    schedule_id: str
    strands: tuple[Strand, ...]
    meeting_s: float
    patience_s: float
    cache: Path | None = None


def run_strand(task: StrandTask) -> dict[str, Any]:
    """Compute one of the task's strands together with the workers that run the others.

    Returns its results as bytes and where its time went. On any error the others stop too.
    """
    exchange = Exchange(task.folder, task.patience_s)
    try:
        number = _settle(task, exchange)
        begin = time.perf_counter()
        server = _server(task, number)
        load_s = time.perf_counter() - begin
        exchange.announce("ready", str(number))
        count = len(task.strands)
        exchange.gather("ready", count, "not all strands loaded their keys", task.patience_s)
        return {"strand": number, "load_s": load_s} | _evaluate(server, task.request, exchange)
    except StrandStopped:
        raise
    except Exception as error:
        exchange.fail(f"{type(error).__name__}: {error}")
        raise


def _settle(task: StrandTask, exchange: Exchange) -> int:
    """The number of this worker's strand, by one rule on what all workers say they hold."""
    name, count = uuid.uuid4().hex, len(task.strands)
    exchange.announce("here", name, str(_held(task)))
    said = exchange.gather(
        "here", count, f"fewer than the {count} workers of this evaluation began", task.meeting_s
    )
    numbers: dict[str, int] = {}
    for worker, held in sorted(said.items()):
        if int(held) in range(count) and int(held) not in numbers.values():
            numbers[worker] = int(held)
    free = (number for number in range(count) if number not in numbers.values())
    for worker in sorted(said.keys() - numbers.keys()):
        numbers[worker] = next(free)
    return numbers[name]


def _held(task: StrandTask) -> int:
    """The strand this worker has loaded for the task's schedule and bundle, -1 for none."""
    schedule_id, bundle, number = getattr(_worker, "key", ("", "", -1))
    return number if (schedule_id, bundle) == (task.schedule_id, str(task.bundle_path)) else -1


def _server(task: StrandTask, number: int) -> StrandServer:
    """The worker's server; that of another strand goes first, since keys fill gigabytes."""
    if _held(task) != number:
        _worker.key, _worker.server = ("", "", -1), None
        if not task.bundle_path.exists():
            raise HeclstmError(
                f"{task.bundle_path}: the public bundle is gone; register the client again."
            )
        plan = load_plan(task.plan_path)
        _worker.server = StrandServer(
            plan, number, task.strands[number], task.bundle_path, task.cache
        )
        _worker.key = task.schedule_id, str(task.bundle_path), number
    return _worker.server


def _evaluate(server: StrandServer, request: Path, exchange: Exchange) -> dict[str, Any]:
    timer = OpTimer(server.plan)
    begin, cpu = time.perf_counter(), time.process_time()
    ids, results = server.evaluate(request, exchange, timer.record)
    return {
        "begin": begin,
        "server_s": time.perf_counter() - begin,
        "cpu_s": time.process_time() - cpu,
        "header": response_header(server.whole, ids, request),
        "results": results,
        "operations": timer.rows(),
    }
