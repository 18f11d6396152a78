"""Polynomial CNN with batch norm before every activation, on each frame, frames voting.

Chabanne, de Wargny, Milgram, Morel and Prouff, "Privacy-preserving classification on deep neural
network", IACR ePrint 2017/035.

Kept: batch norm directly before every activation, so that its arguments are close to a standard
normal, and there the polynomial that fits ReLU best; mean pooling. Scaled down: two activations of
degree 2 (the paper goes to six, and to degree 6), 5 and 10 maps. Changed: the network trains with
the polynomials in place, which gains accuracy over replacing ReLU afterwards. Frames vote by their
mean logit.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import FrameVoting, features_of
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

MAPS = (5, 10)
SQUARE_TERM = 1 / (2 * math.sqrt(2 * math.pi))
"""c0 = c2 of the degree 2 fit of ReLU under the standard normal; c1 = 1/2 (Hermite expansion)."""


class NormalRelu(nn.Module):
    """c0 + x / 2 + c2 x^2: the least-squares fit of ReLU for a standard normal argument."""

    def forward(self, x: Tensor) -> Tensor:
        """Values for x of any shape."""
        return SQUARE_TERM + x * (0.5 + SQUARE_TERM * x)


def make_chabanne(channels: int, size: int, frames: int) -> FrameVoting:
    """The network; all frames share it."""
    del frames
    first, second = MAPS
    front = nn.Sequential(
        nn.Conv2d(channels, first, 5, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(first),
        NormalRelu(),
        nn.AvgPool2d(2),
        nn.Conv2d(first, second, 3, padding=1, bias=False),
        nn.BatchNorm2d(second),
        NormalRelu(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    return FrameVoting(nn.Sequential(*front, nn.Linear(features_of(front, channels, size), 1)))


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train on single frames; `fitted.network.layers` score one frame."""
    return fit_torch("chabanne_cnn", make_chabanne, sets, budget, per_frame=True)
