"""The difference of two AUCs when a patient may have several sequences, and over folds.

Obuchowski, Biometrics 53:567 (1997): DeLong's structural components, summed within patients. With
one sequence a patient it is DeLong's test. Each fold has a model of its own, so that its area is
one term of a sum weighted by numbers of pairs; the folds' variances add, since their test patients
are different ones (the models are taken as given).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from heclstm_lib.evaluation.statistics import Array

Labels = NDArray[np.int64]


def clustered_covariance(
    scores: Array, labels: Labels, patients: NDArray[np.object_]
) -> tuple[Array, Array]:
    """Areas [k] of k methods and their covariance [k, k]; scores [k, n].

    The covariance is NaN with fewer than two patients of either class.
    """
    ill = labels == 1
    m, n = int(ill.sum()), int((~ill).sum())
    names, place = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    ill_ranks = stats.rankdata(scores[:, ill], axis=1)
    well_ranks = stats.rankdata(scores[:, ~ill], axis=1)
    joint = stats.rankdata(np.concatenate([scores[:, ill], scores[:, ~ill]], axis=1), axis=1)
    by_ill = (joint[:, :m] - ill_ranks) / n  # [k, m]: share of the well below each ill
    by_well = 1 - (joint[:, m:] - well_ranks) / m  # [k, n]: share of the ill above each well
    areas = by_ill.mean(axis=1)
    excess = np.zeros((2, len(scores), len(names)))  # of a patient's components over the area
    np.add.at(excess[0].T, place[ill], (by_ill - areas[:, None]).T)
    np.add.at(excess[1].T, place[~ill], (by_well - areas[:, None]).T)
    groups = [len(np.unique(place[ill])), len(np.unique(place[~ill]))]
    if min(groups) < 2:
        return areas, np.full((len(scores), len(scores)), np.nan)
    s10 = groups[0] / (groups[0] - 1) * excess[0] @ excess[0].T / m**2
    s01 = groups[1] / (groups[1] - 1) * excess[1] @ excess[1].T / n**2
    mixed = len(names) / (len(names) - 1) * excess[0] @ excess[1].T / (m * n)
    return areas, s10 + s01 + mixed + mixed.T


def delong_by_fold(reference: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float]:
    """Difference of two AUCs (other - reference) over pairs within folds, and its two-sided p.

    Rows in one order (`comparison.split_methods`). Folds without both classes say nothing and are
    left out. p is NaN where a fold has fewer than two patients of a class, or where sequences were
    scored in several folds (repeated cross-validation: folds are then not independent).
    """
    folds = reference["fold"].to_numpy() if "fold" in reference else np.zeros(len(reference))
    scores = np.stack([reference["score"], other["score"]]).astype(np.float64)
    labels, patients = reference["label"].to_numpy(), reference["patient_id"].to_numpy()
    difference, variance, pairs = 0.0, 0.0, 0
    for fold in np.unique(folds):
        own = folds == fold
        positives = int(labels[own].sum())
        count = positives * (int(own.sum()) - positives)
        if count:
            areas, covariance = clustered_covariance(scores[:, own], labels[own], patients[own])
            difference += count * (areas[1] - areas[0])
            variance += count**2 * (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
            pairs += count
    if not pairs:
        return float("nan"), float("nan")
    difference, variance = difference / pairs, variance / pairs**2
    if reference["sequence_id"].duplicated().any() or not np.isfinite(variance):
        return float(difference), float("nan")
    if variance <= 1e-15:
        return float(difference), 1.0 if abs(difference) < 1e-12 else 0.0
    return float(difference), float(2 * stats.norm.sf(abs(difference) / np.sqrt(variance)))
