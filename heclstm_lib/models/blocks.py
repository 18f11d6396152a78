"""Convolutional blocks: convolution, batch norm, activation, mean pooling."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import ConfigError


class Block(nn.Module):
    """pool(activation(norm(conv(x)))), no padding; applied to every frame alike."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, stride: int, pool: int, activation: nn.Module
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, stride=stride, bias=False)
        self.norm = nn.BatchNorm2d(channels[1])
        self.activation = activation
        self.pool = nn.AvgPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, O, H' // pool, W' // pool] of frames x [N, C, H, W]."""
        y = self.conv(x)  # [N, C, H, W] -> [N, O, H', W'], H' = (H - kernel) // stride + 1
        return self.pool(self.activation(self.norm(y)))  # [N, O, H' // pool, W' // pool]


def make_blocks(
    config: ModelConfig, channels: int, image_size: int, activation: Callable[[], nn.Module]
) -> tuple[nn.Sequential, int]:
    """Blocks of a configuration and the number of features they give a frame.

    `kernel_size` and `stride` hold for the first block; further ones are 3x3 with stride 1.
    Raises ConfigError when the image is too small for so many blocks.
    """
    blocks: list[Block] = []
    inputs, size = channels, image_size
    for index, outputs in enumerate(config.conv_channels):
        kernel, stride = (config.kernel_size, config.stride) if index == 0 else (3, 1)
        size = ((size - kernel) // stride + 1) // config.pool
        if size < 1:
            raise ConfigError(
                f"blocks.{index}: nothing is left of a {image_size}x{image_size} image after "
                f"conv_channels={config.conv_channels}, kernel_size={config.kernel_size}, "
                f"stride={config.stride}, pool={config.pool}. Use fewer blocks or a larger image."
            )
        blocks.append(Block((inputs, outputs), kernel, stride, config.pool, activation()))
        inputs = outputs
    return nn.Sequential(*blocks), inputs * size * size
