"""The answer to a capacity question, for people and for programs."""

from __future__ import annotations

import dataclasses
import math

from heclstm_lib.capacity.accuracy import errors_text, kept_validation
from heclstm_lib.capacity.layout import Layout
from heclstm_lib.capacity.model import (
    Estimate,
    cheapest,
    estimate,
    load_of,
    machines_for_deadline,
)
from heclstm_lib.capacity.simulate import MOST_BATCHES
from heclstm_lib.capacity.tables import check_load, estimate_table
from heclstm_lib.capacity.workload import DAY_S, Machine, Workload
from heclstm_lib.results import to_json

SHOWN = ["layout", "batches", "filled", "batch_s", "load_s", "reserved_GB", "workers", "machines",
         "hours", "machine_hours", "money_per_million", "in_TB", "out_TB", "stored_TB",
         "upload_MB_per_sequence", "binds", "verdict"]  # fmt: skip


def answer(workload: Workload, machine: Machine, layout: Layout, machines: int | None) -> Estimate:
    """The fewest machines for the deadline, or what happens on so many."""
    if math.isinf(workload.deadline_s):
        return estimate(workload, machine, layout, machines or 1)
    return machines_for_deadline(workload, machine, layout)


def simulated(
    found: list[Estimate], workload: Workload, machine: Machine
) -> dict[str, float] | None:
    """The cheapest layout's hours by the formula and by simulation; None where it is too large."""
    best = cheapest(found)
    if best is None or best.batches > MOST_BATCHES // 10:
        return None
    workers = min(best.workers_per_machine, best.batches)
    load = load_of(workload, machine, best.layout, workers)
    return check_load(load, best.machines * workers, workers, seeds=(0, 1, 2))


def answer_text(
    found: list[Estimate],
    workload: Workload,
    name: str,
    machine: Machine,
    source: str,
    check: dict[str, float] | None,
) -> str:
    """The table of layouts, what it rests on, and how good the committed predictions were."""
    table = estimate_table(found)
    shown = table[[column for column in SHOWN if column in table]]
    until = (
        f"within {workload.deadline_s / DAY_S:g} days"
        if workload.deadline_s < math.inf
        else "on the given machines"
    )
    lines = [
        f"{workload.sequences:,} sequences of {workload.hospitals:,} hospital(s), "
        f"{workload.deliveries:,} deliveries each, {until}; machine '{name}': {machine.cores} "
        f"cores, {machine.memory_gb:g} GB, {machine.price_per_hour:g} an hour",
        f"costs: {source}",
        "",
        shown.to_string(index=False, float_format="{:.3g}".format),
    ]
    if cheapest(found) is None:
        lines += ["", "no layout can do it: more memory a machine, or a later deadline."]
    if check is not None:
        lines += [
            "",
            f"simulation of the cheapest: {check['simulated_s'] / 3600:.3g} h, formula "
            f"{check['formula_s'] / 3600:.3g} h ({check['error']:+.1%})",
        ]
    return "\n".join([*lines, "", errors_text(kept_validation())])


def answer_json(
    found: list[Estimate],
    workload: Workload,
    name: str,
    machine: Machine,
    source: str,
    check: dict[str, float] | None,
) -> object:
    """Everything, with units in the names; "validation" is null where none is kept."""
    table = estimate_table(found)
    return to_json(
        {
            "workload": dataclasses.asdict(workload),
            "machine": {"name": name} | dataclasses.asdict(machine),
            "costs": source,
            "layouts": table.to_dict("records"),
            "simulation": check,
            "validation": kept_validation(),
        }
    )
