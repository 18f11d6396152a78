"""A small convolutional network on single images: convolution, squares, dense layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heclstm_lib.models.folded import Array


@dataclass(frozen=True)
class FoldedCnn:
    """square(conv) then dense layers (matrix [out, in], bias [out]) with squares between them.

    conv_weight [O, C, k, k], conv_bias [O]; features in the order channel, row, column.
    """

    image_size: int
    stride: int
    conv_weight: Array
    conv_bias: Array
    dense: tuple[tuple[Array, Array], ...]

    def outputs(self, images: Array) -> Array:
        """Logits [n, K] of images [n, C, H, W], in float64."""
        size = self.conv_weight.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]
        maps = np.einsum("ncyxij,ocij->noyx", windows, self.conv_weight, optimize=True)
        values = (maps + self.conv_bias[:, None, None]).reshape(len(images), -1)
        for matrix, bias in self.dense:
            values = values**2 @ matrix.T + bias
        return values
