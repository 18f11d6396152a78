"""Calibration intercept and slope against scikit-learn, statsmodels and known populations."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from heclstm_lib.evaluation.cox import cox_calibration, logistic_fits
from heclstm_lib.evaluation.statistics import patient_resamples, resample_counts


def make_population(count: int = 1000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels drawn from sigmoid(logit), and a patient for each."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-0.5, 1.2, count)
    labels = (rng.random(count) < expit(logits)).astype(np.int64)
    return logits, labels, np.array([f"p{i}" for i in range(count)])


def test_slope_is_the_logistic_regression_of_sklearn() -> None:
    logits, labels, patients = make_population(400)
    found = cox_calibration(expit(logits), labels, patients, 10)
    theirs = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(logits[:, None], labels)
    assert found["slope"][0] == pytest.approx(theirs.coef_[0, 0], rel=1e-3)


def test_every_resample_is_fitted_as_statsmodels_fits_it() -> None:
    logits, labels, patients = make_population(60)
    index = patient_resamples(patients, 20)
    design = sm.add_constant(logits)
    ours = logistic_fits(design, labels, resample_counts(index, 60))
    for found, rows in zip(ours, index, strict=True):
        theirs = sm.GLM(labels[rows], design[rows], sm.families.Binomial()).fit()
        np.testing.assert_allclose(found, theirs.params, rtol=1e-5)
    level = logistic_fits(np.ones((60, 1)), labels, np.ones((1, 60)), offset=logits)
    family = sm.families.Binomial()
    offset = sm.GLM(labels, np.ones((60, 1)), family, offset=logits).fit()
    assert level[0, 0] == pytest.approx(offset.params[0])


def test_intercept_and_slope_find_what_was_done_to_the_logits() -> None:
    logits, labels, patients = make_population(2000)
    right = cox_calibration(expit(logits), labels, patients, 200)
    assert right["intercept"][1] < 0 < right["intercept"][2]
    assert right["slope"][1] < 1 < right["slope"][2]
    moved = cox_calibration(expit(2 * logits + 1), labels, patients, 200)
    assert moved["slope"][0] == pytest.approx(right["slope"][0] / 2, rel=1e-3)
    assert moved["intercept"][2] < 0  # probabilities too high on average


def test_intervals_are_over_patients() -> None:
    """Rows of one patient that all say the same are one: the model's error would be of five."""
    logits, labels, patients = make_population(150)
    single = cox_calibration(expit(logits), labels, patients, 400)
    many = cox_calibration(
        expit(np.repeat(logits, 5)), np.repeat(labels, 5), np.repeat(patients, 5), 400
    )
    for name, found in single.items():
        assert many[name] == pytest.approx(found, abs=1e-6)
        low, high = found[1:]
        model = sm.GLM(labels, sm.add_constant(logits), sm.families.Binomial()).fit()
        if name == "slope":
            ends = model.conf_int()[1]
            assert high - low == pytest.approx(ends[1] - ends[0], rel=0.25)


def test_undetermined_calibration_is_nan() -> None:
    p, names = np.array([0.1, 0.2, 0.8, 0.9]), np.array(list("abcd"))
    constant, labels = np.full(4, 0.5), np.array([0, 1, 0, 1])
    assert np.isnan(cox_calibration(p, np.array([0, 0, 1, 1]), names, 20)["slope"]).all()
    assert np.isnan(cox_calibration(constant, labels, names, 20)["slope"]).all()
    ones = np.ones(4, dtype=np.int64)
    assert np.isnan(cox_calibration(p, ones, names, 20)["intercept"]).all()
