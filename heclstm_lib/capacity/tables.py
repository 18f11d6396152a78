"""Estimates as tables: one row a layout, for people and for files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from heclstm_lib.capacity.layout import Layout
from heclstm_lib.capacity.makespan import Load, makespan_s
from heclstm_lib.capacity.model import Estimate, cheapest, estimate, load_of, workers_on
from heclstm_lib.capacity.simulate import simulate
from heclstm_lib.capacity.workload import GB, Machine, Workload

TB = 1e12
CHEAPEST = "cheapest"

Answer = Callable[[Workload, Machine, Layout], Estimate]
"""How the number of machines is found: given, or from a deadline."""


def estimate_table(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """One row a layout; `verdict` is "cheapest", "" or why it cannot be done.

    Columns with units in their names; `together` is how many sequences share a batch,
    `reserved_GB` what is set aside for a worker, all plaintexts in memory.
    """
    best = cheapest(list(estimates))
    return pd.DataFrame([_row(one, one is best) for one in estimates])


def _row(one: Estimate, best: bool) -> dict[str, object]:
    layout = one.layout
    return {
        "layout": layout.name,
        "together": layout.together,
        "batches": one.batches,
        "filled": one.filled,
        "batch_s": layout.batch_s,
        "load_s": layout.load_s,
        "reserved_GB": (layout.memory_bytes + layout.plaintext_bytes) / GB,
        "workers": one.workers_per_machine,
        "machines": one.machines,
        "hours": one.hours,
        "machine_hours": one.machine_hours,
        "core_hours": one.core_hours,
        "money_per_million": one.money_per_million,
        "in_TB": one.in_bytes / TB,
        "out_TB": one.out_bytes / TB,
        "network_hours": one.network_hours,
        "stored_TB": one.stored_bytes / TB,
        "upload_MB_per_sequence": one.upload_per_sequence / 1e6,
        "binds": one.binds,
        "verdict": CHEAPEST if best else one.why_not,
    }


def scaling_table(
    layouts: Sequence[Layout],
    machine: Machine,
    machines: int,
    hospitals: int,
    sequences: Sequence[int],
) -> pd.DataFrame:
    """Estimates of every layout for each number of sequences, on so many machines."""
    parts = [
        estimate_table(
            [estimate(Workload(count, hospitals), machine, layout, machines) for layout in layouts]
        ).assign(sequences=count)
        for count in sequences
    ]
    return pd.concat(parts, ignore_index=True)


def deadline_table(
    answer: Answer,
    layouts: Sequence[Layout],
    machine: Machine,
    sequences: int,
    hospitals: int,
    hours: Sequence[float],
) -> pd.DataFrame:
    """Machines needed by every layout for each deadline (hours)."""
    parts = []
    for deadline in hours:
        workload = Workload(sequences, hospitals, deadline_s=3600 * deadline)
        found = [answer(workload, machine, layout) for layout in layouts]
        parts.append(estimate_table(found).assign(deadline_hours=deadline))
    return pd.concat(parts, ignore_index=True)


def check_load(
    load: Load, workers: int, per_machine: int, seeds: Sequence[int]
) -> dict[str, float]:
    """The closed formula beside the mean of simulated runs, and its relative error."""
    runs = [simulate(load, workers, per_machine, seed).seconds for seed in seeds]
    formula, simulated = makespan_s(load, workers), float(np.mean(runs))
    return {
        "workers": workers,
        "batches": load.batches,
        "groups": load.groups,
        "formula_s": formula,
        "simulated_s": simulated,
        "simulated_low_s": min(runs),
        "simulated_high_s": max(runs),
        "error": formula / simulated - 1,
    }


def simulation_table(
    layout: Layout,
    machine: Machine,
    hospitals: int,
    workers: Sequence[int],
    waves: Sequence[float],
    seeds: Sequence[int] = (0, 1, 2),
    most_batches: int = 200_000,
) -> pd.DataFrame:
    """Formula against simulation for fleets of many sizes, each with some batches a worker.

    Cases of more than `most_batches` are left out.
    """
    per_machine = max(1, workers_on(machine, layout))
    rows = []
    for count in workers:
        for wave in waves:
            batches = max(1, round(count * wave))
            if batches > most_batches:
                continue
            load = load_of(Workload(batches), machine, layout, min(per_machine, count))
            load = replace(load, batches=batches, groups=min(hospitals, batches))
            rows.append(check_load(load, count, per_machine, seeds) | {"waves": wave})
    return pd.DataFrame(rows)


def readable_layouts(facts: pd.DataFrame) -> pd.DataFrame:
    """`layout_facts` for reading: seconds a batch, sequence and load, bytes in MB and GB."""
    shown = {"batch_s": facts.batch_s, "sequence_s": facts.batch_s / facts.together,
             "load_s": facts.load_s, "reserved_GB": facts.memory_bytes / 1e9,
             "request_MB": facts.request_bytes / 1e6, "response_MB": facts.response_bytes / 1e6,
             "bundle_GB": facts.bundle_bytes / 1e9}  # fmt: skip
    return pd.DataFrame(shown).set_index(facts.together)


def layout_facts(layouts: Sequence[Layout]) -> pd.DataFrame:
    """The facts of layouts, as the model takes them."""
    return pd.DataFrame([asdict(layout) for layout in layouts])
