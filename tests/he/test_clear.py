"""The compiled plan in clear is the network, to the accuracy of float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_clear_agrees, make_frames, make_network

from heclstm_lib.compiler.chain import choose_parameters, network_depth
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import DataError, PlanError
from heclstm_lib.he.clear import evaluate_clear, layer_ranges
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.folded import FoldedNetwork


def make_plan(network: FoldedNetwork, sequences: int) -> Plan:
    params = CkksParameters(32768, network_depth(network), 27, 37, 39)
    return plan_network(network, params, sequences)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 4),
    hidden=st.sampled_from([0, 1, 2, 3, 4, 12]),
    channels=st.sampled_from([1, 3]),
    channels_out=st.integers(1, 3),
    image_size=st.integers(6, 14),  # most are not divisible by the stride
    stride=st.integers(1, 3),
    degree=st.sampled_from([2, 3]),
    dense=st.sampled_from([(), (5,), (70,), (6, 3)]),
    sequences=st.sampled_from([1, 2, 8]),
    data=st.data(),
)
def test_any_configuration(
    frames: int, degree: int, dense: tuple, sequences: int, data: st.DataObject, **sizes: int
) -> None:
    frames = min(frames, 2 if degree == 3 else 4)
    network = make_network(frames, degree=degree, dense=dense, kernel_size=3, **sizes)
    plan = make_plan(network, sequences)
    assert_clear_agrees(network, plan, data.draw(st.integers(1, sequences)))


@pytest.mark.parametrize(
    ("frames", "hidden", "sequences"), [(3, 12, 8), (4, 16, 1), (1, 16, 2), (4, 1, 1), (2, 2, 1)]
)
def test_padded_frames_and_hidden_sizes(frames: int, hidden: int, sequences: int) -> None:
    network = make_network(frames, hidden, channels=3)
    assert_clear_agrees(network, make_plan(network, sequences), sequences)


def zeroed(network: FoldedNetwork, name: str, index: object) -> FoldedNetwork:
    values = getattr(network, name).copy()
    values[index] = 0
    return replace(network, **{name: values})


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("conv_weight", (slice(None), 0, 1, 1)),  # a tap that no channel uses
        ("conv_weight", 0),
        ("gate_input", 1),
        ("gate_recurrent", 2),  # a gate that does not see the hidden state
        ("gate_recurrent", slice(None)),
        ("spatial", slice(None)),  # weighted unit off
        ("spatial", 0),  # a vote of zero
        ("temporal", slice(None)),
        ("temporal", -1),
    ],
)
def test_zero_weights(name: str, index: object) -> None:
    network = zeroed(make_network(frames=3), name, index)
    assert_clear_agrees(network, make_plan(network, 2))


def test_weights_too_small_to_encode_are_left_out() -> None:
    network = make_network()
    weight = network.conv_weight.copy()
    weight[:, 0, 0, 0] = 1e-12
    plan = make_plan(replace(network, conv_weight=weight), 1)
    products = sum(op.kind == "multiply_plain" and op.layer == "blocks.0.conv" for op in plan.ops)
    assert products == plan.inputs.count - 1


@pytest.mark.parametrize("name", ["conv_weight", "gate_input"])
def test_all_zero_weights_are_an_error_that_names_the_layer(name: str) -> None:
    layer = {"conv_weight": "blocks.0.conv", "gate_input": "lstm.input"}[name]
    with pytest.raises(
        PlanError, match=f"layer '{layer}': nothing to sum; all its weights are zero"
    ):
        make_plan(zeroed(make_network(), name, slice(None)), 1)


@pytest.mark.parametrize("dense", [(), (6,)])
def test_hidden_size_beyond_the_feature_axis(dense: tuple[int, ...]) -> None:
    network = make_network(hidden=64, dense=dense)
    with pytest.raises(PlanError, match=r"feature axis of 64.*fewer sequences"):
        plan_network(network, CkksParameters(16384, network_depth(network), 26, 36, 38), 64)


@pytest.mark.parametrize(
    "frames",
    [np.zeros((3, 2, 1, 12, 12)), np.zeros((0, 2, 1, 12, 12)), np.zeros((1, 2, 3, 12, 12))],
)
def test_frames_of_another_shape_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"got shape .*n from 1 to 2 and .*\(2, 1, 12, 12\)"):
        evaluate_clear(make_plan(make_network(), 2), frames)


def test_frames_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        evaluate_clear(make_plan(make_network(), 1), np.full((1, 2, 1, 12, 12), np.nan))


def test_layer_ranges_bound_the_score() -> None:
    network = make_network()
    frames = make_frames(network, 2)
    ranges = layer_ranges(make_plan(network, 2), frames)
    assert ranges["voting"] >= np.abs(network.scores(frames)).max()
    assert ranges["blocks.0.activation"] >= network.features(frames).max()


@pytest.mark.parametrize("sequences", [64, 256, 1024, 4096])
@pytest.mark.parametrize("dense", [(), (6,)])
def test_features_over_many_ciphertexts(sequences: int, dense: tuple[int, ...]) -> None:
    """From several places a ciphertext (64 sequences) down to one feature each (4096)."""
    network = make_network(frames=2, hidden=8, channels_out=4, dense=dense)
    params = choose_parameters(network, 16384, packed=False)
    plan = plan_network(network, params, sequences, packed=False)
    frames = make_frames(network, 3)
    expected = network.scores(frames)[:, None]
    np.testing.assert_allclose(evaluate_clear(plan, frames), expected, atol=1e-9)
    assert plan.depth == params.levels
    assert (plan.rotations == (-4096,)) == (sequences == 4096)


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize(("frames", "hidden", "sequences"), [(4, 4, 1), (3, 6, 2), (2, 1, 8)])
def test_gates_that_stay_packed(frames: int, hidden: int, sequences: int, degree: int) -> None:
    network = make_network(frames, hidden, degree=degree)
    params = choose_parameters(network, 32768, packed=False)
    plan = plan_network(network, params, sequences, stay_packed=True, taps_together=4)
    inputs = make_frames(network, sequences)
    expected = network.scores(inputs)[:, None]
    np.testing.assert_allclose(evaluate_clear(plan, inputs), expected, atol=1e-9)
    assert plan.depth == params.levels and plan.inputs.count == 7
    unpacked = choose_parameters(network, 32768)
    other = plan_network(network, unpacked, sequences)
    switches = [
        sum(op.kind in ("rotate", "relinearise") for op in one.ops) for one in (plan, other)
    ]
    assert switches[0] < switches[1] and plan.params.levels < other.params.levels


def test_only_an_lstm_stays_packed() -> None:
    network = make_network(frames=2, hidden=4)
    params = choose_parameters(network, 16384, packed=False)
    with pytest.raises(PlanError, match=r"stay packed: expected an LSTM.*1 feature"):
        plan_network(network, params, 4096, stay_packed=True)
