"""A dense layer over features in one ciphertext or in many, and the square after it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.linear import Products, Tensor, pad_rows, padded_rows, window_weights
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Op


def dense_layer(
    builder: Builder, chunks: Iterable[Tensor], ciphertexts: int, matrix: Vector, bias: Vector
) -> Tensor:
    """matrix [R, V] times the features of all `chunks` (in so many ciphertexts), plus bias [R]."""
    layout = builder.layout
    rows = padded_rows(len(matrix), layout.features)
    products = Products(builder, [pad_rows(matrix, rows)], ciphertexts)
    for chunk in chunks:
        products.feed(chunk)
    [values] = products.finish()
    biases = pad_rows(bias, rows).reshape(len(values), -1)
    places = np.arange(rows).reshape(len(values), -1)
    results = tuple(
        builder.add_plain(builder.required(value), layout.spread(part))
        for value, part in zip(values, biases, strict=True)
    )
    return Tensor(results, tuple(np.where(places < len(matrix), places, -1)))


def last_layer(
    builder: Builder, chunks: Iterable[Tensor], ciphertexts: int, matrix: Vector, bias: Vector
) -> Tensor:
    """As `dense_layer`, where no product follows: the result may stand at one place alone.

    Features of period P in one ciphertext see every shift of themselves from windows of R rows,
    R + 1 places apart: one plaintext product and log2(P) folds, if P windows fit the axis.
    """
    layout = builder.layout
    rows = padded_rows(len(matrix), layout.features)
    if ciphertexts > 1 or rows < 4:
        return dense_layer(builder, chunks, ciphertexts, matrix, bias)
    [features] = chunks
    period = len(features.contents[0])
    if (rows + 1) * period > layout.features:
        return dense_layer(builder, [features], ciphertexts, matrix, bias)
    columns, first = np.unique(features.contents[0], return_index=True)
    placed = np.zeros((rows, period))
    placed[: len(matrix), first[columns >= 0]] = matrix[:, columns[columns >= 0]]
    weights = layout.spread(window_weights(placed, layout.features))
    [product] = builder.products([(features.values[0], weights)])
    stride = (rows + 1) * layout.lanes
    value = builder.fold(builder.settle(product), period * stride, stride)
    place = np.arange(layout.features)
    biases = np.zeros(layout.features)
    biases[: len(bias)] = bias
    value = builder.add_plain(value, layout.spread(biases))
    return Tensor((value,), (np.where(place < len(matrix), place, -1),))


def square_features(builder: Builder, features: Tensor) -> Tensor:
    """Squared features, ready for the next product."""
    squares = tuple(square_feature(builder, value) for value in features.values)
    return Tensor(squares, features.contents)


def square_feature(builder: Builder, value: Op) -> Op:
    """A square; left raw where no rotation follows: the sums after it are fewer, and settled."""
    if builder.layout.features > 1:
        return builder.square(value)
    return builder.raw_square(value)
