"""The folded network gives the scores of the torch model, for every switch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import PlanError
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fold import fold_network

BASE = {"conv_channels": (3,), "kernel_size": 3, "stride": 2, "pool": 2, "hidden": 5}
SIZE, CHANNELS = 20, 2


def make_model(frames: int, kind: str = "polynomial", **switches: object) -> ConvLSTM:
    """A random model with non-trivial batch norm statistics, coefficients and votes."""
    torch.manual_seed(7)
    model = ConvLSTM(ModelConfig(**{**BASE, **switches}), CHANNELS, SIZE, frames, kind)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("coefficients"):
                parameter.copy_(torch.tensor([0.5, 0.25, 0.06, -0.01])[: len(parameter)])
                parameter.add_(torch.randn_like(parameter) * 0.02)
            elif "logit" in name:
                parameter.normal_()
            elif ".norm." in name:
                parameter.uniform_(-1.0, 1.0)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.5)
            if name.endswith("running_var"):
                buffer.uniform_(0.1, 0.3)
    return model.double().eval()


def make_frames(frames: int, count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (count, frames, CHANNELS, SIZE, SIZE)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"gate_degree": 3},
        {"recurrence": "bi_lstm"},
        {"recurrence": "bi_lstm", "gate_degree": 3, "voting": "last"},
        {"recurrence": "bi_lstm", "lstm": False},
        {"lstm": False},
        {"lstm": False, "weighted_unit": "off"},
        {"weighted_unit": "off"},
        {"voting": "last"},
        {"weighted_unit": "off", "voting": "last", "gate_degree": 3},
        {"conv_channels": (3, 4)},
        {"conv_channels": (3, 4), "pool": 1, "lstm": False},
        {"conv_channels": (3, 4), "gate_degree": 3},
        {"conv_channels": (2, 3, 2), "pool": 1},
        {"weighted_unit": "scalar"},
        {"voting": "equal"},
        {"activation": "square"},
        {"activation": "square", "conv_channels": (3, 4), "lstm": False},
        {"pool": 4},  # a remainder that pooling drops
    ],
    ids=str,
)
def test_folded_scores_are_the_models(frames: int, switches: dict) -> None:
    model, x = make_model(frames, **switches), make_frames(frames)
    with torch.no_grad():
        expected = model(x).score.numpy()
    assert np.std(expected) > 1e-5
    network = fold_network(model)
    np.testing.assert_allclose(network.scores(x.numpy()), expected, rtol=1e-9, atol=1e-9)
    assert network.hidden == (5 if switches.get("lstm", True) else 0)
    assert network.gate_degree == (switches.get("gate_degree", 2) if network.hidden else 0)


@pytest.mark.parametrize(
    "switches", [{}, {"conv_channels": (3, 4)}, {"lstm": False}, {"activation": "square"}], ids=str
)
def test_compiled_plan_in_clear_is_the_torch_model(switches: dict) -> None:
    model, x = make_model(3, **switches), make_frames(3)
    network = fold_network(model)
    plan = plan_network(network, choose_parameters(network, 32768), sequences=4)
    with torch.no_grad():
        expected = model(x).score.numpy()
    np.testing.assert_allclose(
        evaluate_clear(plan, x.numpy())[:, 0], expected, rtol=1e-9, atol=1e-9
    )


def test_folding_leaves_the_model_alone() -> None:
    model = make_model(2).float().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fold_network(model)
    assert model.training
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype and torch.equal(value, before[name])


def test_the_exact_twin_is_refused() -> None:
    with pytest.raises(PlanError, match=r"without polynomial.*calibrate\.fit_polynomials"):
        fold_network(make_model(2, "exact"))
