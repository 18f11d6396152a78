"""FCN + Bi-LSTM: a fully convolutional encoder whose maps are read as a sequence in both ways.

Budak, Comert, Rashid, Sengur and Cibuk, "Computer-aided diagnosis system combining FCN and Bi-LSTM
model for efficient breast cancer detection from histopathological images", Applied Soft Computing
85, 2019.

Kept: an encoder of convolutions only, its output maps flattened into a sequence of local features,
a bidirectional LSTM on it, a dense layer. Changed: the paper reads one large image at a time; here
the local features of all frames make one sequence, frame after frame. Scaled down: two convolutions
and a 1 x 1 one in place of AlexNet's, a grid of 2 x 2 places a frame, 16 units a direction.
Published with ImageNet weights of the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import conv_block, small_cnn
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

GRID, MAPS, HIDDEN, DROPOUT = 2, 16, 16, 0.5


class FcnBiLstm(nn.Module):
    """Local features of all frames, a bidirectional LSTM, a score of both final states."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        del size, frames
        self.backbone = nn.Sequential(
            small_cnn(channels), conv_block(16, MAPS, 1), nn.AdaptiveAvgPool2d(GRID)
        )
        self.lstm = nn.LSTM(MAPS, HIDDEN, batch_first=True, bidirectional=True)
        self.score = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(2 * HIDDEN, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Score [B, 1] of sequences x [B, T, C, H, W]."""
        maps = self.backbone(x.flatten(0, 1))  # [B * T, MAPS, GRID, GRID]
        steps = maps.flatten(2).transpose(1, 2).reshape(len(x), -1, MAPS)  # [B, T * GRID^2, MAPS]
        _, (final, _) = self.lstm(steps)  # [2, B, HIDDEN]
        score: Tensor = self.score(torch.cat([final[0], final[1]], dim=1))
        return score


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train end to end."""
    return fit_torch("fcn_bilstm", FcnBiLstm, sets, budget)
