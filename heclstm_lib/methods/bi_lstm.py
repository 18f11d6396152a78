"""A variant of ours: HE-CLSTM with an LSTM in both directions, exact twin.

Bidirectional recurrence after Graves and Schmidhuber (Neural Networks 18, 2005). Everything else is
our exact network: blocks, weighted unit, voting, training. The two directions have weights of their
own and their states are averaged, so that the weighted unit stays as it is. Encrypted it would cost
the same depth, since the directions do not wait for each other, and twice the operations.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from heclstm_lib.config import ModelConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.ours import OurFitted, fit_ours
from heclstm_lib.models.convlstm import LSTM, ConvLSTM
from heclstm_lib.models.polynomial import make_activations


class BiConvLSTM(ConvLSTM):
    """Our exact network with a second LSTM that reads the frames from the last to the first."""

    def __init__(self, config: ModelConfig, channels: int, image_size: int, frames: int) -> None:
        super().__init__(config, channels, image_size, frames, "exact")
        features = self.weighted.project.in_features
        _, gates, cell = make_activations("exact", dataclasses.replace(config, recurrence="lstm"))
        self.backward_lstm = LSTM(features, config.hidden, gates, cell)

    def states(self, a: Tensor) -> Tensor:
        """Mean of both directions' states [B, T, H], of features a [B, T, F]."""
        backward = self.backward_lstm(a.flip(1)).flip(1)
        forward = super().states(a)
        return backward if forward is None else (forward + backward) / 2


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> OurFitted:
    """Train as our exact twin is trained."""
    _, frames, channels, _, size = sets["train"].frames.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(budget.seed)
        network = BiConvLSTM(budget.model, channels, size, frames)
    return fit_ours(network, sets, budget)
