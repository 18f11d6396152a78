"""The decision threshold: chosen on validation patients for a target sensitivity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heclstm_lib.errors import DataError


def choose_threshold(
    scores: NDArray[np.float64], labels: NDArray[np.int64], target_sensitivity: float
) -> float:
    """The largest threshold whose sensitivity on these patients reaches the target.

    A sequence is called positive when its score >= threshold, so the threshold is one of the
    positives' scores: the k-th largest, k = ceil(target x positives). Ties fall on the safe side
    (equal scores are called positive). When folds are pooled, each keeps its own threshold and
    scores are compared as score - threshold. Raises DataError without positives or for a target
    outside (0, 1].
    """
    positives = np.sort(np.asarray(scores)[np.asarray(labels) == 1])[::-1]
    if not 0 < target_sensitivity <= 1:
        raise DataError(f"target_sensitivity is {target_sensitivity}, expected above 0, at most 1.")
    if not len(positives):
        raise DataError(
            f"no positive among {len(labels)} validation sequences: no threshold reaches a "
            "sensitivity. Use a fold whose validation patients hold both classes."
        )
    needed = int(np.ceil(target_sensitivity * len(positives) - 1e-9))
    return float(positives[needed - 1])
