"""Temporal RNN: an LSTM on the course of pooled intensities, without any convolution.

Azizi et al., "Deep recurrent neural networks for prostate cancer detection: analysis of temporal
enhanced ultrasound", IEEE TMI 37(12), 2018.

Kept: a recurrent network of two layers that reads values of small regions over time and whose last
state decides; dropout between the layers. Changed: the paper classifies each region by its own time
series of echoes; here one network reads all regions of a frame (7 x 7 blocks) at once. Scaled down:
32 units.
"""

from __future__ import annotations

from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import on_frames
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

GRID, HIDDEN, DROPOUT = 7, 32, 0.2


class TemporalRnn(nn.Module):
    """Pooled frames, two LSTM layers, score of the last step."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del frames
        grid = min(GRID, size)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.lstm = nn.LSTM(channels * grid**2, HIDDEN, 2, batch_first=True, dropout=DROPOUT)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score [B, 1] of sequences x [B, T, C, H, W]."""
        states, _ = self.lstm(on_frames(self.pool, x))
        score: Tensor = self.score(states[:, -1])
        return score


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train the recurrence and its score."""
    return fit_torch("temporal_rnn", TemporalRnn, sets, budget)
