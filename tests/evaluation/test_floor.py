"""The floor adds up work times cost, and prices weighted sums in the shapes a plan has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.evaluation.floor import floor_cells, floor_table, measure_floor, sum_shapes
from heclstm_lib.he.packing import Layout
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import InputSpec, OutputSpec

PARAMS = CkksParameters(poly_degree=8192, levels=2, scale_bits=40, first_bits=50, special_bits=60)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Four inputs, three weighted sums of them, and the square of one, three times over."""
    builder = Builder(PARAMS, Layout(PARAMS.slots, 1, PARAMS.slots))
    inputs = [builder.input((place,)) for place in range(4)]
    sums = builder.weighted_sums(inputs, np.full((3, 4), 0.5))
    value = builder.square(builder.rescale(sums[0]))  # type: ignore[arg-type]
    return Plan(
        PARAMS,
        builder.layout,
        InputSpec(1, (4,), tuple(builder.patterns)),
        OutputSpec(((0,),)),
        tuple(builder.ops),
        tuple(builder.constants),
        (value.index,),
    )


def test_the_floor_adds_up_work_times_cost(plan: Plan) -> None:
    assert floor_cells(plan)[("load", 2)] == 4
    prices = {"load": 5.0, "weighted_sum": 2.0, "rescale": 3.0}
    costs = pd.DataFrame(
        [(kind, level, prices.get(kind, 0.0)) for kind, level in floor_cells(plan)],
        columns=["kind", "level", "seconds"],
    )
    floor = floor_table(plan, costs).set_index("kind")
    assert floor.loc["load"].to_list() == [4.0, 20.0]
    assert floor.loc["weighted_sum"].to_list() == [12.0, 24.0]
    assert floor.loc["rescale"].to_list() == [2.0, 6.0], "at two levels, in one row"


def test_weighted_sums_are_counted_by_their_shape(plan: Plan) -> None:
    assert sum_shapes(plan) == {(2, 3, 4): 1.0}


def test_a_floor_measured_now_has_every_kind_of_the_plan(plan: Plan) -> None:
    floor = measure_floor(plan, repeats=1).set_index("kind")
    assert set(floor.index) == {"load", "weighted_sum", "rescale", "square", "relinearise"}
    assert (floor.floor_s > 0).all()
    assert floor.loc["weighted_sum", "operations"] == 12
