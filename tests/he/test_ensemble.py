"""Networks whose mean score the server computes: one request, one response, one key set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network
from parties import Parties, register

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.compiler.refresh_plan import choose_refresh_parameters, plan_refresh
from heclstm_lib.compiler.share import divide_score
from heclstm_lib.errors import PlanError, WireError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.ensemble import LAYER, add_plans
from heclstm_lib.he.footprint import working_bytes
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.server import Server
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.he.store import load_plan, write_plan
from heclstm_lib.he.wire import iter_chunks
from heclstm_lib.models.folded import FoldedNetwork

SMALL = {"frames": 3, "hidden": 0, "channels_out": 4, "kernel_size": 3}
SEEDS = (0, 1, 2)


def members(**sizes: int) -> list[FoldedNetwork]:
    return [make_network(**SMALL | sizes, seed=seed) for seed in SEEDS]


def mean(networks: list[FoldedNetwork], frames: np.ndarray) -> np.ndarray:
    return np.mean([network.scores(frames) for network in networks], axis=0)


def plans_of(networks: list[FoldedNetwork], sequences: int = 8, degree: int = 8192) -> list[Plan]:
    """Plans whose scores are already divided by their number."""
    packed = networks[0].hidden > 0
    return [
        plan_network(
            divide_score(network, len(networks)),
            choose_parameters(network, degree, packed=packed), sequences, packed,
        )
        for network in networks
    ]  # fmt: skip


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return plans_of(members())


@pytest.fixture(scope="module")
def ensemble(plans: list[Plan]) -> Plan:
    return add_plans(plans)


@pytest.fixture(scope="module")
def hospital(ensemble: Plan, tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return register(members()[0], ensemble, tmp_path_factory.mktemp("ensemble"))


@pytest.mark.parametrize("count", [8, 3])
def test_one_response_decrypts_to_the_mean(hospital: Parties, count: int) -> None:
    networks = members()
    frames = make_frames(networks[0], count)
    error = np.abs(hospital.scores(frames) - mean(networks, frames))
    assert -np.log2(error.mean()) >= 18
    assert len(list(iter_chunks(hospital.folder / "response"))) == 1


def test_with_lstm_and_flooded(tmp_path: Path) -> None:
    networks = members(frames=1, hidden=3, channels_out=2)
    plan = add_plans(plans_of(networks, 64, 16384))
    frames = make_frames(networks[0], 50)
    parties = register(networks[0], plan, tmp_path, flood_bits=0)
    error = parties.scores(frames) - mean(networks, frames)
    assert -np.log2(np.abs(error).mean()) >= 14


def test_clear_and_simulated(ensemble: Plan, plans: list[Plan]) -> None:
    networks = members()
    frames = make_frames(networks[0], 8)
    np.testing.assert_allclose(evaluate_clear(ensemble, frames)[:, 0], mean(networks, frames))
    parts = [evaluate_simulated(plan, frames) for plan in plans]
    found = evaluate_simulated(ensemble, frames)
    np.testing.assert_allclose(found.outputs, sum(part.outputs for part in parts))
    np.testing.assert_allclose(found.errors**2, sum(part.errors**2 for part in parts))
    assert found.headroom_bits <= min(part.headroom_bits for part in parts)


def test_a_sum_without_room_is_noticed_before_any_key() -> None:
    """Each member's score has room in the first prime, their sum has not."""
    networks = [replace(network, bias=300.0) for network in members()]
    params = choose_parameters(networks[0], 8192, packed=False)
    apart = [plan_network(network, params, 8, False) for network in networks]
    frames = make_frames(networks[0], 2)
    for plan in apart:
        evaluate_simulated(plan, frames)
    with pytest.raises(PlanError, match=rf"'{LAYER}'.*overflows"):
        evaluate_simulated(add_plans(apart), frames)
    evaluate_simulated(add_plans(plans_of(networks)), frames)  # a mean needs no more room


def test_the_order_of_members_is_no_matter(ensemble: Plan, plans: list[Plan]) -> None:
    assert add_plans(plans[::-1]).digest == ensemble.digest
    assert add_plans(plans[:2]).digest != add_plans(plans[1:]).digest


