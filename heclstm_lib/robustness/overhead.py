"""What Dask costs: the same batches on two plain processes and on two Dask workers, in pairs.

Which of a pair comes first changes from pair to pair. Both run the same task on the same files with
keys and model loaded before; so what differs is the way of task and result, and the processes of
scheduler and client. A task is a batch of the default profile's network with initial weights, some
seconds each.
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path

import torch

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.cluster.command import Places, local_cluster, run_places
from heclstm_lib.cluster.dask_executor import DaskExecutor
from heclstm_lib.cluster.need import evaluation_mb
from heclstm_lib.cluster.scheduler import await_worker, connect
from heclstm_lib.compiler.untrained import untrained_model
from heclstm_lib.config import load_profile
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import load_plan
from heclstm_lib.models.fold import fold_network
from heclstm_lib.robustness.outcome import Outcome
from heclstm_lib.robustness.response_folder import digests
from heclstm_lib.robustness.small_case import SmallCase, make_case

TASKS, WORKERS = 6, 2
WANTED = 0.05
"""The overhead that is wanted at most, as a share."""

START_S = 60.0


def run(count: int, seed: int, workdir: Path) -> Outcome:
    """Time `count` batches each way, in turn; `wrong` counts responses that differ.

    The overhead is in the detail; an overhead above what is wanted is no fault.
    """
    begin = time.perf_counter()
    study = load_profile("default").studies[0]
    torch.manual_seed(seed)
    network = fold_network(untrained_model(study))
    case = make_case(workdir / "case", network, study.he.poly_degree, TASKS, seed)
    plan, load = load_plan(case.plan), os.getloadavg()
    with ExitStack() as stack:
        processes = stack.enter_context(make_executor(WORKERS))
        client = stack.enter_context(connect(stack.enter_context(local_cluster(WORKERS)), START_S))
        need_mb = evaluation_mb(plan)
        await_worker(client, need_mb, START_S)
        ways = {"processes": processes, "dask": DaskExecutor(client, need_mb)}
        batches = _Batches(case, plan, workdir)
        for name, executor in ways.items():  # loads keys and model; not counted
            batches.take(f"warm-{name}", executor)
        batches.task_s.clear()
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(count):
            order = list(ways) if number % 2 == 0 else list(ways)[::-1]
            for name in order:  # else what a batch leaves would always help or harm the same way
                taken[name].append(batches.take(f"{number}-{name}", ways[name]))
    wrong = min(batches.wrong, count)
    return Outcome(
        "overhead of Dask", count, count - wrong, wrong, 0, 0, time.perf_counter() - begin,
        _detail(taken, batches.task_s, (load, os.getloadavg())),
    )  # fmt: skip


class _Batches:
    """Batches of one case, each into a folder of its own, all to be alike."""

    def __init__(self, case: SmallCase, plan: Plan, workdir: Path) -> None:
        self.case, self.plan, self.workdir = case, plan, workdir
        self.task_s: list[float] = []
        self.wrong = 0
        self.expected: dict[str, str] = {}

    def take(self, name: str, executor: Executor) -> float:
        """Evaluate all requests; seconds."""
        out = self.workdir / name
        places = Places.of(self.case.plan, self.case.bundle, self.case.requests, out)
        begin = time.perf_counter()
        run_places(
            places, self.plan, executor, in_flight=2 * WORKERS,
            on_result=lambda result: self.task_s.append(result.seconds),
        )  # fmt: skip
        seconds, found = time.perf_counter() - begin, digests(out)
        self.expected = self.expected or found
        self.wrong += found != self.expected or len(found) != TASKS
        return seconds


def _detail(
    taken: dict[str, list[float]], task_s: list[float], loads: tuple[tuple[float, ...], ...]
) -> str:
    """The medians, every batch, and how busy the machine was."""
    plain, dask = (statistics.median(taken[name]) for name in ("processes", "dask"))
    each = "; ".join(
        f"{name}: {', '.join(f'{one:.2f}' for one in seconds)}" for name, seconds in taken.items()
    )
    load, after = (f"{one[0]:.2f}" for one in loads)
    return (
        f"{TASKS} requests a batch on {WORKERS} workers, median task "
        f"{statistics.median(task_s):.2f} s; median batch {plain:.2f} s on plain processes, "
        f"{dask:.2f} s on Dask: overhead "
        f"{100 * (dask / plain - 1):+.1f} % (wanted: at most {100 * WANTED:g} %). Seconds of each, "
        f"in turn: {each}. Load average (1 min) {load} before, {after} after"
    )
