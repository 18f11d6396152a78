"""Compile a linear or quadratic score: one plaintext product a term, and a fold over features."""

from __future__ import annotations

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.finish import finish_plan
from heclstm_lib.compiler.linear import Content
from heclstm_lib.he.packing import Layout, Vector, power_of_two
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.models.score import FoldedScore


def score_depth(score: FoldedScore) -> int:
    """Levels: one for the products by the weights, one more for squares."""
    return 2 if score.quadratic else 1


def plan_score(score: FoldedScore, params: CkksParameters, sequences: int) -> Plan:
    """Plan up to `sequences` scores (a power of two) at once: values [n, 1, V] to scores [n, 1].

    Squares stay raw until all products are summed, so that one relinearisation and one rescaling
    serve all features; rotations come last, at the lowest level. Raises PlanError and its kinds
    when the score does not fit.
    """
    layout = Layout(params.slots, 1, power_of_two(sequences))
    builder = Builder(params, layout)
    count = len(score.linear)
    width = min(power_of_two(count), layout.features)
    total: list[Op] = []
    for content in feature_contents(count, width):
        terms = _terms(builder, score, content)
        total = [builder.sum([*total, *terms])] if total or terms else []
    with builder.layer("fold"):
        value = builder.settle(builder.sum(total))
        value = builder.fold(value, width * layout.lanes, layout.lanes)
        value = builder.add_plain(value, np.full((1, 1), score.bias))
    return finish_plan(builder, 1, (count,), [[0]], [value])


def feature_contents(count: int, width: int) -> list[Content]:
    """Which feature each place of each ciphertext holds, `width` places each, -1 for none.

    >>> [content.tolist() for content in feature_contents(3, 2)]
    [[0, 1], [2, -1]]
    """
    places = np.arange(-(-count // width) * width).reshape(-1, width)
    return list(np.where(places < count, places, -1))


def _terms(builder: Builder, score: FoldedScore, content: Content) -> list[Op]:
    """Products of one ciphertext's features and their squares, all at one level and scale."""
    value, lane = builder.input(content), builder.layout.spread
    if not score.quadratic:
        with builder.layer("linear"):
            return builder.products([(value, lane(_held(score.linear, content)))])
    with builder.layer("square"):
        squared = builder.raw_square(value)
        squares = builder.products([(squared, lane(_held(score.square, content)))])
    with builder.layer("linear"):
        scale = builder.product_scale(squared) / builder.params.primes[value.level]
        return [*squares, *builder.products([(value, lane(_held(score.linear, content)))], scale)]


def _held(weights: Vector, content: Content) -> Vector:
    """Weights [V] at the places of their features, 0 where a place is empty."""
    return np.where(content >= 0, weights[np.maximum(content, 0)], 0.0)
