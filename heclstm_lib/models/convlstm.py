"""The convolutional LSTM on image sequences: both twins are this one class.

The formulas of Yue et al. (2021) are not public; this is OUR READING of the abstract:

    a_t = pool(act(norm(conv(x_t))))                  convolutional blocks, shared over frames
    i, f, g, o = gates(W a_t + b + U h_{t-1})         LSTM, h_0 = c_0 = 0
    c_t = f * c_{t-1} + i * g
    h_t = o * cell(c_t)
    z_t = alpha * s_t + (1 - alpha) * h_t             weighted unit: s_t = P a_t + q (spatial),
                                                      alpha = sigmoid(learned), one per feature
                                                      or a single one ("scalar")
    u_t = w . z_t + b                                 score of a frame
    score = sum_t v_t u_t,  v = softmax(learned)      sequence voting ("equal": v_t = 1 / T)

"exact" twin: ReLU; sigmoid in i, f, o; tanh in g and cell. "polynomial" twin: degree 2 after the
convolutions, `gate_degree` in the gates, identity cell. The layers have the same names. With
activation "square" both twins square after the convolutions. With recurrence "bi_lstm" h_t is the
mean of an LSTM's states and those of another that reads from the last frame to the first; with
"sru", models.sru takes the place of the LSTM: for sequences too long for it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from heclstm_lib.config import ModelConfig
from heclstm_lib.models.blocks import make_blocks
from heclstm_lib.models.polynomial import make_activations, range_records
from heclstm_lib.models.sru import SRU


class ModelOutput(NamedTuple):
    """Logits of sequences and frames; how far the polynomials left their intervals."""

    score: Tensor  # [B]
    frame_scores: Tensor  # [B, T]
    range_penalty: Tensor  # scalar, 0 for the exact twin
    fraction_outside: Tensor  # scalar in [0, 1], without gradient


class LSTM(nn.Module):
    """One layer with replaceable activations; gate order i, f, g, o."""

    def __init__(self, features: int, hidden: int, gates: dict[str, nn.Module], cell: nn.Module):
        super().__init__()
        self.input, self.recurrent = _lstm_maps(features, hidden)
        self.gates, self.cell = nn.ModuleDict(gates), cell

    def forward(self, a: Tensor) -> Tensor:
        """States h [B, T, H] of features a [B, T, F]."""
        return self.one_way(a, self.input, self.recurrent)

    def one_way(self, a: Tensor, from_input: nn.Linear, from_state: nn.Linear) -> Tensor:
        """States [B, T, H] of features a [B, T, F], read in their order with these weights."""
        arguments = from_input(a)  # [B, T, F] -> [B, T, 4H]
        h = c = a.new_zeros(len(a), from_state.in_features)  # [B, H]
        states = []
        for t in range(a.shape[1]):
            p = (arguments[:, t] + from_state(h)).chunk(4, dim=1)  # [B, 4H] -> 4 x [B, H]
            i, f, g, o = (gate(x) for gate, x in zip(self.gates.values(), p, strict=True))
            c = f * c + i * g
            h = o * self.cell(c)
            states.append(h)
        return torch.stack(states, dim=1)  # [B, T, H]


def _lstm_maps(features: int, hidden: int) -> tuple[nn.Linear, nn.Linear]:
    """W with b, and U."""
    from_input = nn.Linear(features, 4 * hidden)
    from_state = nn.Linear(hidden, 4 * hidden, bias=False)
    with torch.no_grad():
        from_input.bias[hidden : 2 * hidden] += 1.0  # remember at first (Jozefowicz 2015)
    return from_input, from_state


class BiLSTM(LSTM):
    """Both directions (Graves and Schmidhuber, Neural Networks 18, 2005), their states averaged.

    Weights of their own, activations in common; with the mean the weighted unit stays as it is.
    """

    def __init__(self, features: int, hidden: int, gates: dict[str, nn.Module], cell: nn.Module):
        super().__init__(features, hidden, gates, cell)
        self.backward_input, self.backward_recurrent = _lstm_maps(features, hidden)

    def forward(self, a: Tensor) -> Tensor:
        """Mean states [B, T, H] of features a [B, T, F]."""
        backward = self.one_way(a.flip(1), self.backward_input, self.backward_recurrent)
        return (super().forward(a) + backward.flip(1)) / 2


class WeightedUnit(nn.Module):
    """z = alpha s + (1 - alpha) h; switched off z = h; without recurrence (h is None) z = s.

    alpha has a value a feature, or one for all of them (form "scalar").
    """

    def __init__(self, features: int, hidden: int, form: str) -> None:
        super().__init__()
        self.project, self.enabled = nn.Linear(features, hidden), form != "off"
        self.alpha_logit = nn.Parameter(torch.zeros(1 if form == "scalar" else hidden))

    def forward(self, a: Tensor, h: Tensor | None) -> Tensor:
        """z [B, T, H] of features a [B, T, F] and states h [B, T, H]."""
        if h is not None and not self.enabled:
            return h
        s = self.project(a)  # [B, T, F] -> [B, T, H]
        alpha = torch.sigmoid(self.alpha_logit)
        return s if h is None else alpha * s + (1 - alpha) * h


class Voting(nn.Module):
    """Sum of the frames' scores, by "learned" weights or "equal" ones; "last": that one alone."""

    def __init__(self, hidden: int, frames: int, form: str) -> None:
        super().__init__()
        self.frame = nn.Linear(hidden, 1)
        # Late frames weigh more at first: with equal votes a change over time cancels out of the
        # sum over frames, and training finds no slope towards it.
        self.weight_logit = nn.Parameter(torch.linspace(-1.0, 1.0, frames))
        if form == "equal":
            self.weight_logit = nn.Parameter(torch.zeros(frames), requires_grad=False)
        self.enabled = form != "last"

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """score [B] and frame scores [B, T] of z [B, T, H]."""
        u = self.frame(z).squeeze(-1)  # [B, T, H] -> [B, T]
        return (u @ torch.softmax(self.weight_logit, dim=0) if self.enabled else u[:, -1]), u


