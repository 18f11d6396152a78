"""U h by windows: every number of diagonals, and the choice among them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler import network as compile_module
from heclstm_lib.compiler.refresh_plan import choose_refresh_parameters, plan_refresh
from heclstm_lib.compiler.windowed_lstm import choose_diagonals, step_cost, window_copies
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.params import CkksParameters

NETWORK = make_network(frames=3, hidden=7)
PARAMS = choose_refresh_parameters(NETWORK, 16384)
FRAMES = make_frames(NETWORK, 1)


@pytest.mark.parametrize("diagonals", [0, 1, 2, 4, 8])
def test_every_number_of_diagonals_gives_the_scores(
    diagonals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_module, "choose_diagonals", lambda *_: diagonals)
    plan = plan_refresh(NETWORK, PARAMS, 1)
    np.testing.assert_allclose(
        evaluate_clear(plan, FRAMES)[:, 0], NETWORK.scores(FRAMES), atol=1e-9
    )
    products = sum(op.kind == "multiply_plain" and op.layer == "lstm.t1" for op in plan.ops)
    assert products == (diagonals or 8) + 1  # the mask of o


def test_cost_counts_the_rotations_that_the_plan_has() -> None:
    network = make_network(frames=2, hidden=16)
    plan = plan_refresh(network, PARAMS, 1)
    chosen = choose_diagonals(16, 5, plan.layout.features)
    counts = {
        (layer, level): sum(
            op.kind == "rotate" and op.layer == layer and op.level == level for op in plan.ops
        )
        for layer, level in (("lstm.state0", 1), ("lstm.t1", 4), ("lstm.t1", 5))
    }
    spread = counts["lstm.state0", 1] - 1  # one moves h to the next frame
    cost = 6 * spread + 30 * counts["lstm.t1", 4] + 42 * counts["lstm.t1", 5]
    assert (chosen, cost) == (1, step_cost(16, 1, 5, plan.layout.features))


def test_windows_take_what_room_there_is() -> None:
    rooms = {features: choose_diagonals(16, 5, features) for features in (2048, 512, 64)}
    assert rooms == {2048: 1, 512: 4, 64: 0}
    assert window_copies(16, 1) == 128 and window_copies(16, 4) == 32
    assert choose_diagonals(32, 5, 2048) == 4 and choose_diagonals(64, 5, 2048) == 16


def test_less_room_with_more_sequences() -> None:
    found = []
    for sequences in (1, 64):
        plan = plan_refresh(NETWORK, CkksParameters(16384, 7, 44, 60, 60), sequences)
        frames = make_frames(NETWORK, sequences)
        scores = evaluate_clear(plan, frames)[:, 0]
        np.testing.assert_allclose(scores, NETWORK.scores(frames), atol=1e-9)
        found.append(sum(op.kind == "multiply_plain" for op in plan.ops))
    assert found[0] < found[1]


def test_no_recurrence_no_product() -> None:
    network = dataclasses.replace(NETWORK, gate_recurrent=np.zeros_like(NETWORK.gate_recurrent))
    plan = plan_refresh(network, PARAMS, 1)
    expected = network.scores(FRAMES)
    np.testing.assert_allclose(evaluate_clear(plan, FRAMES)[:, 0], expected, atol=1e-9)
