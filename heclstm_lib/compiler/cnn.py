"""Compile a small convolutional network on single images: the benchmark shared with other tools."""

from __future__ import annotations

from collections.abc import Iterable

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.convolution import Convolution
from heclstm_lib.compiler.dense import dense_layer, last_layer, square_features
from heclstm_lib.compiler.finish import finish_plan
from heclstm_lib.compiler.linear import Tensor, padded_rows
from heclstm_lib.he.packing import Layout, power_of_two
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.cnn import FoldedCnn


def cnn_depth(network: FoldedCnn) -> int:
    """Levels: two for the convolution and its square, two a dense layer but one for the last."""
    return 1 + 2 * len(network.dense)


def plan_cnn(
    network: FoldedCnn, params: CkksParameters, images: int, taps_together: int = 1
) -> Plan:
    """Plan up to `images` images (a power of two) at once: [n, 1, C, H, W] to logits [n, K].

    `taps_together` is as in Convolution. Raises PlanError and its kinds when the network does not
    fit.
    """
    layout = Layout(params.slots, 1, power_of_two(images))
    builder = Builder(params, layout)
    rows = padded_rows(len(network.dense[0][0]), layout.features)
    convolution = Convolution(
        builder, network.conv_weight, network.conv_bias, network.image_size, network.stride, rows,
        taps_together,
    )  # fmt: skip
    chunks: Iterable[Tensor] = convolution.chunks()
    count = convolution.ciphertexts
    *inner, last = network.dense
    for number, (matrix, bias) in enumerate(inner, start=1):
        with builder.layer(f"dense.{number}"):
            features = dense_layer(builder, chunks, count, matrix, bias)
        with builder.layer(f"dense.{number}.activation"):
            features = square_features(builder, features)
        chunks, count = [features], len(features.values)
    with builder.layer(f"dense.{len(network.dense)}"):
        features = last_layer(builder, chunks, count, *last)
    shape = (network.conv_weight.shape[1], network.image_size, network.image_size)
    return finish_plan(builder, 1, shape, features.contents, features.values)
