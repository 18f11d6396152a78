"""An image network with whole weights and inputs, as an exact scheme (BFV) evaluates it.

CryptoNets (Gilad-Bachrach et al., ICML 2016) scales and rounds inputs and weights, and computes the
scaled score without any further error. Rows of a layer have scales of their own: what a row is
multiplied by is divided out of the next layer's column, so that rounding is relative to each row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.folded import Array

Integers = NDArray[np.int64]
Whole = NDArray[np.object_]
"""Python's integers of any size."""

INPUT_BITS = 6
WEIGHT_BITS = 6
"""Bits of inputs (unsigned) and weights (with sign). Our choice, made before any test score."""

WORD_BITS = 62


@dataclass(frozen=True)
class IntegerCnn:
    """square(conv) then dense layers with squares between them, as FoldedCnn, in whole numbers.

    conv_weight [O, C, k, k] and the dense matrices are int64, biases Python integers; images are
    whole numbers 0..levels [n, C, H, W]; a score is output / output_scale.
    """

    image_size: int
    stride: int
    levels: int
    conv_weight: Integers
    conv_bias: Whole
    dense: tuple[tuple[Integers, Whole], ...]
    output_scale: float

    @property
    def grid(self) -> int:
        """Positions of the convolution along a side."""
        return (self.image_size - self.conv_weight.shape[-1]) // self.stride + 1

    def quantised(self, images: Array) -> Integers:
        """Images [n, C, H, W] in [0, 1] as whole numbers 0..levels."""
        return np.rint(np.clip(images, 0, 1) * self.levels).astype(np.int64)

    def exact(self, images: Integers) -> Whole:
        """Exact outputs [n, K] of whole images, however large."""
        size = self.conv_weight.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]
        maps = np.einsum("ncyxij,ocij->noyx", windows, self.conv_weight)
        values = maps.astype(object) + self.conv_bias[:, None, None]
        values = values.reshape(len(images), -1)
        for matrix, bias in self.dense:
            values = _product(values**2, matrix) + bias
        return values

    def scores(self, outputs: Whole) -> Array:
        """Scores [n] of outputs [n, 1] (correctly rounded quotients)."""
        return np.array([float(int(row[0]) / self.output_scale) for row in outputs])

    def bound(self) -> int:
        """The largest size an output can have for any image, by interval arithmetic."""
        weights = self.conv_weight.reshape(len(self.conv_weight), -1).astype(object)
        low = self.conv_bias + self.levels * np.minimum(weights, 0).sum(axis=1)
        high = self.conv_bias + self.levels * np.maximum(weights, 0).sum(axis=1)
        low, high = (np.repeat(ends, self.grid**2) for ends in (low, high))
        for matrix, bias in self.dense:
            largest = np.maximum(low**2, high**2)  # squares lie between 0 and this
            wide = matrix.astype(object)
            low = np.minimum(wide, 0) @ largest + bias
            high = np.maximum(wide, 0) @ largest + bias
        return int(max(np.abs(low).max(), np.abs(high).max()))


def _product(values: Whole, matrix: Integers) -> Whole:
    """values [n, V] times matrix [R, V] transposed: in machine words where they surely suffice."""
    largest = int(np.abs(values).max()) * int(np.abs(matrix).sum(axis=1).max())
    if largest.bit_length() <= WORD_BITS:
        return np.asarray((values.astype(np.int64) @ matrix.T).astype(object))
    return np.asarray(values @ matrix.T.astype(object))


def quantise_cnn(
    network: FoldedCnn,
    mean: Array,
    std: Array,
    input_bits: int = INPUT_BITS,
    weight_bits: int = WEIGHT_BITS,
) -> IntegerCnn:
    """Round a network on normalised images to whole numbers on images in [0, 1].

    The normalisation (x - mean) / std, [C], is folded into the convolution, so that inputs are
    pixels. Raises PlanError for a row of zeros: its ciphertext would be empty.
    """
    if min(input_bits, weight_bits - 1) < 1:
        raise PlanError(
            f"quantise_cnn: {input_bits} input and {weight_bits} weight bits; expected at least "
            "1 and 2 (one for the sign)."
        )
    levels, limit = (1 << input_bits) - 1, (1 << (weight_bits - 1)) - 1
    weight = network.conv_weight / std[:, None, None]
    bias = network.conv_bias - (weight * mean[:, None, None]).sum(axis=(1, 2, 3))
    rows, scale = _rounded(weight.reshape(len(weight), -1), limit)
    scale = scale * levels
    conv_bias = _whole(bias * scale)
    positions = ((network.image_size - weight.shape[-1]) // network.stride + 1) ** 2
    scale = np.repeat(scale, positions)
    dense = []
    for matrix, offset in network.dense:
        whole, next_scale = _rounded(matrix / scale**2, limit)
        dense.append((whole, _whole(offset * next_scale)))
        scale = next_scale
    return IntegerCnn(
        network.image_size, network.stride, levels, rows.reshape(weight.shape), conv_bias,
        tuple(dense), float(scale[0]),
    )  # fmt: skip


def _rounded(matrix: Array, limit: int) -> tuple[Integers, Array]:
    """Whole rows whose largest entry is `limit`, and what each row was multiplied by."""
    largest = np.abs(matrix).max(axis=1)
    if not np.all(largest > 0):
        raise PlanError(
            f"quantise_cnn: {int(np.sum(largest == 0))} of {len(matrix)} rows of a layer are all "
            "zero. Train longer, or with a smaller weight decay."
        )
    scale = limit / largest
    return np.rint(matrix * scale[:, None]).astype(np.int64), scale


def _whole(values: Array) -> Whole:
    return np.array([round(float(value)) for value in values], dtype=object)
