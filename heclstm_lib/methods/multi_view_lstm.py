"""Multi-view LSTM: CNN features of views, a highway layer around an LSTM, views that vote.

Ma, Guo, Yang and An, "Learning multi-view representation with LSTM for 3-D shape recognition and
retrieval", IEEE Transactions on Multimedia 21(5), 2019.

Kept: a CNN shared by the views, an LSTM whose output a highway connection mixes with its input
(gate * h + (1 - gate) * x), and sequence voting: the views' scores are averaged. Scaled down: two
convolutions in place of a large ImageNet network, 32 units; end to end in one go in place of three
steps. Published with ImageNet weights of the CNN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import features_of, on_frames, small_cnn
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

HIDDEN = 32


class MultiViewLstm(nn.Module):
    """Highway LSTM over the frames' features; every frame votes."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del frames
        self.backbone = small_cnn(channels)
        self.reduce = nn.Linear(features_of(self.backbone, channels, size), HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.gate = nn.Linear(HIDDEN, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Votes [B, T] of the frames of sequences x [B, T, C, H, W]."""
        features = torch.relu(self.reduce(on_frames(self.backbone, x)))  # [B, T, HIDDEN]
        states, _ = self.lstm(features)
        gate = torch.sigmoid(self.gate(features))
        votes: Tensor = self.score(gate * states + (1 - gate) * features).squeeze(-1)
        return votes


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train end to end."""
    return fit_torch("multi_view_lstm", MultiViewLstm, sets, budget)
