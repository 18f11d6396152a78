"""LRCN: a CNN on every frame, an LSTM over them, its predictions averaged over time.

Donahue et al., "Long-term recurrent convolutional networks for visual recognition and
description", IEEE TPAMI 39(4), 2017.

Kept: the recurrent network reads CNN features of every frame, predicts at every step, and the
predictions are averaged; dropout on the features; trained end to end. Scaled down: two convolutions
of 8 and 16 maps in place of CaffeNet, 32 units in place of 256; RGB only, no optical flow.
Published with ImageNet weights of the CNN.
"""

from __future__ import annotations

from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import features_of, on_frames, small_cnn
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

FEATURES, HIDDEN, DROPOUT = 64, 32, 0.5


class Lrcn(nn.Module):
    """Frame features, an LSTM, a score at every step."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del frames
        self.backbone = small_cnn(channels)
        features = features_of(self.backbone, channels, size)
        self.reduce = nn.Sequential(nn.Linear(features, FEATURES), nn.ReLU(), nn.Dropout(DROPOUT))
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the steps [B, T] of sequences x [B, T, C, H, W]."""
        states, _ = self.lstm(self.reduce(on_frames(self.backbone, x)))  # [B, T, HIDDEN]
        scores: Tensor = self.score(states).squeeze(-1)
        return scores


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train end to end."""
    return fit_torch("lrcn", Lrcn, sets, budget)
