"""SV-RCNet style: a residual CNN on every frame and an LSTM, trained end to end.

Jin et al., "SV-RCNet: workflow recognition from surgical videos using recurrent convolutional
network", IEEE TMI 37(5), 2018.

Kept: residual blocks with batch norm and global mean pooling, an LSTM on top, both trained
together. Scaled down: three residual blocks of 8, 16 and 32 maps in place of ResNet-50, 32 units in
place of 512. Changed: the last step decides (the paper labels every frame of a workflow); no prior
knowledge inference, which corrects the order of surgical phases. Published with ImageNet weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import conv_block, on_frames
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

WIDTHS, HIDDEN = (8, 16, 32), 32


class Residual(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))), halving the image; 1 x 1 convolution beside it."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_block(channels, outputs, stride=2),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(channels, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [N, O, ceil(H / 2), ceil(W / 2)] of x [N, C, H, W]."""
        return torch.relu(self.branch(x) + self.shortcut(x))


class ResidualLstm(nn.Module):
    """Residual blocks on every frame, global mean pooling, LSTM, score of the last step."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del size, frames
        widths = (channels, *WIDTHS)
        blocks = [Residual(a, b) for a, b in zip(widths, WIDTHS, strict=False)]
        self.backbone = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1))
        self.lstm = nn.LSTM(WIDTHS[-1], HIDDEN, batch_first=True)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Score [B, 1] of sequences x [B, T, C, H, W]."""
        states, _ = self.lstm(on_frames(self.backbone, x))  # [B, T, HIDDEN]
        score: Tensor = self.score(states[:, -1])
        return score


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train end to end."""
    return fit_torch("residual_lstm", ResidualLstm, sets, budget)
