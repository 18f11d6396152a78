"""Trivial baselines: what the sequences give away without any look at their order.

Each is a logistic regression on a few numbers of a sequence, fitted on training patients only,
its regularisation chosen on validation patients. A network that does not beat them has learned
nothing from the order of the frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from heclstm_lib.data.sequences import SequenceSet

Array = NDArray[np.float64]
Features = Callable[[SequenceSet], Array]
"""Numbers of a sequence set, [n, V]."""

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse regularisation strengths tried on validation patients."""

POOLED = 7
"""Frames are averaged to at most this many pixels a side before a regression sees them."""


def constant(sequences: SequenceSet) -> Array:
    """No information: the class prior."""
    return np.zeros((len(sequences), 1))


def frame_count(sequences: SequenceSet) -> Array:
    """Number of real images in the sequence: a bias of the collection, not of the disease."""
    return sequences.lengths[:, None].astype(np.float64)


def mean_colour(sequences: SequenceSet) -> Array:
    """Mean of each channel over all frames and pixels [B, C] (volume, for binary masks)."""
    return sequences.frames.mean(axis=(1, 3, 4), dtype=np.float64)


def mean_image(sequences: SequenceSet) -> Array:
    """The frames' average, pooled [B, C * p * p]: everything but the order."""
    return pooled_images(sequences.frames.mean(axis=1, dtype=np.float64))


def frame_image(t: int) -> Features:
    """One frame alone, pooled [B, C * p * p]."""
    return lambda sequences: pooled_images(sequences.frames[:, t].astype(np.float64))


def pooled_images(images: Array) -> Array:
    """Average images [B, C, H, W] over a grid of at most 7 x 7 blocks, flattened [B, C * p * p]."""
    size = images.shape[-1]
    edges = np.linspace(0, size, min(POOLED, size) + 1).astype(int)[:-1]
    summed = np.add.reduceat(np.add.reduceat(images, edges, axis=2), edges, axis=3)
    counts = np.diff(np.append(edges, size))
    return (summed / np.outer(counts, counts)).reshape(len(images), -1)


def baseline_scores(sets: dict[str, SequenceSet]) -> dict[str, tuple[Array, Array]]:
    """Logits of every baseline on sets["val"] and sets["test"]: name -> ([n_val], [n_test]).

    "best single frame" is the frame with the highest validation AUC.
    """
    simple: dict[str, Features] = {
        "class prior": constant,
        "number of frames": frame_count,
        "mean colour": mean_colour,
        "mean image": mean_image,
    }
    fitted = {
        name: (features, *fit_regression(sets, features)) for name, features in simple.items()
    }
    frames = [frame_image(t) for t in range(sets["train"].frames.shape[1])]
    single = [(features, *fit_regression(sets, features)) for features in frames]
    fitted["best single frame"] = max(single, key=lambda entry: entry[1])
    scores = {}
    for name, (features, _, model) in fitted.items():
        val, test = (model.decision_function(features(sets[part])) for part in ("val", "test"))
        scores[name] = (val, test)
    return scores


def fit_regression(sets: dict[str, SequenceSet], features: Features) -> tuple[float, Pipeline]:
    """Validation AUC and model of the best regularisation on sets["val"], fitted on sets["train"].

    The model's `decision_function` gives logits [n] of features [n, V].
    """
    train, val = features(sets["train"]), features(sets["val"])
    fitted = []
    for strength in STRENGTHS:
        model = _regression(strength).fit(train, sets["train"].labels)
        area = float(roc_auc_score(sets["val"].labels, model.decision_function(val)))
        fitted.append((area, model))
    return max(fitted, key=lambda entry: entry[0])


def _regression(strength: float) -> Pipeline:
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    )
