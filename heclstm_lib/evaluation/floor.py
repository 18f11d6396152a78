"""The floor of a plan: sum over it of (operations of a kind at a level x that primitive's cost).

It is what the plan would take if nothing but SEAL's own work took time.
"""

from __future__ import annotations

import pandas as pd

from heclstm_lib.evaluation.primitive_calls import PrimitiveCalls
from heclstm_lib.evaluation.primitives import Cell, measure_primitives, median_seconds
from heclstm_lib.he.backend import grouped
from heclstm_lib.he.plan import Plan


def floor_cells(plan: Plan) -> dict[Cell, float]:
    """Work by (primitive, level); an input is loaded from its bytes."""
    return {
        ("load" if kind == "input" else kind, level): units
        for (kind, level), units in plan.work().items()
    }


def floor_table(plan: Plan, primitives: pd.DataFrame) -> pd.DataFrame:
    """One row a kind: operations in the plan and the seconds they cannot go below."""
    cost = primitives.set_index(["kind", "level"])["seconds"]
    rows = [
        (kind, units, units * cost[(kind, level)])
        for (kind, level), units in floor_cells(plan).items()
    ]
    return _by_kind(rows)


def measure_floor(plan: Plan, repeats: int = 9) -> pd.DataFrame:
    """The same with costs measured now, and weighted sums in the very shapes the plan has."""
    cells = {cell: units for cell, units in floor_cells(plan).items() if cell[0] != "weighted_sum"}
    cost = measure_primitives(plan.params, repeats, only=cells).set_index(["kind", "level"])
    rows = [
        (kind, units, units * cost.loc[(kind, level), "seconds"])
        for (kind, level), units in cells.items()
    ]
    return _by_kind(rows + _sums(plan, repeats))


def _by_kind(rows: list[tuple[str, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["kind", "operations", "floor_s"])
    return table.groupby("kind", sort=False).sum().reset_index()


def sum_shapes(plan: Plan) -> dict[tuple[int, int, int], float]:
    """How often sums of (level, number of sums, arguments) are taken together.

    On three polynomials they count one and a half times, as in `Plan.work`.
    """
    shapes: dict[tuple[int, int, int], float] = {}
    for ops in grouped(plan.ops):
        first = ops[0]
        if first.kind == "weighted_sum":
            key = (plan.working_level(first), len(ops), len(first.args))
            shapes[key] = shapes.get(key, 0.0) + first.size / 2
    return shapes


def _sums(plan: Plan, repeats: int) -> list[tuple[str, float, float]]:
    shapes = sum_shapes(plan)
    if not shapes:
        return []
    calls = PrimitiveCalls(plan.params)
    rows = []
    for (level, count, arguments), times in shapes.items():
        run = calls.weighted_sums(calls.value(level), level, count, arguments)
        seconds, _ = median_seconds(run, repeats)
        rows.append(("weighted_sum", times * count * arguments, times * seconds))
    return rows
