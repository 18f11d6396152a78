"""Effect sizes beside p values: how large a difference is, whatever the number of patients."""

from __future__ import annotations

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_effectsize


def auc_to_d(area: float) -> float:
    """Cohen's d of two normal classes of equal variance with this AUC: sqrt(2) Phi^-1(AUC).

    Ruscio, Psychological Methods 13:19 (2008). 0.2 is called small, 0.5 medium, 0.8 large.

    >>> round(auc_to_d(0.714), 2)
    0.8
    """
    return float(np.sqrt(2) * stats.norm.ppf(area))


def cohens_h(first: float, second: float) -> float:
    """Effect size of two proportions, 2 asin sqrt(first) - 2 asin sqrt(second) (Cohen 1988)."""
    return float(proportion_effectsize(first, second))


def cohens_g(first_only: int, second_only: int) -> float:
    """Of two methods' disagreements, the share the second wins minus 1/2; NaN without any.

    `first_only` counts the cases that only the first method has right. Cohen (1988): 0.05 is
    called small, 0.15 medium, 0.25 large.
    """
    together = first_only + second_only
    return second_only / together - 0.5 if together else float("nan")
