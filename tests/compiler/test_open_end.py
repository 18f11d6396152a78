"""Chains with an open end: a level fewer, and the last product stays unrescaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import make_frames, make_network, make_step

from heclstm_lib.compiler.chain import CIPHERTEXT_ENDS, choose_chain, network_depth, open_chain
from heclstm_lib.compiler.forms import Network, forms
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.compiler.planner import Task, choose_plan
from heclstm_lib.compiler.step import STEP_DEPTH, plan_step
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.client import Client
from heclstm_lib.he.params import END_ROOM_BITS, bit_budget
from heclstm_lib.he.server import Server
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.models.folded import FoldedNetwork

OPEN = "open end"


def open_plans(network: FoldedNetwork, degree: int, sequences: int):
    for form in forms(network, degree):
        if OPEN in form.name:
            try:
                yield form.name, form.compile(sequences)
            except PlanError as error:
                assert "do not fit" in str(error) or "plan the gates apart" in str(error).lower()


@pytest.mark.parametrize("depth", [2, 5, 7, 19])
@pytest.mark.parametrize("degree", [8192, 16384, 32768])
def test_the_chain_is_secure_and_leads_to_its_scales(depth: int, degree: int) -> None:
    params = open_chain(depth, degree)
    if params is None:
        assert depth * 26 > bit_budget(degree) - 100
        return
    assert params.levels == depth - 1
    assert params.total_bits <= bit_budget(degree)
    assert params.special_bits >= params.first_bits
    low = np.log2(params.scale_at(0))
    assert np.log2(params.scale**2) - params.coeff_bits[1] == low
    assert np.log2(params.end_scale) == params.first_bits - END_ROOM_BITS > low
    assert params.scale_at(1) == params.scale


def test_a_closed_chain_ends_at_the_working_scale() -> None:
    params = choose_chain(4, 16384)
    assert params.end_scale == params.scale_at(0) == params.scale
    assert not params.ends_at(0)


@pytest.mark.parametrize("network", [make_network(frames=2), make_step(4, 4)])
def test_without_it_every_chain_is_the_closed_one(network: Network) -> None:
    closed = list(forms(network, 16384, open_end=False))
    assert closed and not any(OPEN in form.name for form in closed)
    assert any(OPEN in form.name for form in forms(network, 16384))
    for form in closed:
        assert form.params == choose_chain(form.params.levels, 16384)
    task = Task(1, precision_bits=5, open_end=False)
    assert OPEN not in choose_plan(network, task, lambda *_: 1.0, degrees=(16384,)).chosen.name


@pytest.mark.parametrize("hidden", [0, 4])
@pytest.mark.parametrize(("degree", "sequences"), [(32768, 2), (32768, 8192)])
def test_every_form_computes_the_scores(hidden: int, degree: int, sequences: int) -> None:
    network = make_network(frames=2, hidden=hidden)
    frames = make_frames(network, 2)
    names = set()
    for name, plan in open_plans(network, degree, sequences):
        scores = evaluate_clear(plan, frames)[:, 0]
        np.testing.assert_allclose(scores, network.scores(frames), atol=1e-9)
        assert plan.depth == plan.params.levels
        assert all(plan.ops[index].level == 0 for index in plan.results)
        assert evaluate_simulated(plan, frames).precision_bits > 10
        names.add(name.split(",")[0])
    kinds = {"gates apart", "gates unpacked"} | ({"gates packed"} if sequences == 2 else set())
    assert names == (kinds if hidden else {"no recurrence"})


def test_it_saves_a_level() -> None:
    network = make_network(frames=2)
    depths = {form.name: form.params.levels for form in forms(network, 32768)}
    for name, levels in depths.items():
        if OPEN in name:
            assert levels == depths[name.removesuffix(f", {OPEN}")] - 1


def test_a_chain_fixed_by_the_user_stays_closed() -> None:
    assert not any(OPEN in form.name for form in forms(make_network(), 32768, scale_bits=36))


def test_an_sru_has_no_open_end() -> None:
    network = make_network(recurrence="sru")
    assert not any(OPEN in form.name for form in forms(network, 32768))


def test_a_step_ends_with_a_product_of_two_ciphertexts() -> None:
    step = make_step(8, 8)
    params = open_chain(STEP_DEPTH, 16384, CIPHERTEXT_ENDS)
    assert params is not None
    values = np.random.default_rng(1).uniform(-1, 1, (3, 1, 24))
    for sequences, bits in ((1, 10), (8192, 14)):
        plan = plan_step(step, params, sequences)
        some = values[: min(sequences, 3)]
        np.testing.assert_allclose(evaluate_clear(plan, some), step.outputs(some[:, 0]), atol=1e-9)
        assert plan.depth == STEP_DEPTH - 1
        assert evaluate_simulated(plan, some).precision_bits > bits


@pytest.mark.parametrize("packed", [True, False])
def test_encrypted_scores_are_as_precise_as_simulated(tmp_path: Path, packed: bool) -> None:
    network = make_network(frames=1)
    params = open_chain(network_depth(network, packed=False), 16384)
    assert params is not None
    plan = plan_network(network, params, 2, packed=packed, stay_packed=packed)
    frames = make_frames(network, 2)
    client = Client(plan.signature)
    client.write_public_bundle(tmp_path / "bundle")
    client.encrypt_batch(frames, tmp_path / "request")
    simulation = evaluate_simulated(plan, frames)
    assert simulation.precision_bits > 10
    for flood_bits in (None, 0, 30):  # as the commands do, and with noise below the result's
        server = Server(plan, tmp_path / "bundle", flood_bits=flood_bits)
        server.evaluate(tmp_path / "request", tmp_path / "response")
        scores = client.decrypt_scores(tmp_path / "response")
        assert np.abs(scores - network.scores(frames)).max() < 6 * simulation.errors.max()
