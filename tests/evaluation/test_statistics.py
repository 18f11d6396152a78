"""Intervals and tests against published values and independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.statistics import (
    bootstrap_interval,
    delong_test,
    fast_auc,
    holm,
    mcnemar_test,
    patient_resamples,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, count: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 1998, table I, method 3."""
    assert wilson_interval(successes, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("count", [1, 98, 298])
def test_wilson_of_none_and_of_all_ends_there(count: int) -> None:
    assert wilson_interval(0, count)[0] == 0
    assert wilson_interval(count, count)[1] == 1


def test_wilson_is_symmetric_and_obeys_its_level() -> None:
    low, high = wilson_interval(3, 10)
    assert wilson_interval(7, 10) == pytest.approx((1 - high, 1 - low))
    wide = wilson_interval(3, 10, level=0.99)
    assert wide[0] < low and high < wide[1]


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=50).filter(
        lambda pairs: 0 < sum(y for _, y in pairs) < len(pairs)
    )
)
def test_auc_is_that_of_sklearn(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([float(s) for s, _ in pairs]), np.array([int(y) for _, y in pairs])
    assert fast_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_undefined(label: int) -> None:
    assert math.isnan(fast_auc(np.arange(3.0), np.full(3, label)))


def test_resamples_hold_whole_patients() -> None:
    patients = np.array(["b", "a", "b", "c", "a", "b"], dtype=object)
    rows = {name: np.flatnonzero(patients == name).tolist() for name in "abc"}
    drawn = []
    for index in patient_resamples(patients, 300):
        counts = np.bincount(index, minlength=len(patients))
        per_patient = {name: set(counts[rows[name]].tolist()) for name in "abc"}
        assert all(len(found) == 1 for found in per_patient.values())
        drawn.append([found.pop() for found in per_patient.values()])
    assert set(np.sum(drawn, axis=1)) == {3}  # as many patients as there are
    np.testing.assert_allclose(np.mean(drawn, axis=0), 1, atol=0.2)  # each as likely


def test_resamples_are_the_same_each_time() -> None:
    patients = np.array([f"p{i}" for i in range(9)], dtype=object)
    one, two, other = (np.array(patient_resamples(patients, 5, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_bootstrap_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(4).normal(2, 1, 200)
    low, high, valid = bootstrap_interval(
        np.arange(200).astype(object), lambda index: float(values[index].mean()), 2000
    )
    half = 1.96 * values.std() / np.sqrt(200)
    assert valid == 2000
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_interval_covers_the_truth() -> None:
    """Correlated sequences of 30 patients: about 95 % over patients, far less over sequences."""
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(30), 4).astype(object)
    alone = np.arange(120).astype(object)
    covered = np.zeros(2)
    for _ in range(120):
        values = np.repeat(rng.normal(0, 1, 30), 4) + rng.normal(0, 0.2, 120)
        for k, groups in enumerate((patients, alone)):
            low, high, _ = bootstrap_interval(groups, lambda i, v=values: float(v[i].mean()), 100)
            covered[k] += low < 0 < high
    assert 0.85 < covered[0] / 120 <= 1
    assert covered[1] / 120 < 0.8


def test_undefined_resamples_are_counted_out() -> None:
    patients = np.array(["a", "b"], dtype=object)
    low, high, valid = bootstrap_interval(
        patients, lambda index: float("nan") if 0 not in index else 1.0, 400
    )
    assert (low, high) == (1.0, 1.0) and 240 < valid < 360  # three quarters
    assert bootstrap_interval(patients, lambda _: float("nan"), 5)[2] == 0


def make_pair(count: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two correlated scores, with ties, and labels."""
    rng = np.random.default_rng(6)
    labels = (rng.random(count) < 0.4).astype(int)
    shared = rng.normal(0, 1, count)
    first = np.round(labels + shared + rng.normal(0, 0.7, count), 1)
    second = np.round(0.6 * labels + shared + rng.normal(0, 0.7, count), 1)
    return first, second, labels


def naive_delong(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Equations 3-7 of DeLong et al., Biometrics 1988, pair by pair."""
    kernels = []
    for scores in (first, second):
        x, y = scores[labels == 1], scores[labels == 0]
        kernels.append((x[:, None] > y).astype(float) + 0.5 * (x[:, None] == y))
    areas = [kernel.mean() for kernel in kernels]
    m, n = kernels[0].shape
    v10 = [kernel.mean(axis=1) - area for kernel, area in zip(kernels, areas, strict=True)]
    v01 = [kernel.mean(axis=0) - area for kernel, area in zip(kernels, areas, strict=True)]
    s10 = [[float(a @ b) / (m - 1) for b in v10] for a in v10]
    s01 = [[float(a @ b) / (n - 1) for b in v01] for a in v01]
    s = np.array(s10) / m + np.array(s01) / n
    contrast = np.array([-1.0, 1.0])
    difference = areas[1] - areas[0]
    chi = difference**2 / float(contrast @ s @ contrast)
    return difference, float(stats.chi2.sf(chi, 1))


def test_delong_is_its_definition() -> None:
    first, second, labels = make_pair()
    assert delong_test(first, second, labels) == pytest.approx(naive_delong(first, second, labels))
    difference, p = delong_test(first, second, labels)
    assert difference == pytest.approx(roc_auc_score(labels, second) - roc_auc_score(labels, first))
    assert delong_test(second, first, labels) == pytest.approx((-difference, p))


def test_delong_agrees_with_the_bootstrap() -> None:
    first, second, labels = make_pair(300)
    difference, p = delong_test(first, second, labels)
    error = abs(difference) / stats.norm.isf(p / 2)
    draws = [
        fast_auc(second[index], labels[index]) - fast_auc(first[index], labels[index])
        for index in patient_resamples(np.arange(300).astype(object), 600)
    ]
    assert error == pytest.approx(np.std(draws), rel=0.15)


def test_delong_of_equal_and_of_certain_scores() -> None:
    _, second, labels = make_pair()
    assert delong_test(second, second, labels) == (0.0, 1.0)
    worst, best = -labels.astype(float), labels.astype(float)
    assert delong_test(worst, best, labels) == (1.0, 0.0)


def test_delong_needs_two_of_each_class() -> None:
    with pytest.raises(DataError, match="1 positive, 3 negative"):
        delong_test(np.arange(4.0), np.arange(4.0), np.array([1, 0, 0, 0]))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(
    pairs: list[tuple[bool, bool]],
) -> None:
    first, second = np.array(pairs).T
    b, c = int(np.sum(first & ~second)), int(np.sum(~first & second))
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar_test(first, second) == pytest.approx(expected)
    assert mcnemar_test(second, first) == pytest.approx(expected)


def test_holm_as_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
