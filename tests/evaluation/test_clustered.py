"""Obuchowski's variance: DeLong's where patients are single, honest where they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from heclstm_lib.evaluation.clustered import clustered_covariance, delong_by_fold
from heclstm_lib.evaluation.metrics import Decisions, auc
from heclstm_lib.evaluation.statistics import delong_test, fast_auc, fold_auc, patient_resamples


def make_pair(count: int = 60, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3 // 2
    shared = rng.normal(0, 1, count)
    base = pd.DataFrame(
        {
            "sequence_id": [f"s{i:03}" for i in range(count)],
            "patient_id": [f"p{i:03}" for i in range(count)],
            "label": labels,
            "threshold": 0.0,
        }
    )
    scores = [np.round(k * labels + shared + rng.normal(0, 0.6, count), 1) for k in (1.2, 0.5)]
    return base.assign(score=scores[0]), base.assign(score=scores[1])


def named(part: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The rows as those of other patients, in a fold of their own."""
    return part.assign(fold=fold, **{k: f"{fold}" + part[k] for k in ("sequence_id", "patient_id")})


def test_single_patients_give_delongs_test() -> None:
    first, second = make_pair()
    expected = delong_test(first.score.to_numpy(), second.score.to_numpy(), first.label.to_numpy())
    assert delong_by_fold(first, second) == pytest.approx(expected)


def test_a_sequence_taken_twice_is_no_news() -> None:
    first, second = make_pair()
    scores = np.stack([first.score, second.score])
    labels, patients = first.label.to_numpy(), first.patient_id.to_numpy()
    once = clustered_covariance(scores, labels, patients)
    twice = clustered_covariance(np.tile(scores, 2), np.tile(labels, 2), np.tile(patients, 2))
    np.testing.assert_allclose(once[0], twice[0])
    np.testing.assert_allclose(once[1], twice[1])


def test_patients_with_both_classes_agree_with_the_bootstrap() -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat([f"p{i}" for i in range(60)], 3)
    labels = rng.integers(0, 2, 180)
    own = np.repeat(rng.normal(0, 1.5, 60), 3)
    scores = labels + own + rng.normal(0, 0.5, 180)
    _, covariance = clustered_covariance(scores[None], labels, patients)
    draws = [fast_auc(scores[i], labels[i]) for i in patient_resamples(patients, 800)]
    assert np.sqrt(covariance[0, 0]) == pytest.approx(np.std(draws), rel=0.15)
    alone = np.arange(180).astype(str)
    _, naive = clustered_covariance(scores[None], labels, alone)
    assert abs(naive[0, 0] / covariance[0, 0] - 1) > 0.1


def test_folds_are_weighted_by_pairs_and_their_variances_add() -> None:
    parts = [make_pair(60, 1), make_pair(30, 2)]
    first, second = (
        pd.concat([named(pair[k], f) for f, pair in enumerate(parts)], ignore_index=True)
        for k in (0, 1)
    )
    difference, p = delong_by_fold(first, second)
    assert difference == pytest.approx(auc(Decisions.of(second)) - auc(Decisions.of(first)))
    weights, moments = [], []
    for pair in parts:
        labels = pair[0].label.to_numpy()
        _, covariance = clustered_covariance(
            np.stack([pair[0].score, pair[1].score]), labels, pair[0].patient_id.to_numpy()
        )
        weights.append(labels.sum() * (1 - labels).sum())
        moments.append(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = np.sqrt(np.dot(np.square(weights), moments)) / sum(weights)
    assert p == pytest.approx(2 * stats.norm.sf(abs(difference) / error))


def test_a_fold_taken_twice_is_no_news() -> None:
    first, second = make_pair(30)
    again = [pd.concat([part.assign(fold=f) for f in (0, 1)]) for part in (first, second)]
    assert delong_by_fold(*again) == pytest.approx(delong_by_fold(first, second))


def test_seeds_of_one_split_agree_with_the_bootstrap_over_patients() -> None:
    """Five networks on the same patients: the error is that of their mean area, not of 5 n."""
    rng = np.random.default_rng(4)
    labels, own = np.arange(120) % 2, rng.normal(0, 1, 120)
    scores = np.concatenate([labels + own + rng.normal(0, 0.7, 120) for _ in range(5)])
    folds, all_labels = np.repeat(np.arange(5), 120), np.tile(labels, 5)
    patients = np.tile([f"p{i}" for i in range(120)], 5)
    areas, covariance = clustered_covariance(scores[None], all_labels, patients, folds)
    assert areas[0] == pytest.approx(fold_auc(scores, all_labels, folds))
    draws = [fold_auc(scores[i], all_labels[i], folds[i]) for i in patient_resamples(patients, 800)]
    assert np.sqrt(covariance[0, 0]) == pytest.approx(np.std(draws), rel=0.1)


def test_repeated_cross_validation_agrees_with_the_bootstrap_over_patients() -> None:
    """Two repeats of five folds, each fold on a scale of its own, patients with two sequences."""
    rng = np.random.default_rng(5)
    count = 200
    names = np.repeat(np.arange(count // 2), 2)
    labels = names % 2
    folds = np.concatenate([names // 2 % 5, 5 + names // 4 % 5])
    signal = labels + np.repeat(rng.normal(0, 1, count // 2), 2)
    score = [np.tile(signal, 2) * 3.0**folds + rng.normal(0, 0.8, 2 * count) * 3.0**folds
             for _ in range(2)]  # fmt: skip
    twice, patients = np.tile(labels, 2), np.tile(names.astype(str), 2)
    _, covariance = clustered_covariance(np.stack(score), twice, patients, folds)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    draws = [
        fold_auc(score[1][i], twice[i], folds[i]) - fold_auc(score[0][i], twice[i], folds[i])
        for i in patient_resamples(patients, 600)
    ]
    assert np.sqrt(variance) == pytest.approx(np.std(draws), rel=0.15)


def test_lone_patients_have_no_p() -> None:
    first, second = make_pair(30)
    lone = (first.label == 0) | (first.index == 2)
    assert np.isnan(delong_by_fold(first[lone], second[lone])[1])
    one = first[first.label == 0]
    assert np.isnan(delong_by_fold(one, one)).all()


def test_equal_scores_have_p_one() -> None:
    first, _ = make_pair()
    assert delong_by_fold(first, first) == (0.0, 1.0)
