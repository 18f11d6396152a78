"""ROC curves against scikit-learn, and over folds whose scores have scales of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.roc import roc_band
from heclstm_lib.evaluation.statistics import fold_auc


def make_rows(count: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    labels = np.tile([0, 0, 1], count // 3)
    scores = np.round(labels + rng.normal(0, 1, count), 1)
    patients = [f"p{i // 3}" for i in range(count)]
    return pd.DataFrame(
        {"patient_id": patients, "label": labels, "score": scores, "threshold": 0.3}
    )


def test_roc_band_is_the_curve_of_sklearn() -> None:
    rows = make_rows()
    band = roc_band(rows, 20, points=61)  # the false positive rates possible with 60 negatives
    fpr, tpr, _ = roc_curve(rows.label, rows.score, drop_intermediate=False)
    known = np.array([np.abs(fpr - x).min() < 1e-9 for x in band.fpr])
    best = np.array([tpr[fpr <= x + 1e-9].max() for x in band.fpr])  # upper ends of steps
    np.testing.assert_allclose(band.tpr, np.where(known, best, np.interp(band.fpr, fpr, tpr)))
    at_vertices = band.tpr.to_numpy()[np.round(fpr * 60).astype(int)]
    assert (at_vertices >= tpr - 1e-12).all()
    once = np.flatnonzero(np.diff(np.append(fpr, 2)) > 0)  # the upper end of each vertical step
    np.testing.assert_allclose(np.interp(fpr[once], band.fpr, band.tpr), tpr[once])


def test_roc_band_is_monotone_and_holds_the_curve() -> None:
    band = roc_band(make_rows(), 300)
    assert len(band) == 101 and band.fpr.iloc[[0, -1]].tolist() == [0, 1]
    for column in ("tpr", "low", "high"):
        assert (band[column].diff().iloc[1:] >= -1e-12).all()
        assert band[column].between(0, 1).all()
        assert band[column].iloc[-1] == 1
    assert ((band.low <= band.tpr) & (band.tpr <= band.high)).all()
    assert (band.high - band.low).max() > 0.1


def test_roc_band_leaves_out_resamples_without_a_class() -> None:
    rows = make_rows(9).assign(patient_id=[f"p{i}" for i in range(9)])
    rows = rows.iloc[[0, 1, 2]]  # one positive: many resamples lack it
    assert np.isfinite(roc_band(rows, 100).to_numpy()).all()


def test_roc_band_of_one_class_is_refused() -> None:
    rows = make_rows()
    with pytest.raises(DataError, match="both classes"):
        roc_band(rows[rows.label == 1], 10)


def test_scores_of_different_folds_are_never_ranked_together() -> None:
    """A fold on another scale, and with another threshold, leaves the curve where it was."""
    rows = make_rows().assign(fold=0)
    other = rows.assign(score=100 * rows.score - 40, threshold=90.0, fold=1)
    other["patient_id"] = "q" + other.patient_id
    both = roc_band(pd.concat([rows, other], ignore_index=True), 20)
    np.testing.assert_allclose(both.tpr, roc_band(rows, 20).tpr)


def test_the_area_under_the_curve_is_the_auc_over_pairs_within_folds() -> None:
    rows = make_rows()
    rows["fold"] = np.arange(len(rows)) % 7 // 3  # of different sizes and shares of ill
    band = roc_band(rows, 2, points=20001)
    area = fold_auc(rows.score.to_numpy(), rows.label.to_numpy(), rows.fold.to_numpy())
    assert band.tpr.mean() == pytest.approx(area, abs=1e-3)
    assert band.tpr.iloc[-1] == 1
