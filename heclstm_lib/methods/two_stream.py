"""Hidden two-stream: a network that learns motion without labels, a stream on it, one on the image.

Zhu, Lan, Newsam and Hauptmann, "Hidden two-stream convolutional networks for action recognition",
ACCV 2018.

Kept: a motion network trained to rebuild each frame by warping the next one (photometric loss and
smoothness, no flow labels), stacked flows as the input of the temporal stream, a spatial stream on
the images, late fusion of their scores, all trained together. Scaled down: one coarse scale of
flow, on images of half the size (at most MOTION of their pixels), two convolutions a stream; plain
mean of the streams; no structural similarity term. Published with ImageNet weights of the spatial
stream.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.layers import conv_block, features_of, on_frames, small_cnn
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch

MOTION = 2.0  # pixels of the halved images, the longest flow along an axis
SMOOTHNESS = 0.1  # weight of the flow's roughness beside the photometric error


class MotionNet(nn.Module):
    """Flow from a frame to the next one, in pixels, [N, 2, H, W] of pairs [N, 2C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_block(2 * channels, 8, stride=2),
            nn.Conv2d(8, 2, 3, padding=1),
        )

    def forward(self, pairs: Tensor) -> Tensor:
        """Flow (x, y) of pairs of frames."""
        coarse = MOTION * torch.tanh(self.layers(pairs))
        size = (pairs.shape[-2], pairs.shape[-1])
        return interpolate(coarse, size=size, mode="bilinear", align_corners=False)


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Images [N, C, H, W] read at x + flow [N, 2, H, W] (pixels); beyond the border, the border."""
    identity = torch.eye(2, 3).to(images).expand(len(images), 2, 3)
    grid = affine_grid(identity, list(images.shape), align_corners=False)
    scale = 2 / torch.tensor([images.shape[-1], images.shape[-2]]).to(images)
    moved = grid + flow.permute(0, 2, 3, 1) * scale
    return grid_sample(images, moved, padding_mode="border", align_corners=False)


class TwoStream(nn.Module):
    """Mean of a spatial and a temporal stream; without a second frame, the spatial one alone."""

    def __init__(self, channels: int, size: int, frames: int) -> None:
        super().__init__()
        self.backbone = small_cnn(channels)
        self.spatial = nn.Linear(features_of(self.backbone, channels, size), 1)
        self.motion = MotionNet(channels)
        stacked = 2 * max(frames - 1, 1)
        self.temporal_cnn = small_cnn(stacked)
        self.temporal = nn.Linear(features_of(self.temporal_cnn, stacked, size // 2), 1)
        self._auxiliary = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        """Scores [B, 2] of sequences x [B, T, C, H, W]: appearance and motion."""
        appearance = self.spatial(on_frames(self.backbone, x)).mean(dim=1)  # [B, 1]
        self._auxiliary = x.new_zeros(())
        if x.shape[1] == 1:
            return appearance
        small = avg_pool2d(x.flatten(0, 1), 2).unflatten(0, (x.shape[0], x.shape[1]))
        before, after = small[:, :-1].flatten(0, 1), small[:, 1:].flatten(0, 1)  # [B (T - 1), ...]
        flow = self.motion(torch.cat([before, after], dim=1))
        self._auxiliary = _charbonnier(before - warp(after, flow)) + SMOOTHNESS * _roughness(flow)
        stacked = flow.reshape(len(x), -1, *flow.shape[-2:])  # [B, 2 (T - 1), H / 2, W / 2]
        motion = self.temporal(self.temporal_cnn(stacked).flatten(1))
        return torch.cat([appearance, motion], dim=1)

    def take_auxiliary(self) -> Tensor:
        """The motion network's loss of the last call; handed over, so that nothing holds it."""
        taken, self._auxiliary = self._auxiliary, self._auxiliary.detach()
        return taken


def _charbonnier(error: Tensor) -> Tensor:
    """Mean of a smooth absolute value."""
    return (error.square() + 1e-6).sqrt().mean()


def _roughness(flow: Tensor) -> Tensor:
    return _charbonnier(flow.diff(dim=2)) + _charbonnier(flow.diff(dim=3))


def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> TorchFitted:
    """Train both streams and the motion network together."""
    return fit_torch("two_stream", TwoStream, sets, budget)
