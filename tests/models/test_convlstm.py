"""The network's formulas, recomputed without torch; what the twins share; switches and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import ConfigError
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.polynomial import GATES

BASE: dict[str, Any] = {
    "conv_channels": (3,), "kernel_size": 3, "stride": 2, "pool": 2, "hidden": 4,
}  # fmt: skip
CHANNELS, SIZE, FRAMES, COUNT = 2, 11, 3, 5
SWITCHES: list[dict[str, Any]] = [
    {},
    {"lstm": False},
    {"weighted_unit": "off"},
    {"voting": "last"},
    {"lstm": False, "weighted_unit": "off", "voting": "last"},
    {"weighted_unit": "scalar", "voting": "equal"},
    {"activation": "square", "conv_channels": (3, 2), "pool": 1},
    {"gate_degree": 3, "conv_channels": (3, 2), "pool": 1},
    {"recurrence": "bi_lstm"},
    {"recurrence": "bi_lstm", "gate_degree": 3, "weighted_unit": "off", "voting": "last"},
    {"recurrence": "sru"},
    {"recurrence": "sru", "gate_degree": 3, "weighted_unit": "off", "voting": "last"},
    {"recurrence": "sru", "lstm": False},
]


def make_model(kind: str, **switches: Any) -> ConvLSTM:
    """A model with random weights, batch statistics, coefficients and votes, in float64."""
    torch.manual_seed(5)
    model = ConvLSTM(ModelConfig(**{**BASE, **switches}), CHANNELS, SIZE, FRAMES, kind)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif value.is_floating_point() and not name.endswith("interval"):
                value.normal_(0, 0.5)
    return model.double().eval()


def make_frames() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (COUNT, FRAMES, CHANNELS, SIZE, SIZE)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


class Reference:
    """The module's docstring in numpy."""

    def __init__(self, model: ConvLSTM) -> None:
        self.w = {name: value.numpy() for name, value in model.state_dict().items()}
        self.config, self.exact = model.config, model.activation == "exact"

    def polynomial(self, name: str, x: np.ndarray) -> np.ndarray:
        c = self.w[f"{name}.coefficients"].copy()
        floor = 0.03 if len(c) == 3 else 0.003
        c[-1] = np.where(c[-1] < 0, -1, 1) * max(abs(c[-1]), floor)
        if len(c) == 4:
            c[2] = 0
        if name == "sru.gates.f":
            values = np.polynomial.polynomial.polyval(np.linspace(-4, 4, 800_001), c)
            low, high = min(values.min(), 0), max(values.max(), 1)
            c[0] -= low
            c /= high - low
        return np.polynomial.polynomial.polyval(x, c)

    def activate(self, name: str, x: np.ndarray) -> np.ndarray:
        if name.startswith("blocks") and self.config.activation == "square":
            return x**2
        if not self.exact:
            return x if name == "lstm.cell" else self.polynomial(name, x)
        if name.startswith("blocks"):
            return np.maximum(x, 0)
        return np.tanh(x) if name in {"lstm.gates.g", "lstm.cell"} else 1 / (1 + np.exp(-x))

    def block(self, index: int, x: np.ndarray) -> np.ndarray:
        name, stride = f"blocks.{index}", self.config.stride if index == 0 else 1
        kernel = self.w[f"{name}.conv.weight"]
        view = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
        y = np.einsum("nchwkl,ockl->nohw", view[:, :, ::stride, ::stride], kernel)
        mean, var, scale, shift = (
            self.w[f"{name}.norm.{key}"][:, None, None]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        y = self.activate(f"{name}.activation", (y - mean) / np.sqrt(var + 1e-5) * scale + shift)
        p, size = self.config.pool, y.shape[-1] // self.config.pool
        y = y[..., : size * p, : size * p].reshape(*y.shape[:2], size, p, size, p)
        return y.mean(axis=(3, 5))

    def states(self, a: np.ndarray) -> np.ndarray:
        if self.config.recurrence == "sru":
            return self.sru_states(a)
        if self.config.recurrence == "lstm":
            return self.lstm_states(a)
        backward = self.lstm_states(a[:, ::-1], "backward_")[:, ::-1]
        return (self.lstm_states(a) + backward) / 2

    def lstm_states(self, a: np.ndarray, way: str = "") -> np.ndarray:
        h = c = np.zeros((len(a), self.config.hidden))
        states = []
        for t in range(a.shape[1]):
            p = a[:, t] @ self.w[f"lstm.{way}input.weight"].T + self.w[f"lstm.{way}input.bias"]
            p = np.split(p + h @ self.w[f"lstm.{way}recurrent.weight"].T, 4, axis=1)
            i, f, g, o = (
                self.activate(f"lstm.gates.{k}", x) for k, x in zip("ifgo", p, strict=True)
            )
            c = f * c + i * g
            h = o * self.activate("lstm.cell", c)
            states.append(h)
        return np.stack(states, axis=1)

    def sru_states(self, a: np.ndarray) -> np.ndarray:
        f, o, g = np.split(a @ self.w["sru.input.weight"].T + self.w["sru.input.bias"], 3, axis=2)
        f, o = (self.activate(f"sru.gates.{k}", x) for k, x in (("f", f), ("o", o)))
        f[:, 0] = 0
        c, states = np.zeros_like(g[:, 0]), []
        for t in range(a.shape[1]):
            c = f[:, t] * c + (1 - f[:, t]) * g[:, t]
            states.append(o[:, t] * c)
        return np.stack(states, axis=1)

    def scores(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = x.reshape(-1, *x.shape[2:])
        for index in range(len(self.config.conv_channels)):
            a = self.block(index, a)
        a = a.reshape(*x.shape[:2], -1)
        s = a @ self.w["weighted.project.weight"].T + self.w["weighted.project.bias"]
        if not self.config.lstm:
            z = s
        elif self.config.weighted_unit == "off":
            z = self.states(a)
        else:
            alpha = 1 / (1 + np.exp(-self.w["weighted.alpha_logit"]))
            z = alpha * s + (1 - alpha) * self.states(a)
        u = (z @ self.w["voting.frame.weight"].T + self.w["voting.frame.bias"])[..., 0]
        v = np.exp(self.w["voting.weight_logit"])
        return (u[:, -1] if self.config.voting == "last" else u @ (v / v.sum())), u


@pytest.mark.parametrize("kind", ["exact", "polynomial"])
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_scores_are_the_formulas(kind: str, switches: dict[str, Any]) -> None:
    model, x = make_model(kind, **switches), make_frames()
    with torch.no_grad():
        output = model(x)
    score, frame_scores = Reference(model).scores(x.numpy())
    assert score.std() > 1e-3
    np.testing.assert_allclose(output.score.numpy(), score, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(output.frame_scores.numpy(), frame_scores, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["exact", "polynomial"])
def test_shapes(kind: str) -> None:
    output = make_model(kind)(make_frames())
    assert output.score.shape == (COUNT,)
    assert output.frame_scores.shape == (COUNT, FRAMES)
    assert output.range_penalty.shape == output.fraction_outside.shape == ()
    assert output.range_penalty.requires_grad == (output.range_penalty.item() > 0)
    assert not output.fraction_outside.requires_grad


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_twins_share_every_name_but_the_polynomials(switches: dict[str, Any]) -> None:
    exact, twin = (make_model(kind, **switches).state_dict() for kind in ("exact", "polynomial"))
    own = {name for name in twin if name not in exact}
    blocks = range(len(switches.get("conv_channels", (3,))))
    layers = [f"blocks.{index}.activation" for index in blocks]
    layers = [] if switches.get("activation") == "square" else layers
    assert set(exact) <= set(twin)
    expected = {f"{layer}.{key}" for layer in layers for key in ("coefficients", "interval")}
    if switches.get("lstm", True):
        kind = "sru" if switches.get("recurrence") == "sru" else "lstm"
        gates = GATES if kind == "lstm" else ("f", "o")
        expected |= {f"{kind}.gates.{gate}.coefficients" for gate in gates}
    assert own == expected
    assert all(exact[name].shape == twin[name].shape for name in exact)


@pytest.mark.parametrize("recurrence", ["lstm", "bi_lstm", "sru"])
def test_order_of_frames_matters_only_with_recurrence(recurrence: str) -> None:
    x = make_frames()
    for lstm in (True, False):
        model = make_model("exact", lstm=lstm, recurrence=recurrence)
        with torch.no_grad():
            model.voting.weight_logit.zero_()  # equal votes
            change = (model(x).score - model(x.flip(1)).score).abs().max().item()
        assert (change > 1e-3) == lstm


def test_without_voting_the_last_frame_decides() -> None:
    model, x = make_model("exact", voting="last"), make_frames()
    with torch.no_grad():
        output = model(x)
    assert torch.equal(output.score, output.frame_scores[:, -1])


def test_forget_gate_starts_open_and_late_frames_weigh_more() -> None:
    torch.manual_seed(0)
    model = ConvLSTM(ModelConfig(hidden=64), 1, 28, 4, "exact")
    assert model.lstm is not None
    bias = model.lstm.input.bias.detach().reshape(4, 64).mean(dim=1)
    assert bias[1] > 0.9 and bias[[0, 2, 3]].abs().max() < 0.1
    assert bool((model.voting.weight_logit.diff() > 0).all())


def test_image_too_small_names_the_block() -> None:
    with pytest.raises(ConfigError, match=r"blocks\.1: nothing is left of a 11x11"):
        make_model("exact", conv_channels=(3, 3))
