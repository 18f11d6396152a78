"""Decision analysis: missed diagnoses against referrals, and the net benefit of referring.

A patient is referred (to biopsy) when the sequence's score reaches a threshold. The referral rate
is the share referred, the missed-diagnosis rate the share of the ill who are not. A curve shows
every threshold; the operating point is the one chosen on validation patients. Each fold has a model
and a scale of scores of its own: patients are ranked within their fold, the same share of every
fold is referred, and the ill and the caught are then counted over all folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.metrics import Decisions, missed_diagnosis_rate
from heclstm_lib.evaluation.statistics import Array, patient_resamples


def missed_at(sample: Decisions, rates: Array) -> Array:
    """Missed-diagnosis rate when a share of each fold is referred, those with the highest scores.

    rates [k] in [0, 1]. The expected number of ill is counted, of equal scores (as if drawn by lot)
    and where the share is no whole number of patients: a fold may have ten of them. NaN without an
    ill patient.
    """
    ill = int(sample.label.sum())
    if not ill:
        return np.full(len(rates), np.nan)
    caught = np.zeros(len(rates))
    for fold in np.unique(sample.fold):
        own = sample.fold == fold
        # highest scores first
        values, place = np.unique(-sample.relative[own], return_inverse=True)
        sizes = np.bincount(place, minlength=len(values))
        found = np.bincount(place, weights=sample.label[own], minlength=len(values))
        referred = np.asarray(rates) * own.sum()
        cut = np.append(0, np.cumsum(sizes)), np.append(0, np.cumsum(found))
        caught += np.interp(referred, *cut)
    return np.asarray(1 - caught / ill)


def referral_rate(sample: Decisions) -> float:
    """Share of all that the operating point refers."""
    return float(np.mean(sample.relative >= 0))


@dataclass(frozen=True)
class MissedAtReferral:
    """The metric "missed-diagnosis rate when this share of every fold is referred"."""

    rate: float

    def __call__(self, sample: Decisions) -> float:
        """Of one sample."""
        return float(missed_at(sample, np.array([self.rate]))[0])

    def draws(self, sample: Decisions, counts: Array) -> Array:
        """Of R resamples [R], from how often each row is in each [R, n]; NaN without an ill one."""
        caught = np.zeros(len(counts))
        for fold in np.unique(sample.fold):
            own = sample.fold == fold
            caught += _caught(sample.relative[own], sample.label[own], counts[:, own], self.rate)
        ill = counts @ (sample.label == 1)
        return 1 - np.divide(caught, ill, out=np.full(len(ill), np.nan), where=ill > 0)


def _caught(scores: Array, labels: NDArray[np.int64], counts: Array, rate: float) -> Array:
    """Expected number of ill [R] among the share `rate` of one fold's resamples, counts [R, n]."""
    values, place = np.unique(-scores, return_inverse=True)  # highest scores first
    groups = np.eye(len(values))[place]  # [n, G]
    sizes = np.cumsum(counts @ groups, axis=1)
    found = np.cumsum((counts * (labels == 1)) @ groups, axis=1)
    referred = np.minimum(rate * sizes[:, -1], sizes[:, -1])[:, None]
    last = np.argmax(sizes >= referred, axis=1)[:, None]  # the group that is cut
    sizes, found = (np.pad(each, ((0, 0), (1, 0))) for each in (sizes, found))
    low, high = (np.take_along_axis(sizes, last + k, axis=1) for k in (0, 1))
    below, above = (np.take_along_axis(found, last + k, axis=1) for k in (0, 1))
    share = np.divide(referred - low, high - low, out=np.zeros_like(low), where=high > low)
    return np.asarray((below + share * (above - below))[:, 0])


def equal_referral(reference: Decisions) -> MissedAtReferral:
    """Missed when the reference's share (of all) is referred in every fold, for paired use."""
    return MissedAtReferral(referral_rate(reference))


def referral_curve(rows: pd.DataFrame, repeats: int, points: int = 101) -> pd.DataFrame:
    """Missed-diagnosis rate at every referral rate (`missed_at`), with a pointwise 95 % band.

    Columns referral, missed, low, high (bootstrap over patients). Raises DataError without an ill
    patient.
    """
    sample, grid = Decisions.of(rows), np.linspace(0, 1, points)
    if not sample.label.any():
        raise DataError(
            f"referral_curve: none of {len(rows)} sequences is ill, so none can be missed. "
            "Evaluate more folds or more patients."
        )
    curves = [
        missed_at(sample.take(index), grid)
        for index in patient_resamples(rows.patient_id.to_numpy(), repeats)
        if sample.label[index].any()
    ]
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    middle = missed_at(sample, grid)
    return pd.DataFrame({"referral": grid, "missed": middle, "low": low, "high": high})


def operating_point(rows: pd.DataFrame) -> dict[str, float]:
    """Referral and missed-diagnosis rate at the thresholds chosen on validation patients."""
    sample = Decisions.of(rows)
    return {"referral": referral_rate(sample), "missed": missed_diagnosis_rate(sample)}


def referrals_for(rows: pd.DataFrame, target: float) -> float:
    """The smallest share of every fold to refer so that at most `target` of the ill are missed.

    Where `missed_at` reaches the target, which it does between two whole numbers of patients too.
    """
    sample = Decisions.of(rows)
    sizes = np.unique(sample.fold, return_counts=True)[1]
    corners = np.unique(np.concatenate([np.arange(size + 1) / size for size in sizes]))
    missed = missed_at(sample, corners)
    if not (missed <= target + 1e-12).any():
        return float("nan")
    first = int(np.argmax(missed <= target + 1e-12))
    if first == 0:
        return 0.0
    share = (missed[first - 1] - target) / (missed[first - 1] - missed[first])
    return float(corners[first - 1] + min(share, 1.0) * (corners[first] - corners[first - 1]))


def net_benefit(probability: Array, labels: NDArray[np.int64], threshold: float) -> float:
    """Net benefit of referring at a probability >= threshold, in true positives a patient.

    tp / n - fp / n x p / (1 - p) (Vickers and Elkin, Medical Decision Making 26:565, 2006): the
    threshold p says how many healthy one would refer to find one ill, (1 - p) / p.
    """
    called, count = probability >= threshold, len(labels)
    true, false = np.sum(called & (labels == 1)), np.sum(called & (labels == 0))
    return float(true / count - false / count * threshold / (1 - threshold))


def benefit_curve(
    probability: dict[str, Array], labels: NDArray[np.int64], thresholds: Array
) -> pd.DataFrame:
    """Net benefit at every threshold in (0, 1): of each method, of referring all and of none.

    Columns threshold, strategy, net_benefit.
    """
    everyone = np.ones(len(labels))
    strategies = {**probability, "refer all": everyone, "refer none": np.zeros(len(labels)) - 1}
    return pd.DataFrame(
        [
            (float(threshold), name, net_benefit(values, labels, float(threshold)))
            for name, values in strategies.items()
            for threshold in thresholds
        ],
        columns=["threshold", "strategy", "net_benefit"],
    )
