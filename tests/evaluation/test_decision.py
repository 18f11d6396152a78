"""Missed diagnoses against referrals, and net benefit, against independent computations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored import make_rows
from sklearn.metrics import confusion_matrix, roc_curve

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.decision import (
    MissedAtReferral,
    benefit_curve,
    equal_referral,
    missed_at,
    net_benefit,
    operating_point,
    referral_curve,
    referrals_for,
)
from heclstm_lib.evaluation.metrics import Decisions, metric_draws
from heclstm_lib.evaluation.statistics import patient_resamples


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30).filter(
        lambda pairs: 0 < sum(y for _, y in pairs) < len(pairs)
    )
)
def test_every_threshold_of_the_roc_curve_lies_on_it(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([float(s) for s, _ in pairs]), np.array([int(y) for _, y in pairs])
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    referred = np.array([np.mean(scores >= t) for t in thresholds])
    sample = Decisions.of(make_rows(scores.tolist(), labels.tolist()))
    np.testing.assert_allclose(missed_at(sample, referred), 1 - tpr, atol=1e-12)
    assert len(fpr) == len(referred)


def test_ties_are_drawn_by_lot() -> None:
    sample = Decisions.of(make_rows([1.0] * 4, [1, 0, 1, 0]))
    assert missed_at(sample, np.array([0, 0.25, 0.5, 1])).tolist() == [1, 0.75, 0.5, 0]
    assert np.isnan(missed_at(Decisions.of(make_rows([1.0, 2.0], [0, 0])), np.array([0.5]))).all()


def test_curve_falls_from_one_to_zero_and_holds_its_band() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 40)
    rows = make_rows((labels + rng.normal(0, 1, 80)).tolist(), labels.tolist(), 0.5)
    curve = referral_curve(rows, 100)
    assert curve.missed.iloc[[0, -1]].tolist() == [1, 0]
    assert (curve.missed.diff().iloc[1:] <= 1e-12).all()
    assert ((curve.low <= curve.missed + 1e-12) & (curve.missed <= curve.high + 1e-12)).all()
    point = operating_point(rows)
    at = float(missed_at(Decisions.of(rows), np.array([point["referral"]]))[0])
    assert at == pytest.approx(point["missed"])
    with pytest.raises(DataError, match="none of 2 sequences is ill"):
        referral_curve(make_rows([0.0, 1.0], [0, 0]), 10)


def test_fewest_referrals_for_a_target() -> None:
    rows = make_rows([5.0, 4.0, 3.0, 2.0], [1, 0, 1, 0])
    assert referrals_for(rows, 0.5) == 0.25
    assert referrals_for(rows, 0.49) == pytest.approx(0.5 + 0.25 * 0.02)  # the third by lot
    assert referrals_for(rows, 0.0) == 0.75
    assert referrals_for(rows, 1.0) == 0.0


def make_folds() -> pd.DataFrame:
    """Two folds with the same order of patients, one on a scale of a hundredth and shifted."""
    rng = np.random.default_rng(7)
    labels = np.tile([0, 1, 0, 0], 10)
    rows = make_rows((labels + rng.normal(0, 1, 40)).tolist(), labels.tolist())
    other = rows.assign(score=rows.score / 100 + 5, threshold=4.9, fold=1)
    other["patient_id"] = "q" + other.patient_id
    return pd.concat([rows.assign(fold=0), other], ignore_index=True)


def test_patients_are_ranked_within_their_fold() -> None:
    """The scale of a fold's scores, and where its threshold lies, change no curve."""
    rows, grid = make_folds(), np.linspace(0, 1, 41)
    alone = rows[rows.fold == 0]
    both, single = (missed_at(Decisions.of(each), grid) for each in (rows, alone))
    np.testing.assert_allclose(both, single)
    assert referrals_for(rows, 0.2) == pytest.approx(referrals_for(alone, 0.2))
    np.testing.assert_allclose(referral_curve(rows, 5, 41).missed, single)
    metric = MissedAtReferral(0.3)
    assert metric(Decisions.of(rows)) == pytest.approx(metric(Decisions.of(alone)))


