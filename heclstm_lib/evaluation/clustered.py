"""The difference of two AUCs when a patient may have several sequences, and over folds.

Obuchowski, Biometrics 53:567 (1997): DeLong's structural components, summed within patients. With
one sequence a patient it is DeLong's test. Each fold has a model of its own, so that its area is
one term of a sum weighted by numbers of pairs. Patients are the independent units: what a patient
adds to the weighted area is summed over all folds that test the patient before it is squared, so
that repeats of cross-validation and seeds of one split are no new patients. The models are taken as
given.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from heclstm_lib.evaluation.statistics import Array

Labels = NDArray[np.int64]


def clustered_covariance(
    scores: Array,
    labels: Labels,
    patients: NDArray[np.object_],
    folds: NDArray[np.int64] | None = None,
) -> tuple[Array, Array]:
    """Areas [k] of k methods over pairs within folds, and their covariance [k, k]; scores [k, n].

    Without folds [n] all rows are of one. Folds without both classes say nothing and are left out;
    where none is left, all is NaN. The covariance is NaN where a fold has fewer than two patients
    of either class. For folds of different patients it is the sum of the folds' covariances.
    """
    names, place = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    fold_of = np.zeros(len(labels), dtype=np.int64) if folds is None else np.asarray(folds)
    areas, pairs = np.zeros(len(scores)), 0
    # of every patient: ill, well, and both again with the correction of the mixed term
    terms = np.zeros((4, len(scores), len(names)))
    for fold in np.unique(fold_of):
        own = fold_of == fold
        ill = labels[own] == 1
        count = int(ill.sum() * (~ill).sum())
        if count:
            area, found = _fold_terms(scores[:, own], ill, place[own], len(names))
            areas, terms, pairs = areas + count * area, terms + count * found, pairs + count
    if not pairs:
        return np.full(len(scores), np.nan), np.full((len(scores), len(scores)), np.nan)
    by_ill, by_well, mixed_ill, mixed_well = terms / pairs
    mixed = mixed_ill @ mixed_well.T
    return areas / pairs, by_ill @ by_ill.T + by_well @ by_well.T + mixed + mixed.T


def _fold_terms(
    scores: Array, ill: NDArray[np.bool_], place: NDArray[np.int64], count: int
) -> tuple[Array, Array]:
    """Areas [k] of one fold, and what its ill and well sequences of each patient add [4, k, count].

    Obuchowski's corrections g / (g - 1), for g patients of a class or of the fold, are taken here
    as square roots: g differs between folds, and products of two terms have the whole factor.
    """
    m, n = int(ill.sum()), int((~ill).sum())
    ill_ranks = stats.rankdata(scores[:, ill], axis=1)
    well_ranks = stats.rankdata(scores[:, ~ill], axis=1)
    joint = stats.rankdata(np.concatenate([scores[:, ill], scores[:, ~ill]], axis=1), axis=1)
    by_ill = (joint[:, :m] - ill_ranks) / n  # [k, m]: share of the well below each ill
    by_well = 1 - (joint[:, m:] - well_ranks) / m  # [k, n]: share of the ill above each well
    areas = by_ill.mean(axis=1)
    excess = np.zeros((2, len(scores), count))  # of a patient's components over the area
    np.add.at(excess[0].T, place[ill], (by_ill - areas[:, None]).T / m)
    np.add.at(excess[1].T, place[~ill], (by_well - areas[:, None]).T / n)
    groups = np.array([len(np.unique(each)) for each in (place[ill], place[~ill], place)])
    if groups[:2].min() < 2:
        return areas, np.full((4, *excess.shape[1:]), np.nan)
    factors = np.sqrt(groups / (groups - 1))[[0, 1, 2, 2], None, None]
    return areas, factors * np.concatenate([excess, excess])


def delong_by_fold(reference: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float]:
    """Difference of two AUCs (other - reference) over pairs within folds, and its two-sided p.

    Rows in one order (`comparison.split_methods`). A sequence may have been scored in several folds
    (repeated cross-validation, seeds of one split): the variance is over patients
    (`clustered_covariance`). p is NaN where a fold has fewer than two patients of a class.
    """
    folds = reference["fold"].to_numpy() if "fold" in reference else None
    scores = np.stack([reference["score"], other["score"]]).astype(np.float64)
    labels, patients = reference["label"].to_numpy(), reference["patient_id"].to_numpy()
    areas, covariance = clustered_covariance(scores, labels, patients, folds)
    difference = float(areas[1] - areas[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if not np.isfinite(variance):
        return difference, float("nan")
    if variance <= 1e-15:
        return difference, 1.0 if abs(difference) < 1e-12 else 0.0
    return difference, float(2 * stats.norm.sf(abs(difference) / np.sqrt(variance)))
