"""How far decrypted scores are from the same polynomial network in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.statistics import wilson_interval
from heclstm_lib.he.packing import Vector

WANTED_BITS = 10.0
"""Precision relative to the spread of a method's scores that is wanted of every score."""


def agreement(
    clear: Vector, encrypted: Vector, threshold: float, sequences: Sequence[str] | None = None
) -> dict[str, float | int]:
    """Compare decrypted with float64 scores [n]: errors, bits of precision, flipped decisions.

    `precision_bits` is -log2 of the mean absolute error, `worst_bits` of the largest. Flips and
    their interval are those of `flip_rate`, which `sequences` [n] goes to.
    """
    error = np.abs(np.asarray(encrypted) - np.asarray(clear))
    return {
        "max_error": float(error.max()),
        "mean_error": float(error.mean()),
        "precision_bits": float(-np.log2(error.mean())),
        "worst_bits": float(-np.log2(error.max())),
        **flip_rate(clear >= threshold, encrypted >= threshold, sequences),
    }


def relative_errors(clear: Vector, encrypted: Vector) -> Vector:
    """Absolute errors [n] over the sample standard deviation of the clear scores [n].

    Methods score in different units (a margin, a logit, a log-likelihood ratio).
    """
    deviation = float(np.std(np.asarray(clear), ddof=1))
    return np.asarray(np.abs(np.asarray(encrypted) - np.asarray(clear)) / max(deviation, 1e-12))


def flip_rate(
    first: NDArray[np.bool_], second: NDArray[np.bool_], sequences: Sequence[str] | None = None
) -> dict[str, float | int]:
    """Decisions [n] that differ: n, n_sequences, flips, flip_rate and its 95 % interval (Wilson).

    sequences [n]: which sequence each decision is on; without, each is on its own. Decisions of
    several networks on one sequence (repeats, seeds) are no independent ones: n and flips count
    them all, the interval has as many trials as there are distinct sequences.
    """
    flips, count = int(np.sum(first != second)), len(first)
    distinct = count if sequences is None else len(set(sequences))
    low, high = wilson_interval(flips * distinct / count, distinct)
    return {
        "n": count,
        "n_sequences": distinct,
        "flips": flips,
        "flip_rate": flips / count,
        "flip_rate_low": low,
        "flip_rate_high": high,
    }


def check_agreement(found: Mapping[str, float | int], bits: float) -> None:
    """Raise PlanError when decrypted scores have fewer than `bits` bits of precision."""
    precision = found["precision_bits"]
    if precision < bits:
        raise PlanError(
            f"{found['n']} decrypted scores are right to {precision:.1f} bits, "
            f"at least {bits:g} are wanted (largest error {found['max_error']:.3g}). "
            "Give the plan a larger scale (fewer frames, quadratic gates, larger N) or train with "
            "a larger range_penalty."
        )
