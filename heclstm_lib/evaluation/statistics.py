"""Uncertainty: bootstrap over patients, Wilson intervals, DeLong, McNemar, Holm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from heclstm_lib.errors import DataError

Array = NDArray[np.float64]
SEED = 20211122
"""Seed of every resampling, so that a report is the same each time it is made."""


def wilson_interval(successes: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson, JASA 1927).

    Numbers need not be whole: averages over repeats of one experiment have an interval too.
    """
    low, high = proportion_confint(successes, count, alpha=1 - level, method="wilson")
    # its ends are 0 of none and 1 of all, but for rounding
    return (float(low) if successes else 0.0), (float(high) if successes < count else 1.0)


def fast_auc(scores: Array, labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney); NaN when a class is missing."""
    positives = int(np.sum(labels == 1))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = stats.rankdata(scores)
    return float(
        (ranks[labels == 1].sum() - positives * (positives + 1) / 2) / positives / negatives
    )


def fold_auc(scores: Array, labels: NDArray[np.int64], folds: NDArray[np.int64]) -> float:
    """AUC over pairs of one fold: each fold has a model of its own, whose scores alone compare.

    The folds' areas weighted by their numbers of pairs; NaN when no fold has both classes.
    """
    areas, pairs = 0.0, 0
    for fold in np.unique(folds):
        own = folds == fold
        positives = int(labels[own].sum())
        count = positives * (int(own.sum()) - positives)
        if count:
            areas += count * fast_auc(scores[own], labels[own])
            pairs += count
    return areas / pairs if pairs else float("nan")


def patient_resamples(
    patients: NDArray[np.object_], repeats: int, seed: int = SEED
) -> list[NDArray[np.int64]]:
    """Row indices of `repeats` bootstrap samples of whole patients, with replacement."""
    _, group = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    order = np.argsort(group, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(group))[:-1])
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(rows), size=(repeats, len(rows)))
    return [np.concatenate([rows[i] for i in draw]) for draw in draws]


def resample_counts(index: list[NDArray[np.int64]], count: int) -> Array:
    """How often each of `count` rows is in each resample [R, count], from its row indices."""
    return np.array([np.bincount(rows, minlength=count) for rows in index], dtype=np.float64)


def fold_auc_draws(
    scores: Array, labels: NDArray[np.int64], folds: NDArray[np.int64], counts: Array
) -> Array:
    """`fold_auc` of R resamples at once [R], from how often each row is in each [R, n].

    Every pair of an ill and a well row of one fold counts as often as both are drawn.
    """
    won, pairs = np.zeros(len(counts)), np.zeros(len(counts))
    for fold in np.unique(folds):
        ill = np.flatnonzero((folds == fold) & (labels == 1))
        well = np.flatnonzero((folds == fold) & (labels == 0))
        kernel = (scores[ill][:, None] > scores[well]) + 0.5 * (
            scores[ill][:, None] == scores[well]
        )
        won += np.einsum("rw,rw->r", counts[:, ill] @ kernel, counts[:, well])
        pairs += counts[:, ill].sum(axis=1) * counts[:, well].sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)


def draws_interval(draws: Array, level: float = 0.95) -> tuple[float, float, int]:
    """Percentile interval of bootstrap draws, and how many of them are a number."""
    valid = draws[np.isfinite(draws)]
    if not len(valid):
        return float("nan"), float("nan"), 0
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), len(valid)


def bootstrap_interval(
    patients: NDArray[np.object_],
    statistic: Callable[[NDArray[np.int64]], float],
    repeats: int,
    level: float = 0.95,
) -> tuple[float, float, int]:
    """Percentile bootstrap interval over patients, and how many resamples gave a number.

    `statistic` gets the row indices of a resample.

    Resamples in which the statistic is undefined (a class is missing) are left out and counted.
    """
    values = np.array([statistic(index) for index in patient_resamples(patients, repeats)])
    return draws_interval(values, level)


def delong_test(first: Array, second: Array, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Difference of two correlated AUCs (second - first) and its two-sided p (DeLong 1988).

    With the midrank formulation of Sun and Xu (IEEE SPL 2014). Raises DataError when a class has
    fewer than two cases.
    """
    positive, negative = np.asarray(labels) == 1, np.asarray(labels) == 0
    m, n = int(positive.sum()), int(negative.sum())
    if m < 2 or n < 2:
        raise DataError(f"DeLong needs two cases of each class, got {m} positive, {n} negative.")
    by_positive, by_negative, areas = [], [], []
    for scores in (np.asarray(first), np.asarray(second)):
        joint = stats.rankdata(np.concatenate([scores[positive], scores[negative]]))
        own_positive = stats.rankdata(scores[positive])
        own_negative = stats.rankdata(scores[negative])
        by_positive.append((joint[:m] - own_positive) / n)
        by_negative.append(1 - (joint[m:] - own_negative) / m)
        areas.append((joint[:m].sum() - m * (m + 1) / 2) / (m * n))
    covariance = np.cov(by_positive) / m + np.cov(by_negative) / n
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    difference = float(areas[1] - areas[0])
    if variance <= 0:
        return difference, 1.0 if difference == 0 else 0.0
    return difference, float(2 * stats.norm.sf(abs(difference) / np.sqrt(variance)))


def mcnemar_test(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Two-sided exact p of McNemar's test on paired correct/incorrect decisions."""
    table = [
        [int(np.sum(first & second)), int(np.sum(first & ~second))],
        [int(np.sum(~first & second)), int(np.sum(~first & ~second))],
    ]
    return float(mcnemar(table, exact=True).pvalue)


def holm(p_values: list[float]) -> list[float]:
    """Holm-corrected p values in the order given."""
    return list(map(float, multipletests(p_values, method="holm")[1])) if p_values else []
