"""Asymmetric 3D CNN: every 3D convolution is one over space followed by one over time.

Yang et al., "Asymmetric 3D convolutional neural networks for action recognition", Pattern
Recognition 85, 2019.

Kept: one-directional convolutions (1 x k x k in space, then 3 x 1 x 1 in time) in place of 3D ones,
in small residual units. Scaled down: two units of 8 and 16 maps; no multi-scale branches, no
optical flow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

WIDTHS = (8, 16)
GRID = 2


class Asymmetric(nn.Module):
    """Convolution over space, then over time with a residual connection around it."""

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        edge = kernel // 2
        self.space = nn.Sequential(
            nn.Conv3d(
                channels, outputs, (1, kernel, kernel), (1, stride, stride), (0, edge, edge),
                bias=False,
            ),
            nn.BatchNorm3d(outputs),
            nn.ReLU(),
        )  # fmt: skip
        self.time = nn.Sequential(
            nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, O, T, H', W'] of x [B, C, T, H, W]."""
        maps = self.space(x)
        return torch.relu(maps + self.time(maps))


class FactorisedCnn3d(nn.Module):
    """Two asymmetric units with pooling, a dense layer over all times and places."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del size
        first, second = WIDTHS
        self.layers = nn.Sequential(
            Asymmetric(channels, first, 5, 2),
            nn.MaxPool3d((1, 2, 2), ceil_mode=True),
            Asymmetric(first, second, 3, 1),
            nn.AdaptiveAvgPool3d((frames, GRID, GRID)),
            nn.Flatten(),
            nn.Linear(second * frames * GRID**2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score [B, 1] of sequences x [B, T, C, H, W]."""
        score: Tensor = self.layers(x.transpose(1, 2))
        return score


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train end to end."""
    return fit_torch("factorised_cnn3d", FactorisedCnn3d, sets, budget)
