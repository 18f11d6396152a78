"""Calibration against scikit-learn and against populations whose calibration is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration, calibration_curve
from sklearn.metrics import brier_score_loss

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.calibration import (
    calibration_table,
    choose_bins,
    expected_error,
    fit_platt,
    platt_scaling,
    reliability,
)


def make_population(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels drawn from sigmoid(logit)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-0.5, 1.2, count)
    return logits, (rng.random(count) < expit(logits)).astype(np.int64)


def test_platt_is_that_of_sklearn() -> None:
    logits, labels = make_population(200)
    intercept, slope = fit_platt(logits, labels)
    theirs = _SigmoidCalibration().fit(logits, labels)  # P = 1 / (1 + exp(a x + b))
    assert (slope, intercept) == pytest.approx((-theirs.a_, -theirs.b_), abs=1e-3)


def test_platt_bears_separated_and_inverted_validation_patients() -> None:
    logits, labels = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0, 0, 1, 1])
    intercept, slope = fit_platt(logits, labels)
    assert np.isfinite([intercept, slope]).all() and slope > 0
    assert fit_platt(-logits, labels) == pytest.approx((0.0, 0.0))


def test_platt_bears_any_scale_and_scores_that_are_all_alike() -> None:
    logits, labels = make_population(200)
    intercept, slope = fit_platt(logits, labels)
    far = fit_platt(1e4 * logits + 1e6, labels)
    assert far[1] * 1e4 == pytest.approx(slope)
    assert far[0] + far[1] * 1e6 == pytest.approx(intercept)
    level, flat = fit_platt(np.full(200, 3.0), labels)
    assert expit(level + flat * 3.0) == pytest.approx(labels.mean(), abs=0.01)


def test_scaling_is_fitted_on_the_own_folds_validation_patients() -> None:
    logits, labels = make_population()
    rows = pd.DataFrame({"score": logits, "label": labels, "fold": np.arange(4000) % 2})
    validation = rows.assign(score=rows.score + 3 * rows.fold)  # fold 1 has other logits
    test = validation.copy()
    p = platt_scaling(validation, test)
    np.testing.assert_allclose(p, expit(logits), atol=0.06)
    assert p.mean() == pytest.approx(labels.mean(), abs=0.01)
    for fold in (0, 1):
        own = (test.fold == fold).to_numpy()
        assert (np.argsort(p[own]) == np.argsort(test.score[own].to_numpy())).all()
    with pytest.raises(DataError, match="no validation rows for fold 1"):
        platt_scaling(validation[validation.fold == 0], test)


def test_reliability_is_the_curve_of_sklearn() -> None:
    logits, labels = make_population(300)
    p = expit(logits)
    table = reliability(p, labels, 6)
    observed, predicted = calibration_curve(labels, p, n_bins=6, strategy="quantile")
    np.testing.assert_allclose(table.estimate, observed)
    np.testing.assert_allclose(table.probability, predicted)
    assert table.n_decisions.sum() == 300 and table.n_decisions.min() >= 49
    assert table.n_sequences.equals(table.n_decisions)
    assert ((table.ci_low <= table.estimate) & (table.estimate <= table.ci_high)).all()
    assert len(reliability(np.full(9, 0.3), np.tile([0, 1, 0], 3), 4)) == 1


def test_expected_error_by_hand() -> None:
    p = np.array([0.1, 0.1, 0.8, 0.8])
    assert expected_error(p, np.array([0, 1, 1, 1]), 2) == pytest.approx((0.4 + 0.2) / 2)


def test_table_holds_the_brier_score_of_sklearn_and_its_skill() -> None:
    logits, labels = make_population(120)
    p = expit(logits)
    patients = np.repeat([f"p{i}" for i in range(60)], 2)
    table = calibration_table(p, labels, patients, 100, 5).set_index("metric")
    brier = brier_score_loss(labels, p)
    assert table.estimate["brier"] == pytest.approx(brier)
    share = labels.mean()
    assert table.estimate["brier_skill"] == pytest.approx(1 - brier / (share * (1 - share)))
    assert table.ci_low["brier"] < brier < table.ci_high["brier"]
    assert table.n_patients.unique().tolist() == [60]
    constant = calibration_table(np.full(120, share), labels, patients, 10, 5).set_index("metric")
    assert constant.estimate["brier_skill"] == pytest.approx(0, abs=1e-12)


def test_repeats_of_a_sequence_narrow_no_interval() -> None:
    """The same decisions five times: same intervals, both numbers told."""
    logits, labels = make_population(200)
    p, names = expit(logits), np.array([f"s{i}" for i in range(200)])
    once = reliability(p, labels, 4, names)
    many = reliability(np.tile(p, 5), np.tile(labels, 5), 4, np.tile(names, 5))
    np.testing.assert_allclose(many.n_sequences, once.n_sequences, atol=1)  # bins' edges move
    np.testing.assert_allclose(many.ci_high - many.ci_low, once.ci_high - once.ci_low, rtol=0.03)
    assert (many.n_decisions > 4 * many.n_sequences).all()
    table = calibration_table(p, labels, names, 50, 4, names).set_index("metric")
    again = calibration_table(
        np.tile(p, 5), np.tile(labels, 5), np.tile(names, 5), 50, 4, np.tile(names, 5)
    ).set_index("metric")
    assert again.n_sequences.unique().tolist() == [200]
    assert again.n_decisions.unique().tolist() == [1000]
    columns = ["estimate", "ci_low", "ci_high"]
    rows = ["brier", "intercept", "slope"]
    np.testing.assert_allclose(again.loc[rows, columns], table.loc[rows, columns], rtol=1e-6)


def test_bins_follow_the_number_of_sequences() -> None:
    assert [choose_bins(n) for n in (12, 49, 298)] == [2, 4, 10]
