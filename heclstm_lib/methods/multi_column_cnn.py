"""Multi-column CNN: columns that differ in what they see of an image, joined before the decision.

Multi-column networks: Ciresan, Meier and Schmidhuber, "Multi-column deep neural networks for image
classification", CVPR 2012. The reference list we follow names a multi-column CNN of 2019 by Wang;
we did not have that paper and do not claim to reproduce its columns.

Kept: columns trained together, each a CNN with receptive fields of its own size. Scaled down: three
columns of two convolutions (kernels 3, 5 and 7), globally pooled. Frames vote by their mean logit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import FrameVoting, conv_block
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

KERNELS, WIDTHS, GRID, DROPOUT = (3, 5, 7), (6, 12), 2, 0.2


class Columns(nn.Module):
    """Features [n, K * WIDTH * GRID^2] of images [n, C, H, W], column after column."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = WIDTHS
        self.columns = nn.ModuleList(
            nn.Sequential(
                conv_block(channels, first, kernel, stride=2),
                nn.MaxPool2d(2, ceil_mode=True),
                conv_block(first, second, 3),
                nn.AdaptiveAvgPool2d(GRID),
                nn.Flatten(),
            )
            for kernel in KERNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        """Joined features of images x."""
        return torch.cat([column(x) for column in self.columns], dim=1)


def make_columns(channels: int, size: int, frames: int) -> FrameVoting:
    """The network; all frames share it."""
    del size, frames
    joined = len(KERNELS) * WIDTHS[-1] * GRID**2
    return FrameVoting(nn.Sequential(Columns(channels), nn.Dropout(DROPOUT), nn.Linear(joined, 1)))


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train on single frames."""
    return fit_torch("multi_column_cnn", make_columns, sets, budget, per_frame=True)
