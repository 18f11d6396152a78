"""Metrics of sequence decisions, each with a 95 % interval, n of patients and of sequences.

Rows have columns patient_id, label, score and threshold (logits) and, with several folds, fold. A
method whose scores are no logits has its probabilities in a column of their own, probability.
Decisions are pooled over folds by score >= threshold of the fold; the AUC compares only pairs
within a fold, since every fold has a model of its own. Intervals cover the choice of test patients,
not that of the seed or of the training patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from heclstm_lib.evaluation.statistics import (
    draws_interval,
    fast_auc,
    fold_auc,
    fold_auc_draws,
    patient_resamples,
    resample_counts,
    wilson_interval,
)


@dataclass(frozen=True)
class Decisions:
    """Scores [n] relative to the threshold (positive: >= 0), logits, labels, folds, probabilities.

    Of each [n] values.
    """

    relative: NDArray[np.float64]
    logit: NDArray[np.float64]
    label: NDArray[np.int64]
    fold: NDArray[np.int64]
    probability: NDArray[np.float64]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Decisions:
        """From a table with columns score, threshold, label and perhaps fold and probability.

        Without a probability (no column, or NaN) it is the sigmoid of the score.
        """
        score = rows.score.to_numpy(dtype=np.float64)
        relative = score - rows.threshold.to_numpy(dtype=np.float64)
        fold = rows.fold.to_numpy() if "fold" in rows else np.zeros(len(rows), dtype=np.int64)
        probability = expit(score)
        if "probability" in rows:
            given = rows.probability.to_numpy(dtype=np.float64)
            probability = np.where(np.isnan(given), probability, given)
        return cls(relative, score, rows.label.to_numpy(), fold, probability)

    def take(self, index: NDArray[np.int64]) -> Decisions:
        """The decisions of some rows."""
        return Decisions(
            self.relative[index],
            self.logit[index],
            self.label[index],
            self.fold[index],
            self.probability[index],
        )

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """True positives, false positives, false negatives, true negatives."""
        called, ill = self.relative >= 0, self.label == 1
        tp, positives, called_count = (int(np.sum(x)) for x in (called & ill, ill, called))
        fp = called_count - tp
        return tp, fp, positives - tp, len(ill) - positives - fp


def auc(sample: Decisions) -> float:
    """Area under the ROC curve over pairs within a fold."""
    return fold_auc(sample.logit, sample.label, sample.fold)


def auc_pooled(sample: Decisions) -> float:
    """Area under the ROC curve over all pairs, scores relative to their fold's threshold.

    Descriptive only: folds have scores of different spread, which this ranks together. `auc` is
    what is compared and claimed.
    """
    return fast_auc(sample.relative, sample.label)


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("nan")


Counts = tuple[int, int, int, int]
PROPORTIONS: dict[str, Callable[[Counts], tuple[int, int]]] = {
    "accuracy": lambda c: (c[0] + c[3], sum(c)),
    "sensitivity": lambda c: (c[0], c[0] + c[2]),
    "missed_diagnosis_rate": lambda c: (c[2], c[0] + c[2]),
    "specificity": lambda c: (c[3], c[1] + c[3]),
}
"""Successes and trials of the metrics that are proportions, from (tp, fp, fn, tn)."""


def accuracy(sample: Decisions) -> float:
    """Share of right decisions."""
    return _ratio(*PROPORTIONS["accuracy"](sample.counts))


def sensitivity(sample: Decisions) -> float:
    """Share of positives that are called positive."""
    return _ratio(*PROPORTIONS["sensitivity"](sample.counts))


def missed_diagnosis_rate(sample: Decisions) -> float:
    """Share of positives that are missed, 1 - sensitivity."""
    return _ratio(*PROPORTIONS["missed_diagnosis_rate"](sample.counts))


def specificity(sample: Decisions) -> float:
    """Share of negatives that are called negative."""
    return _ratio(*PROPORTIONS["specificity"](sample.counts))


def f1(sample: Decisions) -> float:
    """Harmonic mean of precision and sensitivity, 2 tp / (2 tp + fp + fn)."""
    tp, fp, fn, _ = sample.counts
    return _ratio(2 * tp, 2 * tp + fp + fn)


def brier(sample: Decisions) -> float:
    """Mean squared error of the probabilities (Brier, Monthly Weather Review 1950)."""
    return float(np.mean((sample.probability - sample.label) ** 2))


METRICS: dict[str, Callable[[Decisions], float]] = {
    metric.__name__: metric
    for metric in (
        auc,
        auc_pooled,
        accuracy,
        sensitivity,
        missed_diagnosis_rate,
        specificity,
        f1,
        brier,
    )
}


def _no_proportion(_counts: Counts) -> tuple[int, int]:
    return 0, 0


def metric_draws(
    metric: Callable[[Decisions], float],
    sample: Decisions,
    patients: NDArray[np.object_],
    repeats: int,
) -> NDArray[np.float64]:
    """The metric on `repeats` bootstrap samples of whole patients [R]; NaN where undefined.

    AUC, proportions and metrics with a method `draws` (sample, counts [R, n]) are taken of all
    resamples at once, any other metric one by one.
    """
    index = patient_resamples(patients, repeats)
    name, draws = getattr(metric, "__name__", ""), getattr(metric, "draws", None)
    if metric is not auc and draws is None and name not in PROPORTIONS:
        return np.array([metric(sample.take(rows)) for rows in index])
    counts = resample_counts(index, len(sample.label))
    if draws is not None:
        return np.asarray(draws(sample, counts))
    if metric is auc:
        return fold_auc_draws(sample.logit, sample.label, sample.fold, counts)
    called, ill = sample.relative >= 0, sample.label == 1
    cells = np.stack([called & ill, called & ~ill, ~called & ill, ~called & ~ill], axis=1)
    shares = map(PROPORTIONS[name], (counts @ cells).tolist())  # of tp, fp, fn, tn
    return np.array([_ratio(*share) for share in shares])


def metric_row(
    metric: Callable[[Decisions], float], rows: pd.DataFrame, bootstrap: int
) -> dict[str, float]:
    """One metric of a table of decisions: estimate, interval, n of patients and sequences.

    The interval is the percentile bootstrap over patients; for a proportion it is widened to the
    Wilson interval, since a bootstrap of 0 out of n has no width at all.
    """
    sample = Decisions.of(rows)
    patients = rows.patient_id.to_numpy()
    low, high, valid = draws_interval(metric_draws(metric, sample, patients, bootstrap))
    successes, count = PROPORTIONS.get(metric.__name__, _no_proportion)(sample.counts)
    sequences = rows.sequence_id.nunique() if "sequence_id" in rows else len(rows)
    if count:
        once = sequences / len(rows)  # in repeated cross-validation a sequence stands several times
        wilson = wilson_interval(successes * once, count * once)
        low, high = float(np.fmin(low, wilson[0])), float(np.fmax(high, wilson[1]))
    return {
        "estimate": metric(sample),
        "ci_low": low,
        "ci_high": high,
        "n_patients": rows.patient_id.nunique(),
        "n_sequences": sequences,
        "resamples": valid,
    }


def metric_table(rows: pd.DataFrame, bootstrap: int) -> pd.DataFrame:
    """Every metric with its 95 % interval (see `metric_row`).

    Columns metric, estimate, ci_low, ci_high, n_patients, n_sequences, resamples (those in which
    the metric was defined).
    """
    return pd.DataFrame(
        [{"metric": name} | metric_row(metric, rows, bootstrap) for name, metric in METRICS.items()]
    )


def metrics_by(rows: pd.DataFrame, column: str, bootstrap: int) -> pd.DataFrame:
    """`metric_table` of every group of a column, one below the other, the group first."""
    tables = {
        name: metric_table(part, bootstrap) for name, part in rows.groupby(column, sort=False)
    }
    return pd.concat(tables, names=[column]).reset_index(level=0).reset_index(drop=True)
