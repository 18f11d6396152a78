"""The planner: the cheapest layout within the limits, with reasons for the others."""

from __future__ import annotations

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler.planner import (
    Task,
    candidates,
    choose_plan,
    predicted_seconds,
)
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.footprint import working_bytes
from heclstm_lib.he.params import CkksParameters

NETWORK = make_network(frames=2, hidden=4)


def cost(kind: str, level: int, params: CkksParameters) -> float:
    """Rotations and relinearisations grow with the square of the level, the rest linearly."""
    size, dear = params.poly_degree / 8192, kind in ("rotate", "relinearise")
    return size * ((level + 2) ** 2 * 1e-3 if dear else (level + 1) * 1e-4)


def test_more_sequences_move_towards_throughput() -> None:
    sizes = [
        choose_plan(NETWORK, Task(count), cost, degrees=(16384,)).chosen.plan.layout.sequences
        for count in (1, 64, 4096)
    ]
    assert sizes == sorted(sizes) and sizes[0] == 1 and sizes[-1] > 64


def test_the_chosen_takes_the_least_time_of_those_allowed() -> None:
    task = Task(100, workers=2)
    choice = choose_plan(NETWORK, task, cost, degrees=(16384, 32768))
    allowed = [one for one in choice.runners_up if not one.why_not]
    assert allowed and all(one.total_s >= choice.chosen.total_s for one in allowed)
    batches = -(-100 // choice.chosen.plan.layout.sequences)
    assert choice.chosen.total_s == -(-batches // 2) * choice.chosen.seconds
    assert len({one.name for one in choice.runners_up}) == len(choice.runners_up)


def test_limits_rule_out() -> None:
    free = choose_plan(NETWORK, Task(512), cost, degrees=(16384,)).chosen
    quick = choose_plan(NETWORK, Task(512, latency_s=free.seconds * 0.9), cost, degrees=(16384,))
    assert quick.chosen.seconds <= free.seconds * 0.9
    assert any("s a batch" in one.why_not for one in quick.runners_up)
    small = choose_plan(NETWORK, Task(512, memory_bytes=8e8), cost, degrees=(16384,))
    assert small.chosen.memory_bytes <= 8e8
    with pytest.raises(PlanError, match=r"no plan for Task.*GB a worker, 0\.0 GB are allowed"):
        choose_plan(NETWORK, Task(1, memory_bytes=1e6), cost, degrees=(16384,))
    with pytest.raises(PlanError, match=r"bits predicted, 50 are asked"):
        choose_plan(NETWORK, Task(1, precision_bits=50), cost, degrees=(16384,))
    with pytest.raises(PlanError, match=r"the network needs 11 levels"):
        choose_plan(NETWORK, Task(1), cost, degrees=(8192,))
    deep = make_network(frames=16)
    with pytest.raises(PlanError, match=r"no ring degree has enough levels"):
        choose_plan(deep, Task(1), cost)
    with pytest.raises(PlanError, match=r"task: sequences must be positive, got 0"):
        Task(0)


def test_predicted_seconds_and_memory_follow_the_operations() -> None:
    for candidate in candidates(NETWORK, Task(64), cost, (16384,)):
        plan = candidate.plan
        total = sum(cost(kind, level, plan.params) * n for (kind, level), n in plan.work().items())
        assert np.isclose(predicted_seconds(plan, cost), total)
        live = [plan.params.ciphertext_bytes(op.level, op.size) for op in plan.ops]
        assert max(live) < working_bytes(plan) < sum(live)
        assert candidate.memory_bytes > plan.key_bytes() + working_bytes(plan)


def test_chosen_plan_computes_the_network() -> None:
    frames = make_frames(NETWORK, 3)
    choice = choose_plan(NETWORK, Task(300), cost, degrees=(16384,), frames=frames)
    expected = NETWORK.scores(frames)[:, None]
    np.testing.assert_allclose(evaluate_clear(choice.chosen.plan, frames), expected, atol=1e-9)
    np.testing.assert_allclose(choice.simulation.outputs, expected, atol=1e-6)


def test_refresh_is_asked_for_and_answers_with_round_trips() -> None:
    task = Task(2, refresh=True)
    chosen = choose_plan(NETWORK, task, cost, degrees=(16384, 32768)).chosen
    assert len(chosen.plan.refreshes) == 1 and "refresh" in chosen.form
    without = choose_plan(NETWORK, Task(2), cost, degrees=(32768,)).chosen
    assert without.plan.refreshes == () and chosen.seconds < without.seconds
    with pytest.raises(PlanError, match="only an LSTM that reads one way has a state to refresh"):
        choose_plan(make_network(recurrence="sru"), task, cost, degrees=(16384,))
