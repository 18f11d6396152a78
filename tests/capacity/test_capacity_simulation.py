"""The closed formula against a fleet simulated event by event."""

from __future__ import annotations

import numpy as np
import pytest

from heclstm_lib.capacity.makespan import Load, makespan_s
from heclstm_lib.capacity.simulate import MOST_BATCHES, group_sizes, simulate
from heclstm_lib.errors import ConfigError


def mean_seconds(load: Load, workers: int, runs: int = 20) -> float:
    return float(np.mean([simulate(load, workers, seed=seed).seconds for seed in range(runs)]))


@pytest.mark.parametrize(
    ("batches", "workers"), [(1, 1), (5, 2), (8, 4), (9, 4), (3, 10), (1000, 7), (64, 64)]
)
def test_one_hospital_without_chance_is_exact(batches: int, workers: int) -> None:
    load = Load(batches, 1, batch_s=10.0, load_s=4.0, start_s=1.0)
    expected = 1 + 4 + 10 * -(-batches // workers)
    assert simulate(load, workers).seconds == pytest.approx(expected)
    assert makespan_s(load, workers) == pytest.approx(expected)


def test_simulation_by_hand() -> None:
    # Two groups of two: one worker loads both keys; of three, two begin the first group, and the
    # first of them to end loads the other's keys for its last batch.
    load = Load(4, 2, batch_s=10.0, load_s=5.0, start_s=1.0)
    one = simulate(load, 1)
    assert (one.seconds, one.loads, one.busy_s, one.lost) == (51.0, 2, 50.0, 0)
    three = simulate(load, 3)
    assert (three.seconds, three.loads) == (31.0, 4)
    assert group_sizes(Load(7, 3, 1.0)) == [3, 2, 2]


def test_no_schedule_beats_the_lower_bounds() -> None:
    rng = np.random.default_rng(0)
    for case in range(50):
        groups = int(rng.integers(1, 8))
        batches = int(rng.integers(groups, 60))
        workers = int(rng.integers(1, 12))
        load = Load(batches, groups, 10.0, float(rng.uniform(0, 30)), 1.0)
        run = simulate(load, workers, seed=case)
        least = 1 + max(load.load_s + 10, (batches * 10 + groups * load.load_s) / workers)
        assert run.seconds >= least - 1e-9
        assert groups <= run.loads <= batches
        assert run.busy_s == pytest.approx(batches * 10 + run.loads * load.load_s)


def test_formula_is_near_the_simulation_on_random_cases() -> None:
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(60):
        workers = int(rng.integers(1, 40))
        batches = int(workers * rng.uniform(5, 30)) + 1
        groups = int(rng.integers(1, min(batches, 30) + 1))
        load = Load(
            batches, groups, batch_s=10.0, load_s=float(rng.uniform(0, 20)),
            spread=float(rng.uniform(0, 0.2)),
        )  # fmt: skip
        errors.append(makespan_s(load, workers) / mean_seconds(load, workers, 5) - 1)
    assert np.mean(np.abs(errors)) < 0.05
    assert np.max(np.abs(errors)) < 0.25


def test_single_waves_wait_for_the_slowest() -> None:
    load = Load(200, 1, batch_s=10.0, spread=0.1)
    assert makespan_s(load, 200) == pytest.approx(mean_seconds(load, 200), rel=0.03)
    assert makespan_s(load, 200) > 12


def test_failures_lose_batches_and_time() -> None:
    load = Load(400, 1, batch_s=100.0, load_s=20.0, failures_s=2e-4, restart_s=60.0)
    runs = [simulate(load, 8, workers_per_machine=4, seed=seed) for seed in range(20)]
    assert np.mean([run.lost for run in runs]) == pytest.approx(8, rel=0.3)
    calm = simulate(Load(400, 1, 100.0, 20.0), 8)
    simulated = float(np.mean([run.seconds for run in runs]))
    assert simulated > calm.seconds
    assert makespan_s(load, 8) == pytest.approx(simulated, rel=0.05)


def test_measured_times_are_drawn() -> None:
    load = Load(1000, 1, batch_s=10.0)
    run = simulate(load, 1, times=np.array([0.5, 1.5]))
    assert run.seconds == pytest.approx(10_000, rel=0.05) and run.seconds % 5 == 0


def test_ten_thousand_workers() -> None:
    load = Load(30_000, 100, batch_s=10.0, load_s=20.0, start_s=2.0, spread=0.05)
    run = simulate(load, 10_000, workers_per_machine=8)
    assert makespan_s(load, 10_000) == pytest.approx(run.seconds, rel=0.2)
    assert run.loads >= 10_000


def test_too_many_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match="closed formula"):
        simulate(Load(MOST_BATCHES + 1, 1, 1.0), 2)