class ConvLSTM(nn.Module):
    """Blocks, recurrence, weighted unit, voting. ConfigError if activation or sizes do not fit."""

    def __init__(
        self, config: ModelConfig, channels: int, image_size: int, frames: int, activation: str
    ) -> None:
        super().__init__()
        self.config, self.channels, self.image_size = config, channels, image_size
        self.frames, self.activation, size = frames, activation, config.hidden
        kind = config.recurrence if config.lstm else None
        act, gates, cell = make_activations(activation, config)
        self.blocks, features = make_blocks(config, channels, image_size, act)
        lstm = {"lstm": LSTM, "bi_lstm": BiLSTM}.get(kind or "")
        self.lstm = lstm(features, size, gates, cell) if lstm else None
        self.sru = SRU(features, size, gates) if kind == "sru" else None
        self.weighted = WeightedUnit(features, size, config.weighted_unit)
        self.voting = Voting(size, frames, config.voting)

    def forward(self, x: Tensor) -> ModelOutput:
        """Scores of normalised sequences x [B, T, C, H, W]."""
        a = self.features(x)  # [B, T, C, H, W] -> [B, T, F]
        score, frame_scores = self.voting(self.weighted(a, self.states(a)))  # [B], [B, T]
        return ModelOutput(score, frame_scores, *range_records(self, score))

    def features(self, x: Tensor) -> Tensor:
        """Features a [B, T, F] of the frames of x [B, T, C, H, W]."""
        a = self.blocks(x.flatten(0, 1))  # [B, T, C, H, W] -> [B*T, O, H', W']
        return a.flatten(1).unflatten(0, x.shape[:2])  # [B, T, F]

    def states(self, a: Tensor) -> Tensor | None:
        """States h [B, T, H] of features a [B, T, F]; None without recurrence."""
        recurrent = self.lstm if self.lstm is not None else self.sru
        return recurrent(a) if recurrent is not None else None

    def past_states(self, a: Tensor) -> Tensor | None:
        """The same of the frames up to each alone: without the backward half of a Bi-LSTM."""
        if not isinstance(self.lstm, BiLSTM):
            return self.states(a)
        return self.lstm.one_way(a, self.lstm.input, self.lstm.recurrent)
