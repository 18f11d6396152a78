"""Calibration: does a probability of 30 % mean that three of ten such patients are ill?

Training weights the classes alike, so that the logits are those of a population with as many ill
as well. `platt_scaling` corrects that on validation patients, fold by fold; it changes neither the
order of the patients within a fold nor a decision. The hospital can do it after decryption.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.cox import cox_calibration
from heclstm_lib.evaluation.statistics import Array, bootstrap_interval, wilson_interval

Labels = NDArray[np.int64]


def fit_platt(logits: Array, labels: Labels) -> tuple[float, float]:
    """(intercept, slope) of P(ill) = sigmoid(intercept + slope x logit), by maximum likelihood.

    The targets are Platt's (n+ + 1) / (n+ + 2) and 1 / (n- + 2) (Platt 1999), which keep the fit
    finite for separated classes. Where the fit would turn the order round (a negative slope on
    few patients), or all logits are equal, the slope is 0: the logit says nothing there.
    """
    labels = np.asarray(labels)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    if np.ptp(logits) > 0:
        centre, spread = float(np.mean(logits)), float(np.std(logits))
        scaled = (logits - centre) / spread  # log odds of naive Bayes run into the thousands
        with warnings.catch_warnings():  # of separated or two patients: the targets see to those
            warnings.simplefilter("ignore")
            fitted = sm.GLM(target, sm.add_constant(scaled), sm.families.Binomial()).fit()
        level, steepness = map(float, fitted.params)
        if steepness >= 0:
            return level - steepness / spread * centre, steepness / spread
    mean = float(target.mean())
    return float(np.log(mean / (1 - mean))), 0.0


def platt_scaling(validation: pd.DataFrame, test: pd.DataFrame) -> Array:
    """Probabilities [n] of the test rows, scaled by their own fold's validation patients.

    Both tables have columns fold, score, label (validation) as notebook 02 stores them. Raises
    DataError for a fold without validation rows.
    """
    probability = np.empty(len(test))
    for fold in test.fold.unique():
        known, asked = validation[validation.fold == fold], (test.fold == fold).to_numpy()
        if known.empty:
            raise DataError(
                f"platt_scaling: no validation rows for fold {fold}; there are folds "
                f"{sorted(validation.fold.unique())}. Run notebook 02 for all folds of the study."
            )
        intercept, slope = fit_platt(known.score.to_numpy(), known.label.to_numpy())
        probability[asked] = expit(intercept + slope * test.score.to_numpy()[asked])
    return probability


def reliability(
    probability: Array, labels: Labels, bins: int, sequences: NDArray[np.object_] | None = None
) -> pd.DataFrame:
    """Share of ill in bins of equal numbers of decisions, with Wilson's 95 % interval.

    sequences [n]: which sequence each row is of; without, each is of its own. A sequence scored by
    several networks (repeats, seeds) counts once in its bin's interval. Columns probability (the
    bin's mean), estimate, ci_low, ci_high, n_decisions, n_sequences (distinct ones); empty bins
    (equal probabilities) are left out.
    """
    names = np.arange(len(labels)) if sequences is None else np.asarray(sequences)
    edges = np.quantile(probability, np.linspace(0, 1, bins + 1))
    place = np.searchsorted(edges[1:-1], probability)
    rows = []
    for k in np.unique(place):
        own = place == k
        share, distinct = float(labels[own].mean()), len(set(names[own].tolist()))
        interval = wilson_interval(share * distinct, distinct)
        rows.append((float(probability[own].mean()), share, *interval, int(own.sum()), distinct))
    return pd.DataFrame(
        rows,
        columns=["probability", "estimate", "ci_low", "ci_high", "n_decisions", "n_sequences"],
    )


def expected_error(probability: Array, labels: Labels, bins: int) -> float:
    """Expected calibration error: mean |observed - predicted| over bins of equal numbers.

    Naeini et al., AAAI 2015, with equal numbers instead of equal widths. Biased upwards on few
    patients.
    """
    table = reliability(probability, labels, bins)
    return float(np.average(np.abs(table.estimate - table.probability), weights=table.n_decisions))


def calibration_table(
    probability: Array,
    labels: Labels,
    patients: NDArray[np.object_],
    bootstrap: int,
    bins: int,
    sequences: NDArray[np.object_] | None = None,
) -> pd.DataFrame:
    """Brier score, its skill over the prevalence, calibration error, intercept and slope.

    Columns metric, estimate, ci_low, ci_high, n_patients, n_sequences (distinct ones; each row is
    of its own without `sequences`), n_decisions (rows). All intervals are over patients by
    bootstrap, of the Brier score, of the skill 1 - Brier / (prevalence (1 - prevalence)), and of
    intercept and slope (`cox_calibration`); the calibration error, which is biased, has none.
    """
    error = (probability - labels) ** 2

    def skill(index: NDArray[np.int64]) -> float:
        share = labels[index].mean()
        return float(1 - error[index].mean() / (share * (1 - share))) if 0 < share < 1 else np.nan

    everything = np.arange(len(labels))
    scores = {"brier": lambda index: float(error[index].mean()), "brier_skill": skill}
    rows = [
        (name, metric(everything), *bootstrap_interval(patients, metric, bootstrap)[:2])
        for name, metric in scores.items()
    ]
    rows.append(("expected_error", expected_error(probability, labels, bins), np.nan, np.nan))
    cox = cox_calibration(probability, labels, patients, bootstrap)
    rows += [(name, *found) for name, found in cox.items()]
    table = pd.DataFrame(rows, columns=["metric", "estimate", "ci_low", "ci_high"])
    people, names = (
        len(set(np.asarray(each).tolist()))
        for each in (patients, np.arange(len(labels)) if sequences is None else sequences)
    )
    return table.assign(n_patients=people, n_sequences=names, n_decisions=len(labels))


def choose_bins(count: int) -> int:
    """Bins for n sequences: about ten in each, at least two bins and at most ten."""
    return int(np.clip(count // 10, 2, 10))
