"""A dense layer over features in one ciphertext or in many, and the square after it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.linear import Products, Tensor, pad_rows, padded_rows
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


def square_features(builder: Builder, features: Tensor) -> Tensor:
    """Squared features, ready for the next product."""
    squares = tuple(square_feature(builder, value) for value in features.values)
    return Tensor(squares, features.contents)


def square_feature(builder: Builder, value: Op) -> Op:
    """A square; left raw where no rotation follows: the sums after it are fewer, and settled."""
    if builder.layout.features > 1:
        return builder.square(value)
    return builder.raw_square(value)
