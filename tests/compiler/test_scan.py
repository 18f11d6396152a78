"""The SRU by a prefix scan: exact in clear, causal, precise enough, and right when encrypted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_clear_agrees, make_frames, make_network
from parties import make_parties

from heclstm_lib.compiler.chain import choose_parameters, network_depth
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import DepthBudgetExceeded, PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.models.folded import FoldedNetwork

LONG = {"hidden": 16, "channels_out": 8, "image_size": 28}


def make_sru(frames: int, hidden: int = 4, **sizes: object) -> FoldedNetwork:
    return make_network(frames, hidden, recurrence="sru", **sizes)


def make_plan(
    network: FoldedNetwork, sequences: int = 2, packed: bool = False, poly_degree: int = 32768
) -> Plan:
    params = choose_parameters(network, poly_degree, packed=packed)
    return plan_network(network, params, sequences, packed)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "apart"])
@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8, 16, 32])
def test_any_length(frames: int, degree: int, packed: bool) -> None:
    network = make_sru(frames, degree=degree)
    plan = make_plan(network, packed=packed)
    assert plan.depth == network_depth(network, packed) == plan.params.levels
    assert_clear_agrees(network, plan)


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 9),
    hidden=st.sampled_from([1, 2, 3, 5, 12]),
    channels=st.sampled_from([1, 3]),
    channels_out=st.integers(1, 3),
    dense=st.sampled_from([(), (5,), (6, 3)]),
    sequences=st.sampled_from([1, 2, 8]),
    packed=st.booleans(),
    data=st.data(),
)
def test_any_configuration(
    frames: int, hidden: int, sequences: int, packed: bool, data: st.DataObject, **sizes: object
) -> None:
    network = make_sru(frames, hidden, kernel_size=3, **sizes)
    plan = make_plan(network, sequences, packed)
    assert_clear_agrees(network, plan, data.draw(st.integers(1, sequences)))


@pytest.mark.parametrize("frames", [1, 2, 4, 7])
@pytest.mark.parametrize(
    ("hidden", "features"), [(3, 1), (12, 4)], ids=["one feature", "several ciphertexts of units"]
)
def test_units_in_many_ciphertexts(frames: int, hidden: int, features: int) -> None:
    network = make_sru(frames, hidden, image_size=8, kernel_size=3)
    lanes = 8192 // features
    sequences = lanes // (1 << (frames - 1).bit_length())
    plan = make_plan(network, sequences, packed=features == 1, poly_degree=16384)
    assert plan.layout.features == features
    assert_clear_agrees(network, plan)


def test_levels_grow_by_the_logarithm_of_the_length() -> None:
    depths = [network_depth(make_sru(frames), packed=False) for frames in (4, 8, 16, 32)]
    assert depths == [7, 8, 9, 10]
    cubic = [network_depth(make_sru(frames, degree=3), packed=False) for frames in (4, 32)]
    assert cubic == [8, 11]


@pytest.mark.parametrize("read", [0, 3, 6])
def test_a_frame_sees_none_after_it(read: int) -> None:
    """What a rotation brings round from the last frames is cancelled."""
    network = make_sru(7)
    temporal = np.where(np.arange(7)[:, None] == read, network.temporal, 0.0)
    network = replace(network, temporal=temporal, spatial=network.spatial * 0)
    frames = make_frames(network, 2)
    changed = frames.copy()
    changed[:, read + 1 :] += 3.0
    plan = make_plan(network)
    before, after = evaluate_clear(plan, frames), evaluate_clear(plan, changed)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9)
    changed[:, read] += 1.0
    assert np.abs(evaluate_clear(plan, changed) - before).min() > 1e-3


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("spatial", slice(None)),
        ("temporal", slice(None)),
        ("temporal", (slice(None), 1)),
        ("temporal", -1),
        ("gate_bias", slice(None)),
    ],
)
@pytest.mark.parametrize("sequences", [2, 4096], ids=["one ciphertext", "one feature"])
def test_zero_weights(name: str, index: object, sequences: int) -> None:
    network = make_sru(4, image_size=8, kernel_size=3)
    values = getattr(network, name).copy()
    values[index] = 0
    network = replace(network, **{name: values})
    plan = make_plan(network, sequences, packed=sequences > 2)
    assert_clear_agrees(network, plan)


def test_a_gate_without_weights_is_named() -> None:
    network = make_sru(4)
    network = replace(network, gate_input=network.gate_input * np.array([0, 1, 1])[:, None, None])
    with pytest.raises(PlanError, match=r"layer 'sru\.input': nothing to sum"):
        make_plan(network)


def test_too_many_frames_for_a_small_degree() -> None:
    with pytest.raises(DepthBudgetExceeded, match=r"needs 9 levels.*N=8192"):
        choose_parameters(make_sru(16), 8192, packed=False)


@pytest.mark.parametrize("poly_degree", [16384, 32768])
@pytest.mark.parametrize("frames", [16, 32])
def test_long_sequences_are_precise_without_interaction(frames: int, poly_degree: int) -> None:
    network = make_sru(frames, **LONG)
    plan = make_plan(network, 1, poly_degree=poly_degree)
    simulation = evaluate_simulated(plan, make_frames(network, 1))
    assert simulation.precision_bits >= 12
    assert plan.key_bytes() < 1e9


@pytest.mark.parametrize(("frames", "packed"), [(4, False), (3, True)], ids=["apart", "packed"])
def test_encrypted(tmp_path: Path, frames: int, packed: bool) -> None:
    network = make_sru(frames, image_size=8, kernel_size=3)
    parties = make_parties(network, 16384, 64, tmp_path, packed)
    values = make_frames(network, 50)
    bits = -np.log2(np.abs(parties.scores(values) - network.scores(values)).mean())
    assert bits > evaluate_simulated(parties.plan, values).precision_bits - 0.5
    assert bits > 18


def test_encrypted_with_one_feature_a_ciphertext(tmp_path: Path) -> None:
    network = make_sru(2, 2, image_size=8, kernel_size=3)
    parties = make_parties(network, 16384, 4096, tmp_path)
    values = make_frames(network, 50)
    assert -np.log2(np.abs(parties.scores(values) - network.scores(values)).mean()) > 18


@pytest.mark.slow
def test_sixteen_frames_encrypted_at_full_size(tmp_path: Path) -> None:
    network = make_sru(16, **LONG)
    parties = make_parties(network, 32768, 2, tmp_path, packed=False)
    frames = make_frames(network, 2)
    error = np.abs(parties.scores(frames) - network.scores(frames))
    assert -np.log2(error.mean()) > 16
