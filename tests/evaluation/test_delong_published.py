"""DeLong's test on the data of DeLong, DeLong and Clarke-Pearson, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from heclstm_lib.evaluation.statistics import delong_test, fast_auc

# Ovarian cancer patients of Biometrics 44:837 (1988), the 43 records the SAS/STAT User's Guide
# prints (PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves"): albumin, total
# protein, K-G score, outcome; low K-G scores speak for the outcome, so 10 - score is compared.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def by_definition(
    first: np.ndarray, second: np.ndarray, outcome: np.ndarray
) -> tuple[float, float]:
    """Difference and p from the paper's structural components: every pair is compared."""
    areas, positive, negative = [], [], []
    for values in (first, second):
        x, y = values[outcome == 1], values[outcome == 0]
        wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        areas.append(wins.mean())
        positive.append(wins.mean(axis=1))
        negative.append(wins.mean(axis=0))
    covariance = np.cov(positive) / len(positive[0]) + np.cov(negative) / len(negative[0])
    deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = areas[1] - areas[0]
    return difference, 2 * stats.norm.sf(abs(difference) / deviation)


def test_published_data_with_many_ties() -> None:
    albumin, protein, score, outcome = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    score, outcome = 10 - score, outcome.astype(np.int64)
    assert len(outcome) == 43 and outcome.sum() == 31
    assert fast_auc(score, outcome) == pytest.approx(0.7258, abs=5e-5)
    for other in (albumin, protein):
        assert delong_test(score, other, outcome) == pytest.approx(
            by_definition(score, other, outcome)
        )
    # the values themselves, so that neither side can drift
    assert delong_test(score, protein, outcome) == pytest.approx((-0.0780, 0.4561), abs=5e-5)
    assert delong_test(score, albumin, outcome) == pytest.approx((0.0108, 0.9102), abs=5e-5)
