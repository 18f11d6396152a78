"""A Bi-LSTM's two halves: exact in clear, no deeper than one, shared features, right encrypted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_clear_agrees, make_frames, make_network
from parties import register

from heclstm_lib.compiler.chain import choose_parameters, network_depth
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.compiler.reading import Reading
from heclstm_lib.compiler.refresh_plan import plan_refresh
from heclstm_lib.errors import PlanError
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.models.folded import FoldedNetwork

FORMS = {
    "apart": {"packed": False},
    "unpacked": {"packed": True},
    "packed": {"packed": True, "stay_packed": True},
}


def make_bi_lstm(frames: int, hidden: int = 4, **sizes: object) -> FoldedNetwork:
    return make_network(frames, hidden, recurrence="bi_lstm", **sizes)


def make_plan(network: FoldedNetwork, form: str, sequences: int = 2) -> Plan:
    unpacks = form == "unpacked"
    params = choose_parameters(network, 32768, packed=unpacks)
    return plan_network(network, params, sequences, **FORMS[form])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_no_deeper_than_an_lstm(frames: int, degree: int, form: str) -> None:
    network = make_bi_lstm(frames, degree=degree)
    plan = make_plan(network, form)
    one_way = network_depth(make_network(frames, degree=degree), form == "unpacked")
    assert plan.depth == plan.params.levels == one_way
    assert_clear_agrees(network, plan)


@settings(max_examples=20, deadline=None)
@given(
    frames=st.integers(1, 5),
    hidden=st.sampled_from([1, 3, 4, 12]),
    channels=st.sampled_from([1, 3]),
    channels_out=st.integers(1, 3),
    dense=st.sampled_from([(), (5,)]),
    sequences=st.sampled_from([1, 2, 8]),
    form=st.sampled_from(list(FORMS)),
    data=st.data(),
)
def test_any_configuration(
    frames: int, hidden: int, sequences: int, form: str, data: st.DataObject, **sizes: object
) -> None:
    network = make_bi_lstm(frames, hidden, kernel_size=3, **sizes)
    plan = make_plan(network, form, sequences)
    assert_clear_agrees(network, plan, data.draw(st.integers(1, sequences)))


@pytest.mark.parametrize("frames", [1, 3, 4])
@pytest.mark.parametrize(
    ("hidden", "features"), [(3, 1), (12, 4)], ids=["one feature", "several ciphertexts of units"]
)
def test_units_in_many_ciphertexts(frames: int, hidden: int, features: int) -> None:
    network = make_bi_lstm(frames, hidden, image_size=8, kernel_size=3)
    params = choose_parameters(network, 32768, packed=False)
    sequences = params.slots // features // (1 << (frames - 1).bit_length())
    assert_clear_agrees(network, plan_network(network, params, sequences, packed=False))


def test_the_backward_half_is_an_lstm_on_the_frames_in_reverse() -> None:
    network = make_bi_lstm(3)
    frames, backward = make_frames(network, 5), network.directions[1]
    share = network.scores(frames) - replace(network, backward=None).scores(frames)
    alone = replace(
        backward, temporal=backward.temporal[::-1], spatial=backward.spatial * 0, bias=0.0
    )
    np.testing.assert_allclose(share, alone.scores(frames[:, ::-1]), rtol=1e-9)
    assert np.abs(share - alone.scores(frames)).min() > 1e-3


def test_both_halves_share_convolution_and_its_rotations() -> None:
    """Twice the steps, but one convolution: clearly less than two networks."""
    both = make_plan(make_bi_lstm(4, 8), "packed")
    one = make_plan(make_network(4, 8), "packed")
    count = {
        name: [sum(op.layer.startswith(name) for op in plan.ops) for plan in (one, both)]
        for name in ("blocks", "lstm.t", "backward_lstm.t")
    }
    assert len(both.inputs.patterns) == len(one.inputs.patterns)
    assert count["blocks"][0] == count["blocks"][1]
    assert count["lstm.t"][0] == count["lstm.t"][1] == count["backward_lstm.t"][1] > 0
    assert len(one.ops) < len(both.ops) < 2 * len(one.ops)


@pytest.mark.parametrize(
    ("backward", "frames", "onward"), [(False, [0, 1, 2], -8), (True, [2, 1, 0], 8)]
)
def test_reading(backward: bool, frames: list[int], onward: int) -> None:
    reading = Reading(3, 8, backward)
    assert [reading.frame(step) for step in range(3)] == frames
    assert reading.onward == onward
    assert reading.by_frame([f"of frame {frame}" for frame in frames]) == [
        "of frame 0", "of frame 1", "of frame 2"
    ]  # fmt: skip


def test_a_state_read_both_ways_is_not_refreshed() -> None:
    network = make_bi_lstm(2)
    with pytest.raises(PlanError, match=r"reads one way.*'bi_lstm'"):
        plan_refresh(network, choose_parameters(network, 16384), 2)


@pytest.mark.parametrize("form", ["apart", "packed"])
def test_encrypted(tmp_path: Path, form: str) -> None:
    network = make_bi_lstm(3, image_size=8, kernel_size=3)
    plan = make_plan(network, form, 64)
    parties = register(network, plan, tmp_path)
    values = make_frames(network, 50)
    bits = -np.log2(np.abs(parties.scores(values) - network.scores(values)).mean())
    assert bits > evaluate_simulated(plan, values).precision_bits - 0.5
    assert bits > 15
