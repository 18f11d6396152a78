"""CryptoNets: a convolution, two squares and two dense layers on each frame, frames voting.

Gilad-Bachrach, Dowlin, Laine, Lauter, Naehrig and Wernsing, "CryptoNets: applying neural networks
to encrypted data with high throughput and accuracy", ICML 2016.

Kept: the network as evaluated there, 5 maps of 5 x 5 convolutions with stride 2 (padded by one
pixel), squares, a dense layer of 100, squares, a dense output; no bias in the convolution's way, no
batch norm. Changed: one logit of the diagnosis takes the place of ten digits; the scaled mean
pooling and second convolution of the training network, which the paper folds into the dense layer,
are that dense layer from the start. Frames vote by their mean logit, which costs nothing encrypted.
"""

from __future__ import annotations

from torch import Tensor, nn

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import FrameVoting, features_of
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

MAPS, DENSE = 5, 100


class Square(nn.Module):
    """x^2, the only activation of CryptoNets."""

    def forward(self, x: Tensor) -> Tensor:
        """Squares of x of any shape."""
        return x * x


def make_cryptonets(channels: int, size: int, frames: int) -> FrameVoting:
    """The network; all frames share it."""
    del frames
    front = nn.Sequential(nn.Conv2d(channels, MAPS, 5, stride=2, padding=1), Square(), nn.Flatten())
    features = features_of(front, channels, size)
    return FrameVoting(
        nn.Sequential(*front, nn.Linear(features, DENSE), Square(), nn.Linear(DENSE, 1))
    )


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train on single frames; `fitted.network.layers` score one frame."""
    return fit_torch("cryptonets", make_cryptonets, sets, budget, per_frame=True)
