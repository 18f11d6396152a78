"""The noise estimate without keys: values, headroom, overflow. Its size is held to real errors
in test_protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import make_frames, make_network

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.errors import PlanError
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.simulate import evaluate_simulated


def test_values_are_those_of_the_network() -> None:
    network = make_network(frames=3)
    plan = plan_network(network, choose_parameters(network, 32768), 8)
    frames = make_frames(network, 5)
    simulation = evaluate_simulated(plan, frames)
    np.testing.assert_allclose(simulation.outputs[:, 0], network.scores(frames), atol=1e-9)
    assert simulation.errors.shape == (5, 1) and np.all(simulation.errors > 0)
    assert 0 < simulation.headroom_bits < 10  # the first prime leaves 10 bits above the scale


def test_each_bit_of_scale_is_a_bit_of_precision() -> None:
    network = make_network(frames=1)
    frames = make_frames(network, 2)
    bits = [
        evaluate_simulated(
            plan_network(network, choose_parameters(network, 32768, scale), 2), frames
        ).precision_bits
        for scale in (28, 30, 34)
    ]
    assert bits[1] - bits[0] == pytest.approx(2, abs=0.05)
    assert bits[2] - bits[1] == pytest.approx(4, abs=0.05)


def test_a_small_special_prime_costs_precision() -> None:
    network = make_network(frames=1)
    frames = make_frames(network, 2)
    params = choose_parameters(network, 32768, scale_bits=36)
    wide, narrow = (
        evaluate_simulated(
            plan_network(network, replace(params, special_bits=bits), 2), frames
        ).precision_bits
        for bits in (60, 40)
    )
    assert wide > narrow + 1


def test_headroom_falls_with_the_first_prime_and_ends_in_an_error() -> None:
    network = make_network(hidden=0)
    frames = make_frames(network, 1)

    def headroom(network, first_bits: int) -> float:
        params = CkksParameters(16384, 3, 30, first_bits, 50)
        return evaluate_simulated(plan_network(network, params, 1), frames).headroom_bits

    assert headroom(network, 40) - headroom(network, 36) == pytest.approx(4, abs=0.01)
    large = replace(network, spatial=network.spatial * 1e5)
    with pytest.raises(
        PlanError, match=r"layer 'weighted_unit', operation \d+: a value of .* overflows"
    ):
        headroom(large, 36)
