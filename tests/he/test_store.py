"""Plans on disk: what is written is what is read; anything else is a PlanError with the remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.compile import choose_parameters, plan_network
from heclstm_lib.he.store import load_plan, write_plan

NETWORK = make_network(hidden=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "made" / "plan.npz"
    write_plan(plan_network(NETWORK, choose_parameters(NETWORK, 8192), 4), path)
    return path


def test_round_trip(path: Path) -> None:
    plan, frames = load_plan(path), make_frames(NETWORK, 4)
    np.testing.assert_allclose(evaluate_clear(plan, frames), NETWORK.scores(frames), atol=1e-9)
    assert [item.name for item in path.parent.iterdir()] == ["plan.npz"]


def test_altered_weight_is_noticed(path: Path) -> None:
    with np.load(path) as stored:
        plan, constants = stored["plan"], stored["constants"]
    constants[0, 0] += 1e-9
    np.savez(path, plan=plan, constants=constants)
    with pytest.raises(PlanError, match=r"plan\.npz: digest does not match"):
        load_plan(path)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "flipped", "other archive", "missing"])
def test_unreadable_plans(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        for place in range(100, len(data), 997):
            data[place] ^= 255
    if damage == "other archive":
        np.savez(path, scores=np.zeros(3))
        data = bytearray(path.read_bytes())
    damaged = {"empty": b"", "cut": data[: len(data) // 2], "text": b"no plan"}.get(damage, data)
    path.write_bytes(damaged)
    if damage == "missing":
        path.unlink()
    with pytest.raises(PlanError, match=r"plan\.npz"):
        load_plan(path)