def test_the_share_is_taken_of_every_fold_and_pooled() -> None:
    """Three of four ill caught in one fold, none of one in the other: two of five are missed."""
    first = make_rows([9.0, 8.0, 7.0, 1.0, 0.0, 0.0], [1, 1, 1, 1, 0, 0]).assign(fold=0)
    second = make_rows([9.0, 8.0, 7.0, 6.0], [0, 0, 1, 0]).assign(fold=1)
    sample = Decisions.of(pd.concat([first, second], ignore_index=True))
    assert missed_at(sample, np.array([0.5]))[0] == pytest.approx(2 / 5)
    # a tenth of six and of four: 0.6 ill in the first fold, none in the second
    assert missed_at(sample, np.array([0.1]))[0] == pytest.approx(1 - 0.6 / 5)


def test_equal_referral_takes_away_what_a_lower_threshold_bought() -> None:
    """The same order at a threshold that refers everybody: no better at equal referral."""
    rows = make_rows([5.0, 4.0, 3.0, 2.0], [1, 0, 1, 0], threshold=3.5)
    eager = rows.assign(threshold=-9.0)
    assert operating_point(eager)["missed"] == 0
    metric = equal_referral(Decisions.of(rows))
    assert metric(Decisions.of(rows)) == metric(Decisions.of(eager)) == 0.5


@pytest.mark.parametrize("folds", [1, 4])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.37, 1.0])
def test_draws_at_equal_referral_are_those_of_every_resample(rate: float, folds: int) -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random(30) < 0.2).astype(int)
    rows = make_rows(np.round(labels + rng.normal(0, 1, 30), 0).tolist(), labels.tolist())
    rows = rows.assign(patient_id=np.repeat([f"p{i}" for i in range(10)], 3))
    rows = rows.assign(fold=np.arange(30) // 3 % folds)  # a resample may lack a fold
    sample, patients = Decisions.of(rows), rows.patient_id.to_numpy()
    metric = MissedAtReferral(rate)
    one_by_one = [metric(sample.take(i)) for i in patient_resamples(patients, 60)]
    np.testing.assert_allclose(metric_draws(metric, sample, patients, 60), one_by_one, atol=1e-12)


@pytest.mark.parametrize(
    ("share", "threshold", "expected"), [(0.9, 0.5, 0.40), (0.99, 0.5, 0.49), (0.9, 0.2, 0.4375)]
)
def test_net_benefit_of_a_test_of_known_accuracy(
    share: float, threshold: float, expected: float
) -> None:
    """The two tests of Rousson and Zumbrunn (2011), figure 5: sensitivity = specificity = 90 or
    99 %, prevalence 0.5. Benefit = (share - (1 - share) p / (1 - p)) / 2."""
    labels = np.repeat([1, 0], 100)
    right = round(100 * share)
    called = np.concatenate([np.arange(100) < right, np.arange(100) >= right]).astype(float)
    assert net_benefit(called, labels, threshold) == pytest.approx(expected)


def test_net_benefit_against_the_confusion_matrix_and_both_extremes() -> None:
    rng = np.random.default_rng(1)
    labels, probability = rng.integers(0, 2, 50), rng.random(50)
    tn, fp, fn, tp = confusion_matrix(labels, probability >= 0.3).ravel()
    assert net_benefit(probability, labels, 0.3) == pytest.approx((tp - fp * 3 / 7) / 50)
    assert tn + fn + fp + tp == 50
    curve = benefit_curve({"m": probability}, labels, np.array([0.1, 0.3]))
    wide = curve.pivot(index="threshold", columns="strategy", values="net_benefit")
    assert wide["refer none"].tolist() == [0, 0]
    share = labels.mean()
    assert wide.loc[0.1, "refer all"] == pytest.approx(share - (1 - share) / 9)
