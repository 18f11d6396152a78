"""Metrics of sequence decisions, each with a 95 % interval, n of patients and of sequences.

Rows have columns patient_id, label, score and threshold (logits); folds are pooled as
score - threshold, since every fold has a model and a threshold of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from heclstm_lib.evaluation.statistics import bootstrap_interval, fast_auc


def relative_scores(rows: pd.DataFrame) -> np.ndarray:
    """Scores relative to the threshold [n]: positive decisions are >= 0."""
    return (rows.score - rows.threshold).to_numpy(dtype=np.float64)


def auc(rows: pd.DataFrame) -> float:
    """Area under the ROC curve of the pooled relative scores."""
    return fast_auc(relative_scores(rows), rows.label.to_numpy())


def _rates(rows: pd.DataFrame) -> tuple[float, float, float, float]:
    called = relative_scores(rows) >= 0
    label = rows.label.to_numpy() == 1
    return (
        float(np.sum(called & label)),
        float(np.sum(called & ~label)),
        float(np.sum(~called & label)),
        float(np.sum(~called & ~label)),
    )


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("nan")


def accuracy(rows: pd.DataFrame) -> float:
    """Share of right decisions."""
    tp, _, _, tn = _rates(rows)
    return _ratio(tp + tn, len(rows))


def sensitivity(rows: pd.DataFrame) -> float:
    """Share of positives that are called positive."""
    tp, _, fn, _ = _rates(rows)
    return _ratio(tp, tp + fn)


def missed_diagnosis_rate(rows: pd.DataFrame) -> float:
    """Share of positives that are missed, 1 - sensitivity."""
    tp, _, fn, _ = _rates(rows)
    return _ratio(fn, tp + fn)


def specificity(rows: pd.DataFrame) -> float:
    """Share of negatives that are called negative."""
    _, fp, _, tn = _rates(rows)
    return _ratio(tn, tn + fp)


def f1(rows: pd.DataFrame) -> float:
    """Harmonic mean of precision and sensitivity, 2 tp / (2 tp + fp + fn)."""
    tp, fp, fn, _ = _rates(rows)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def brier(rows: pd.DataFrame) -> float:
    """Mean squared error of sigmoid(score) (Brier, Monthly Weather Review 1950)."""
    probability = 1 / (1 + np.exp(-np.clip(rows.score.to_numpy(dtype=np.float64), -500, 500)))
    return float(np.mean((probability - rows.label.to_numpy()) ** 2))


METRICS: dict[str, Callable[[pd.DataFrame], float]] = {
    "auc": auc,
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "missed_diagnosis_rate": missed_diagnosis_rate,
    "specificity": specificity,
    "f1": f1,
    "brier": brier,
}


def metric_table(rows: pd.DataFrame, bootstrap: int) -> pd.DataFrame:
    """Every metric with its percentile bootstrap interval over patients.

    Columns metric, estimate, ci_low, ci_high, n_patients, n_sequences, resamples (those in which
    the metric was defined).
    """
    table = []
    for name, metric in METRICS.items():
        low, high, valid = bootstrap_interval(rows, metric, bootstrap)
        table.append(
            {
                "metric": name,
                "estimate": metric(rows),
                "ci_low": low,
                "ci_high": high,
                "n_patients": rows.patient_id.nunique(),
                "n_sequences": len(rows),
                "resamples": valid,
            }
        )
    return pd.DataFrame(table)