def test_what_is_shared_is_there_once(ensemble: Plan, plans: list[Plan], tmp_path: Path) -> None:
    assert ensemble.inputs.count == plans[0].inputs.count
    assert set(ensemble.rotations) == {step for plan in plans for step in plan.rotations}
    assert len(ensemble.ops) == sum(len(plan.ops) for plan in plans) + 2 - 2 * 9
    most = max(map(working_bytes, plans))
    inputs = ensemble.inputs.count * ensemble.params.ciphertext_bytes(ensemble.params.levels)
    assert working_bytes(ensemble) - most < inputs / 2, "inputs are dropped on the way"
    write_plan(ensemble, tmp_path / "plan.npz")
    assert load_plan(tmp_path / "plan.npz").digest == ensemble.digest


def test_members_that_lay_pixels_out_otherwise(plans: list[Plan]) -> None:
    """Inputs of both kinds are sent; each member takes its own."""
    networks = members()
    share = divide_score(networks[1], 3)
    other = plan_network(share, plans[1].params, 8, packed=False, taps_together=2)
    assert (plans[1].inputs.count, other.inputs.count) == (9, 5)
    merged = add_plans([plans[0], other, plans[2]])
    both = {*plans[0].inputs.patterns, *other.inputs.patterns}
    assert merged.inputs.count == len(both) > 9
    frames = make_frames(networks[0], 4)
    np.testing.assert_allclose(evaluate_clear(merged, frames)[:, 0], mean(networks, frames))


def test_requests_are_for_the_ensemble_or_for_a_member(
    hospital: Parties, plans: list[Plan], tmp_path: Path
) -> None:
    frames = make_frames(members()[0], 2)
    hospital.client.encrypt_batch(frames, tmp_path / "for-all")
    single = register(members()[0], plans[0], tmp_path)
    single.client.encrypt_batch(frames, tmp_path / "for-one")
    with pytest.raises(WireError, match="for-all: plan is"):
        single.server.evaluate(tmp_path / "for-all", tmp_path / "out")
    with pytest.raises(WireError, match="for-one: plan is"):
        hospital.server.evaluate(tmp_path / "for-one", tmp_path / "out")
    with pytest.raises(WireError, match="bundle: plan is"):
        Server(plans[0], hospital.folder / "bundle")


def test_plans_that_cannot_be_added(plans: list[Plan]) -> None:
    first, networks = plans[0], members()
    with pytest.raises(PlanError, match=r"got 1 plan\(s\), expected 2 or more"):
        add_plans([first])
    params = CkksParameters(8192, 3, 38, 48, 50)
    with pytest.raises(PlanError, match=r"plan 1: parameters is .*same form"):
        add_plans([first, plan_network(networks[1], params, 8, False)])
    with pytest.raises(PlanError, match=r"plan 1: layout is .*sequences=4"):
        add_plans([first, plan_network(networks[1], first.params, 4, False)])
    wide = make_network(**SMALL, image_size=15)
    with pytest.raises(PlanError, match="plan 1: shape of the input is"):
        add_plans([first, plan_network(wide, first.params, 8, False)])


def test_scales_that_differ_are_refused_unless_by_a_last_bit(plans: list[Plan]) -> None:
    def off(plan: Plan, factor: float) -> Plan:
        last = plan.results[0]
        ops = [replace(op, scale=op.scale * factor) if op.index == last else op for op in plan.ops]
        return replace(plan, ops=tuple(ops))

    with pytest.raises(PlanError, match=r"plan 1, result 0: .*cannot be added"):
        add_plans([plans[0], off(plans[1], 1 + 1e-12)])
    add_plans([plans[0], off(plans[1], 1 - 2.0**-53)])


def test_refreshes_are_refused() -> None:
    network = make_network(frames=2, hidden=3, channels_out=2, kernel_size=3)
    params = choose_refresh_parameters(network, 16384)
    plan = plan_refresh(network, params, 8)
    with pytest.raises(PlanError, match=r"plan 0: the client re-encrypts 1 state"):
        add_plans([plan, plan])


@pytest.mark.parametrize("hidden", [0, 4])
def test_a_divided_score(hidden: int) -> None:
    network = make_network(hidden=hidden)
    frames = make_frames(network, 3)
    np.testing.assert_allclose(divide_score(network, 5).scores(frames), network.scores(frames) / 5)
    with pytest.raises(PlanError, match="by 0"):
        divide_score(network, 0)
