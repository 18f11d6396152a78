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
    return _pooled(sequences.frames.mean(axis=1, dtype=np.float64))


def frame_image(t: int) -> Callable[[SequenceSet], Array]:
    """One frame alone, pooled [B, C * p * p]."""
    return lambda sequences: _pooled(sequences.frames[:, t].astype(np.float64))


def _pooled(images: Array) -> Array:
    """Average images [B, C, H, W] over a grid of blocks, flattened."""
    size = images.shape[-1]
    edges = np.linspace(0, size, min(POOLED, size) + 1).astype(int)[:-1]
    summed = np.add.reduceat(np.add.reduceat(images, edges, axis=2), edges, axis=3)
    counts = np.diff(np.append(edges, size))
    return (summed / np.outer(counts, counts)).reshape(len(images), -1)


def baseline_scores(sets: dict[str, SequenceSet]) -> dict[str, tuple[Array, Array]]:
    """Logits of every baseline on sets["val"] and sets["test"]: name -> ([n_val], [n_test]).

    "best single frame" is the frame with the highest validation AUC.
    """
    simple = {
        "class prior": constant,
        "number of frames": frame_count,
        "mean colour": mean_colour,
        "mean image": mean_image,
    }
    scores = {name: _fit(sets, features)[1:] for name, features in simple.items()}
    frames = [_fit(sets, frame_image(t)) for t in range(sets["train"].frames.shape[1])]
    best = max(frames, key=lambda fitted: fitted[0])
    scores["best single frame"] = best[1:]
    return scores


def _fit(
    sets: dict[str, SequenceSet], features: Callable[[SequenceSet], Array]
) -> tuple[float, Array, Array]:
    """Validation AUC, validation and test logits of the best regularisation on validation."""
    inputs = {part: features(sequences) for part, sequences in sets.items()}
    fitted = []
    for strength in STRENGTHS:
        model = _regression(strength).fit(inputs["train"], sets["train"].labels)
        val = model.decision_function(inputs["val"])
        fitted.append((float(roc_auc_score(sets["val"].labels, val)), val, model))
    area, val, model = max(fitted, key=lambda entry: entry[0])
    return area, val, model.decision_function(inputs["test"])


def _regression(strength: float) -> Pipeline:
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    )
