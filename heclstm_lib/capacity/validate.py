"""Predict runs of encrypted batches, then run them, and keep both side by side.

Every prediction is made before its run, from the plan and the primitives' costs alone. Runs of one
layout alternate between numbers of workers, so that a busy spell of the machine meets both.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.capacity.accuracy import (
    MEASURED,
    RECORD,
    batch_spread,
    contention_table,
    summary_table,
)
from heclstm_lib.capacity.layout import layout_of
from heclstm_lib.capacity.machines import this_machine
from heclstm_lib.capacity.makespan import makespan_s
from heclstm_lib.capacity.memory import expected_bytes
from heclstm_lib.capacity.model import load_of
from heclstm_lib.capacity.real_run import RealCase, RealRun
from heclstm_lib.capacity.workload import GB, Machine, Workload
from heclstm_lib.compiler.planner import Cost
from heclstm_lib.errors import ReportError
from heclstm_lib.files import replacing
from heclstm_lib.he.plan import Plan
from heclstm_lib.provenance import collect_provenance
from heclstm_lib.results import to_json

TABLE = "validation.parquet"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """A plan to run with some requests, under a name such as its profile's."""

    name: str
    layout: str
    plan: Plan
    requests: int


def predict(case: Case, cost: Cost, machine: Machine, workers: int) -> dict[str, float]:
    """What a run will take: one hospital, full batches, `workers` processes on one machine."""
    layout = layout_of(case.plan, cost, case.layout)
    workload = Workload(case.requests * layout.together)
    load, memory = load_of(workload, machine, layout, workers), machine.memory_gb * GB
    first_s = load.load_s + layout.first_s * machine.slowdown(workers) / machine.speed
    return {
        "seconds": makespan_s(load, workers),
        "batch_s": load.batch_s,
        "load_s": first_s,
        "request_bytes": layout.request_bytes,
        "response_bytes": layout.response_bytes,
        "bundle_bytes": layout.bundle_bytes,
        "memory_bytes": expected_bytes(case.plan, layout.held_share(memory)),
        "reserved_bytes": layout.worker_bytes(memory),
    }


def validate(
    cases: Sequence[Case],
    cost: Cost,
    workers: Sequence[int] = (1, 2),
    repeats: int = 3,
    say: Say = print,
) -> pd.DataFrame:
    """Run every case `repeats` times on each number of workers; one row a run.

    Columns: accuracy.KEY, repeat, together, `predicted_X` and `measured_X` for X of
    accuracy.MEASURED, and what the machine did meanwhile. Raises BatchError when a request fails.
    """
    machine, rows = this_machine(), []
    for case in cases:
        predicted = {count: predict(case, cost, machine, count) for count in workers}
        say(f"{case.name}, {case.layout}: keys and {case.requests} requests")
        with tempfile.TemporaryDirectory(prefix="heclstm-capacity-") as folder:
            real = RealCase(case.plan, case.requests, Path(folder))
            for repeat in range(repeats):
                for count in workers:
                    run = real.run(count)
                    row = _row(case, repeat, predicted[count], measured(real, run))
                    rows.append(row | _circumstances(run) | {"precision_bits": real.error_bits()})
                    say(
                        f"  {count} worker(s): {run.seconds:.1f} s, predicted "
                        f"{predicted[count]['seconds']:.1f} s, load {run.load_before:.1f}"
                    )
    return pd.DataFrame(rows)


def measured(real: RealCase, run: RealRun) -> dict[str, float]:
    """A run under the names of a prediction.

    A worker's first request loads keys and model and uses its memory for the first time: the
    longest `workers` times are theirs. NaN where every request is a worker's first one.
    """
    ordered = sorted(run.request_seconds)
    later, first = ordered[: -run.workers], ordered[-run.workers :]
    batch_s = float(np.median(later)) if later else float("nan")
    return {
        "seconds": run.seconds,
        "batch_s": batch_s,
        "load_s": float(np.median(first)) - batch_s,
        "request_bytes": real.request_bytes,
        "response_bytes": run.response_bytes,
        "bundle_bytes": real.bundle_bytes,
        "memory_bytes": run.peak_bytes,
        "reserved_bytes": run.peak_bytes,
    }


def _row(
    case: Case, repeat: int, predicted: dict[str, float], found: dict[str, float]
) -> dict[str, Any]:
    row: dict[str, Any] = {"case": case.name, "layout": case.layout, "requests": case.requests}
    row |= {"together": case.plan.layout.sequences, "repeat": repeat}
    for name in MEASURED:
        row |= {f"predicted_{name}": predicted[name], f"measured_{name}": found[name]}
    return row


def _circumstances(run: RealRun) -> dict[str, Any]:
    facts = asdict(run)
    kept = ("workers", "request_seconds", "cpu_s", "load_before", "load_after")
    return {name: facts[name] for name in kept}


def write_validation(runs: pd.DataFrame, folder: Path, command: str) -> Path:
    """Put runs into the folder's tables; runs of the same case and layout are replaced.

    Each run keeps the command and the commit it comes from.
    """
    table, provenance = folder / TABLE, collect_provenance(seeds={"frames": 0})
    runs = runs.assign(command=command, commit=(provenance["git"] or {}).get("commit"))
    if table.is_file():
        known = pd.read_parquet(table)
        cases = set(zip(runs.case, runs.layout, strict=True))
        others = [pair not in cases for pair in zip(known.case, known.layout, strict=True)]
        runs = pd.concat([known[others], runs], ignore_index=True)
    runs = runs.assign(request_seconds=runs.request_seconds.map(list))
    with replacing(table) as part:
        runs.to_parquet(part, index=False)
    record = {
        "runs": runs[["case", "layout", "command", "commit"]].drop_duplicates().to_dict("records"),
        "errors": summary_table(runs).to_dict("records"),
        "contention": contention_table(runs).to_dict("records"),
        "spread": float(batch_spread(runs).std()),
        "largest_load_before": float(runs.load_before.max()),
        "provenance": provenance,
    }
    with replacing(folder / RECORD) as part:
        part.write_text(json.dumps(to_json(record), indent=1) + "\n", encoding="utf-8")
    return folder / RECORD


def load_validation(folder: Path) -> pd.DataFrame:
    """The runs that were kept; ReportError when there are none."""
    table = folder / TABLE
    if not table.is_file():
        raise ReportError(f"{table}: no validation there; run: heclstm capacity --validate.")
    return pd.read_parquet(table)
