"""A score that is linear or quadratic in a few features: linear SVM, Gaussian naive Bayes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heclstm_lib.errors import PlanError
from heclstm_lib.models.folded import Array


@dataclass(frozen=True)
class FoldedScore:
    """score = sum_v square[v] x_v^2 + linear[v] x_v + bias, of features x [V].

    Raises PlanError for weights of different lengths, or none that is not zero.
    """

    linear: Array
    square: Array
    bias: float

    def __post_init__(self) -> None:
        if self.linear.ndim != 1 or self.linear.shape != self.square.shape:
            raise PlanError(
                f"FoldedScore: linear {self.linear.shape} and square {self.square.shape} must be "
                "vectors of one length; give zeros for a part that is missing."
            )
        if not np.any(self.linear) and not np.any(self.square):
            raise PlanError("FoldedScore: all weights are zero; there is nothing to evaluate.")

    @property
    def quadratic(self) -> bool:
        """Whether any feature is squared."""
        return bool(np.any(self.square))

    def outputs(self, features: Array) -> Array:
        """Scores [n] of features [n, V], in float64."""
        values = np.asarray(features, dtype=np.float64)
        return np.asarray(values**2 @ self.square + values @ self.linear + self.bias)

    def divided(self, factor: float) -> FoldedScore:
        """The same score divided by a positive factor: decisions stay, large scores fit."""
        return FoldedScore(self.linear / factor, self.square / factor, self.bias / factor)


def linear_score(weights: Array, bias: float) -> FoldedScore:
    """The decision function w . x + b of a linear classifier.

    >>> float(linear_score(np.array([2.0]), 1.0).outputs(np.array([[3.0]]))[0])
    7.0
    """
    weights = np.asarray(weights, dtype=np.float64)
    return FoldedScore(weights, np.zeros_like(weights), float(bias))


def gaussian_score(means: Array, variances: Array, priors: Array) -> FoldedScore:
    """Log-likelihood ratio of Gaussian naive Bayes: class 1 over class 0, priors included.

    means and variances [2, V], priors [2]. Each class's log density of a feature is quadratic in
    it, -(x - m)^2 / 2v - log(2 pi v) / 2, and so is the difference. Raises PlanError unless all
    variances and priors are positive.
    """
    means, variances = np.asarray(means, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if not (np.all(variances > 0) and np.all(np.asarray(priors) > 0)):
        raise PlanError(
            f"gaussian_score: variances (smallest {variances.min():.3g}) and priors "
            f"{list(map(float, priors))} must be positive; use variance smoothing."
        )
    square = 0.5 / variances[0] - 0.5 / variances[1]
    linear = means[1] / variances[1] - means[0] / variances[0]
    constant = -0.5 * (means**2 / variances + np.log(variances))
    bias = float(np.log(priors[1] / priors[0]) + (constant[1] - constant[0]).sum())
    return FoldedScore(linear, square, bias)
