"""One LSTM step: both layouts compute the step, and h' comes out as h went in."""

from __future__ import annotations

import numpy as np
import pytest
from networks import make_step

from heclstm_lib.compiler.chain import choose_chain
from heclstm_lib.compiler.step import STEP_DEPTH, plan_step
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.simulate import evaluate_simulated


@pytest.mark.parametrize(("inputs", "hidden"), [(4, 4), (3, 8), (8, 5)])
@pytest.mark.parametrize("sequences", [1, 8192])
def test_both_layouts_are_the_step(inputs: int, hidden: int, sequences: int) -> None:
    step = make_step(inputs, hidden)
    plan = plan_step(step, choose_chain(STEP_DEPTH, 16384), sequences)
    values = np.random.default_rng(1).uniform(-1, 1, (min(sequences, 5), 1, inputs + 2 * hidden))
    result = evaluate_clear(plan, values)
    np.testing.assert_allclose(result, step.outputs(values[:, 0]), atol=1e-12)
    assert plan.depth == STEP_DEPTH
    assert bool(plan.rotations) == (sequences == 1)


def test_h_comes_out_in_the_layout_it_went_in() -> None:
    step = make_step(4, 4)
    plan = plan_step(step, choose_chain(STEP_DEPTH, 16384), 1)
    hidden = plan.inputs.patterns[1]
    assert [index - 4 for index in hidden] == list(plan.outputs.places[0])
    assert max(np.flatnonzero(np.array(plan.outputs.places[1]) >= 0)) < 2 * 4


def test_precision_at_the_benchmarks_size() -> None:
    step = make_step(32, 32)
    plan = plan_step(step, choose_chain(STEP_DEPTH, 16384), 1)
    values = np.random.default_rng(1).uniform(-1, 1, (1, 1, 96))
    assert evaluate_simulated(plan, values).precision_bits > 20


def test_what_does_not_fit_is_refused() -> None:
    step, params = make_step(32, 64), choose_chain(STEP_DEPTH, 16384)
    with pytest.raises(PlanError, match=r"64 tiles of 257 places do not fit.*8192"):
        plan_step(step, params, 1)
    with pytest.raises(PlanError, match=r"2 sequences, expected 1 .* or 8192"):
        plan_step(step, params, 2)
