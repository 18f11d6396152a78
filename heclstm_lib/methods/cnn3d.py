"""3D CNN: convolutions over space and time on hardwired channels.

Ji, Xu, Yang and Yu, "3D convolutional neural networks for human action recognition", IEEE TPAMI
35(1), 2013.

Kept: the hardwired first layer (the image, its gradients along x and y, and its change from frame
to frame, each a channel of its own), then 3D convolutions with pooling in space, then a dense
layer. Scaled down: the difference of successive frames stands for optical flow; 8 and 16 maps; time
is padded, since sequences have few frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

WIDTHS = (8, 16)
GRID = 2  # positions along a side that are left for the dense layer


def hardwired(x: Tensor) -> Tensor:
    """Image, x and y gradients, change over time: [B, T, C, H, W] -> [B, 4C, T, H, W]."""
    rows, columns = torch.gradient(x, dim=(3, 4))
    change = torch.diff(x, dim=1, prepend=x[:, :1])  # 0 at the first frame
    return torch.cat([x, columns, rows, change], dim=2).transpose(1, 2)


class Cnn3d(nn.Module):
    """Hardwired channels, two 3D convolutions, a dense layer over all times and places."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del size
        first, second = WIDTHS
        self.layers = nn.Sequential(
            nn.Conv3d(4 * channels, first, 3, (1, 2, 2), 1, bias=False),
            nn.BatchNorm3d(first),
            nn.ReLU(),
            nn.MaxPool3d((1, 2, 2), ceil_mode=True),
            nn.Conv3d(first, second, 3, padding=1, bias=False),
            nn.BatchNorm3d(second),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((frames, GRID, GRID)),
            nn.Flatten(),
            nn.Linear(second * frames * GRID**2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score [B, 1] of sequences x [B, T, C, H, W]."""
        score: Tensor = self.layers(hardwired(x))
        return score


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train end to end."""
    return fit_torch("cnn3d", Cnn3d, sets, budget)
