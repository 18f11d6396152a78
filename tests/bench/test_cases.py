"""Cases are what their files say: the expected outputs come from an independent evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from heclstm_lib.bench.cases import (
    GATE_INTERVAL,
    CaseSpec,
    case_digest,
    load_case,
    lstm_arguments,
    make_case,
    write_case,
)
from heclstm_lib.bench.flagship import folded_network
from heclstm_lib.errors import ConfigError


def test_cnn_is_the_tutorials_network() -> None:
    case = make_case(CaseSpec("cnn", rows=3))
    tensors = {name: torch.from_numpy(case[name]) for name in case if name != "kind"}
    maps = functional.conv2d(
        tensors["images"], tensors["conv_weight"], tensors["conv_bias"], stride=3
    )
    middle = functional.linear(maps.square().flatten(1), tensors["dense1"], tensors["bias1"])
    logits = functional.linear(middle.square(), tensors["dense2"], tensors["bias2"])
    np.testing.assert_allclose(case["expected"], logits.numpy(), atol=1e-12)
    assert case["expected"].std() > 0.1


def test_lstm_step_follows_its_formulas() -> None:
    case = make_case(CaseSpec("lstm_step", rows=5))
    row = 3
    gates = []
    for gate in range(4):
        p = case["gate_bias"][gate] + case["gate_input"][gate] @ case["x"][row]
        p = p + case["gate_recurrent"][gate] @ case["h"][row]
        c0, c1, c2, c3 = case["gate_coefficients"][gate]
        assert c2 == 0
        gates.append(c0 + p * (c1 + c3 * p * p))
    i, f, g, o = gates
    cell = f * case["c"][row] + i * g
    _, c1, _, c3 = case["cell_coefficients"]
    hidden = o * (c1 * cell + c3 * cell**3)
    np.testing.assert_allclose(case["expected"][row], np.concatenate([hidden, cell]), atol=1e-12)
    assert np.abs(lstm_arguments(case)).max() < GATE_INTERVAL


def test_lstm_gates_approximate_sigmoid_and_tanh() -> None:
    case = make_case(CaseSpec("lstm_step"))
    points = np.linspace(-GATE_INTERVAL, GATE_INTERVAL, 50)
    for gate, exact in ((0, 1 / (1 + np.exp(-points))), (2, np.tanh(points))):
        fitted = np.polynomial.polynomial.polyval(points, case["gate_coefficients"][gate])
        assert np.abs(fitted - exact).max() < 0.3


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gate_degree": 3},
        {"frames": 8, "recurrence": "sru"},
        {"recurrence": "bi_lstm"},
        {"hidden": 32},
    ],
)
def test_flagship_survives_its_file(changes: dict[str, object], tmp_path: Path) -> None:
    spec = CaseSpec("flagship", rows=6, **changes)  # type: ignore[arg-type]
    case = load_case(write_case(spec, tmp_path))
    network = folded_network(case)
    assert (network.frames, network.hidden) == (spec.frames, spec.hidden)
    np.testing.assert_allclose(network.scores(case["frames"])[:, None], case["expected"])
    assert case["expected"].std() > 0.1, "a wrong circuit could hit these logits"


def test_cases_repeat_and_differ_by_seed() -> None:
    first, again = make_case(CaseSpec("cnn")), make_case(CaseSpec("cnn"))
    assert case_digest(first) == case_digest(again)
    assert case_digest(first) != case_digest(make_case(CaseSpec("cnn", seed=1)))
    state = torch.random.get_rng_state()
    flagship = make_case(CaseSpec("flagship"))
    assert torch.equal(state, torch.random.get_rng_state()), "torch's global generator was moved"
    torch.manual_seed(99)
    assert case_digest(flagship) == case_digest(make_case(CaseSpec("flagship")))


def test_what_is_no_case_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind 'resnet', expected one of cnn, lstm_step"):
        CaseSpec("resnet")
    with pytest.raises(ConfigError, match="rows 0"):
        CaseSpec("cnn", rows=0)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK")
    with pytest.raises(ConfigError, match="no case file"):
        load_case(broken)
    np.savez(tmp_path / "other.npz", kind="mlp")
    with pytest.raises(ConfigError, match="kind mlp"):
        load_case(tmp_path / "other.npz")
