"""Pieces that several methods share: networks applied to frames, and small convolution stacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrameVoting(nn.Module):
    """A network on single images; the frames of a sequence vote by their mean logit."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers  # [n, C, H, W] -> [n, 1]

    def forward(self, x: Tensor) -> Tensor:
        """Frame scores [B, T] of sequences x [B, T, C, H, W]."""
        scores: Tensor = self.layers(x.flatten(0, 1)).reshape(x.shape[:2])
        return scores


def on_frames(network: nn.Module, x: Tensor) -> Tensor:
    """Features [B, T, F] of a network that sees one frame of x [B, T, C, H, W] at a time."""
    return network(x.flatten(0, 1)).flatten(1).unflatten(0, (x.shape[0], x.shape[1]))


def features_of(network: nn.Module, channels: int, size: int) -> int:
    """How many features a network gives an image [C, size, size]."""
    was_training = network.training
    with torch.no_grad():
        count = network.eval()(torch.zeros(1, channels, size, size)).numel()
    network.train(was_training)
    return count


def conv_block(channels: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution (same padding at stride 1), batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def small_cnn(channels: int, widths: tuple[int, ...] = (8, 16)) -> nn.Sequential:
    """An image backbone: strided 5 x 5 convolution, then 3 x 3 ones, each pooled to half."""
    stages: list[nn.Module] = []
    for number, width in enumerate(widths):
        kernel, stride = (5, 2) if number == 0 else (3, 1)
        stages += [conv_block(channels, width, kernel, stride), nn.MaxPool2d(2, ceil_mode=True)]
        channels = width
    return nn.Sequential(*stages)
