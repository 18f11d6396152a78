"""Calibration intercept and slope (Cox, Biometrika 45:562, 1958), with intervals over patients.

A logistic regression of the label on the predicted log odds. Its own standard errors would take
every row for a patient: repeats of cross-validation, seeds, and sequences of one patient. So the
intervals are percentiles of a bootstrap over patients, all resamples fitted at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.evaluation.statistics import (
    Array,
    draws_interval,
    patient_resamples,
    resample_counts,
)

Labels = NDArray[np.int64]
Estimate = tuple[float, float, float]
"""Estimate and the two ends of its 95 % interval."""

STEPS = 100  # of Newton's method at most; a fit that has not settled by then counts as undetermined


def cox_calibration(
    probability: Array, labels: Labels, patients: NDArray[np.object_], bootstrap: int
) -> dict[str, Estimate]:
    """Calibration intercept and slope of n rows with 95 % bootstrap intervals over patients.

    intercept: of logit P(ill) = a + logit(p), 0 when probabilities are right on average; slope: of
    logit P(ill) = a + b logit(p), 1 when they are as spread as they should be. NaN where the data
    do not determine them (one class, constant or separating probabilities); resamples that do not
    are left out.
    """
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    logit = np.log(inside / (1 - inside))
    resampled = resample_counts(patient_resamples(patients, bootstrap), len(labels))
    counts = np.concatenate([np.ones((1, len(labels))), resampled])  # first the rows themselves
    one = np.ones((len(labels), 1))
    level = logistic_fits(one, labels, counts, offset=logit)[:, 0]
    spread = logistic_fits(np.column_stack([one, logit]), labels, counts)[:, 1]
    spread[~_determined(logit, labels, counts)] = np.nan
    found = {"intercept": level, "slope": spread}
    return {name: (float(draws[0]), *_interval(draws)) for name, draws in found.items()}


def _interval(draws: Array) -> tuple[float, float]:
    """Ends of the interval of the draws after the first; NaN where the estimate itself is."""
    return draws_interval(draws[1:])[:2] if np.isfinite(draws[0]) else (float("nan"),) * 2


def logistic_fits(
    design: Array, labels: Labels, counts: Array, offset: Array | None = None
) -> Array:
    """Maximum-likelihood coefficients [R, p] of R weighted logistic regressions.

    design [n, p], labels [n] of 0 and 1, counts [R, n] (how often each row is in each), offset [n]
    of the log odds. Newton's method with halved steps where the likelihood would fall. NaN where a
    class is missing or no maximum was reached.
    """
    shift = np.zeros(len(labels)) if offset is None else offset
    fitted = np.zeros((len(counts), design.shape[1]))
    best, size = _likelihood(fitted, design, labels, counts, shift), np.ones(len(counts))
    settled = np.zeros(len(counts), dtype=bool)
    for _ in range(STEPS):
        mean = 1 / (1 + np.exp(-np.clip(fitted @ design.T + shift, -500, 500)))
        slope = (counts * (labels - mean)) @ design
        curvature = np.einsum("rn,np,nq->rpq", counts * mean * (1 - mean), design, design)
        curvature += 1e-12 * np.eye(design.shape[1])
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        tried = fitted + size[:, None] * step
        value = _likelihood(tried, design, labels, counts, shift)
        better = (value >= best - 1e-9) & ~settled
        fitted[better], best[better] = tried[better], value[better]
        settled |= better & (np.abs(step).max(axis=1) < 1e-8) & (size == 1)
        size = np.where(better, 1.0, size / 2)
        if settled.all():
            break
    ill = counts @ labels
    missing = (ill == 0) | (ill == counts.sum(axis=1))
    fitted[missing | ~settled] = np.nan
    return fitted


def _likelihood(fitted: Array, design: Array, labels: Labels, counts: Array, shift: Array) -> Array:
    logit = fitted @ design.T + shift
    return np.asarray((counts * (labels * logit - np.logaddexp(0, logit))).sum(axis=1))


def _determined(values: Array, labels: Labels, counts: Array) -> NDArray[np.bool_]:
    """Of each resample, whether neither class lies wholly above the other (or on one value)."""
    drawn = counts > 0
    ends = []
    for label in (1, 0):
        own = drawn & (labels == label)
        least = np.where(own, values, np.inf).min(axis=1)
        ends.append((least, np.where(own, values, -np.inf).max(axis=1)))
    (ill_low, ill_high), (well_low, well_high) = ends
    return np.asarray((ill_low < well_high) & (well_low < ill_high))
