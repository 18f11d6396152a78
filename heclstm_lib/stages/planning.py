"""The plan of a study's network: chosen for its test sequences on this machine."""

from __future__ import annotations

import math

import pandas as pd

from heclstm_lib.compiler.forms import forms
from heclstm_lib.compiler.planner import Candidate, Choice, Task, choose_plan
from heclstm_lib.config import DatasetStudy, HEConfig
from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.cost_model import load_costs
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.paths import cache_root

LEAST_BITS = 10.0
"""Precision that a study asks of its outputs; notebook 04 fails below it."""


def choose_study_plan(
    network: FoldedNetwork, study: DatasetStudy, sequences: int, frames: Vector | None = None
) -> Choice:
    """The plan for `sequences` test sequences under the study's HE configuration.

    frames [n, T, C, H, W], normalised, are what precision is simulated on. Raises PlanError when
    nothing fits the configuration's ring degree and limits.
    """
    he = study.he
    at_most = sequences if he.evaluate_at_most is None else min(sequences, he.evaluate_at_most)
    task = Task(
        at_most, he.sequences, he.workers, he.memory_gb * 1e9, he.latency_s or math.inf,
        LEAST_BITS, he.refresh, he.open_end,
    )  # fmt: skip
    cost = load_costs(cache_root()).seconds
    return choose_plan(network, task, cost, (he.poly_degree,), frames, **fixed_bits(he))


def plan_like(network: FoldedNetwork, study: DatasetStudy, name: str, sequences: int) -> Plan:
    """The network's plan in the form of the candidate called `name` (`candidate_table`).

    Networks of one structure that are planned alike share parameters and layout. Raises PlanError
    when the network has no such form, or does not fit it.
    """
    known = []
    for form in forms(
        network, study.he.poly_degree, False, study.he.open_end, **fixed_bits(study.he)
    ):
        known.append(form.name)
        if form.name == name.partition(", ")[2]:
            return form.compile(sequences)
    raise PlanError(
        f"plan '{name}': got no such form at N={study.he.poly_degree}, expected one of "
        f"{'; '.join(known)}. Run the conversion notebook (03) again."
    )


def fixed_bits(he: HEConfig) -> dict[str, int | None]:
    """The sizes of the chain that a configuration fixes: the `bits` of `choose_plan`."""
    return {name: getattr(he, name) for name in ("scale_bits", "first_bits", "special_bits")}


def candidate_table(choice: Choice) -> pd.DataFrame:
    """The chosen plan and its runners-up, usable ones by predicted time, then those ruled out."""
    rows = [_row(one) for one in (choice.chosen, *choice.runners_up)]
    rows[0]["verdict"] = "chosen"
    return pd.DataFrame(rows)


def _row(one: Candidate) -> dict[str, object]:
    plan = one.plan
    return {
        "plan": one.name,
        "sequences": plan.layout.sequences,
        "levels": plan.depth,
        "rotations": sum(op.kind == "rotate" for op in plan.ops),
        "galois_keys": len(plan.rotations),
        "batch_s": one.seconds,
        "sequence_s": one.seconds_per_sequence,
        "task_s": one.total_s,
        "memory_GB": one.memory_bytes / 1e9,
        "plaintexts": "streamed" if one.streamed else "held",
        "verdict": one.why_not,
    }
