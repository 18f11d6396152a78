"""The ROC curve over folds, each with a model and a scale of scores of its own, with its band."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.statistics import Array, patient_resamples

Labels = NDArray[np.int64]


def roc_band(rows: pd.DataFrame, repeats: int, points: int = 101) -> pd.DataFrame:
    """ROC curve with a pointwise 95 % band over patients: columns fpr, tpr, low, high.

    rows: patient_id, label, score and perhaps fold. Scores of different folds are never ranked
    together: the curve is the mean of the folds' sensitivities at one false positive rate
    (vertical averaging, Fawcett, Pattern Recognition Letters 27:861, 2006), weighted by their
    numbers of pairs, so that the area under it is that of `fold_auc`. Raises DataError when no
    fold has both classes.
    """
    grid = np.linspace(0, 1, points)
    scores, labels = rows.score.to_numpy(dtype=np.float64), rows.label.to_numpy()
    folds = rows.fold.to_numpy() if "fold" in rows else np.zeros(len(rows), dtype=np.int64)
    middle = fold_roc(grid, scores, labels, folds)
    if middle is None:
        raise DataError(
            f"roc_band: a ROC curve needs both classes in a fold, and none of {len(set(folds))} "
            f"folds ({len(labels)} sequences) has both. Evaluate more patients."
        )
    draws = (
        fold_roc(grid, scores[index], labels[index], folds[index])
        for index in patient_resamples(rows.patient_id.to_numpy(), repeats)
    )
    low, high = np.quantile([d for d in draws if d is not None], [0.025, 0.975], axis=0)
    return pd.DataFrame({"fpr": grid, "tpr": middle, "low": low, "high": high})


def fold_roc(grid: Array, scores: Array, labels: Labels, folds: NDArray[np.int64]) -> Array | None:
    """Sensitivity [k] at false positive rates [k], over folds (`roc_band`); None without pairs."""
    total, pairs = np.zeros(len(grid)), 0
    for fold in np.unique(folds):
        own = folds == fold
        positives = int(labels[own].sum())
        count = positives * (int(own.sum()) - positives)
        if count:
            total += count * _roc_on(grid, scores[own], labels[own])
            pairs += count
    return total / pairs if pairs else None


def _roc_on(grid: Array, scores: Array, labels: Labels) -> Array:
    """Sensitivity of one fold at each false positive rate: the upper end of a vertical step.

    Between two thresholds the curve is a straight line, as if equal scores were drawn by lot: the
    area under it is then the AUC.
    """
    values, place = np.unique(-scores, return_inverse=True)  # highest scores first
    found = [np.bincount(place, weights=labels == label, minlength=len(values)) for label in (0, 1)]
    fpr, tpr = (np.append(0, np.cumsum(each)) / each.sum() for each in found)
    before = np.searchsorted(fpr, grid + 1e-9, side="right") - 1
    after = np.minimum(before + 1, len(fpr) - 1)
    width = fpr[after] - fpr[before]
    step = np.maximum(grid - fpr[before], 0)
    share = np.divide(step, width, out=np.zeros_like(step), where=width > 0)
    return np.asarray(tpr[before] + share * (tpr[after] - tpr[before]))
