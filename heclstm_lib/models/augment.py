"""Light augmentation, the same for all frames of a sequence (the camera does not jump)."""

from __future__ import annotations

import torch
from torch import Tensor

SHIFT = 2  # pixels, at most


def augment(
    frames: Tensor, generator: torch.Generator, shift: int = SHIFT, symmetries: bool = True
) -> Tensor:
    """Flip, turn by multiples of 90 degrees and shift each sequence of [B, T, C, H, W].

    A transposition and two flips give all eight symmetries of the square; `symmetries` off leaves
    the shift alone (CT slices have an up and a left). A shift repeats the border. One draw from
    `generator` a sequence holds for all its frames. H = W is needed.
    """
    count, size = len(frames), frames.shape[-1]
    coins = (torch.rand(3, count, generator=generator) < 0.5) & symmetries
    moves = torch.randint(-shift, shift + 1, (2, count), generator=generator)
    turned = torch.where(coins[0][:, None, None, None, None], frames.mT, frames)
    rows, columns = (_indices(size, coins[k], moves[k - 1]) for k in (1, 2))  # [B, H], [B, W]
    at = torch.arange(count)[:, None, None]
    # indexing [B, H, W, T, C]: each sequence has its own rows and columns
    moved = turned.permute(0, 3, 4, 1, 2)[at, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 4, 1, 2).contiguous()  # [B, T, C, H, W]


def _indices(size: int, flip: Tensor, move: Tensor) -> Tensor:
    """Which row (or column) each output row reads, [B, size]."""
    index = torch.arange(size)[None, :] + move[:, None]
    index = index.clamp(0, size - 1)
    return torch.where(flip[:, None], size - 1 - index, index)
