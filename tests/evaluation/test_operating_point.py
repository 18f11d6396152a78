"""The threshold reaches its target sensitivity, and no larger one does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.operating_point import choose_threshold

pairs = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=40)


def sensitivity(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    return float(np.mean(scores[labels == 1] >= threshold))


@given(pairs.filter(lambda found: any(label for _, label in found)), st.floats(0.01, 1))
def test_target_is_reached_and_no_larger_threshold_reaches_it(
    found: list[tuple[int, bool]], target: float
) -> None:
    scores = np.array([score for score, _ in found], dtype=np.float64)
    labels = np.array([int(label) for _, label in found])
    threshold = choose_threshold(scores, labels, target)
    assert sensitivity(scores, labels, threshold) >= target - 1e-9
    assert sensitivity(scores, labels, np.nextafter(threshold, math.inf)) < target
    assert threshold in scores[labels == 1]


@pytest.mark.parametrize(
    ("target", "expected"), [(0.9, 1.0), (0.91, 0.0), (1.0, 0.0), (0.1, 9.0), (0.7, 3.0)]
)
def test_exact_shares_are_not_lost_to_rounding(target: float, expected: float) -> None:
    scores, labels = np.arange(10.0), np.ones(10, dtype=np.int64)
    assert choose_threshold(scores, labels, target) == expected


def test_ties_fall_on_the_safe_side() -> None:
    scores, labels = np.array([3.0, 1.0, 1.0, 1.0, 1.0]), np.array([1, 1, 1, 0, 0])
    assert choose_threshold(scores, labels, 0.5) == 1.0
    assert sensitivity(scores, labels, 1.0) == 1.0


def test_negatives_have_no_say() -> None:
    labels = np.array([1, 1, 0, 0])
    one = choose_threshold(np.array([2.0, 1.0, 5.0, 7.0]), labels, 0.5)
    assert one == choose_threshold(np.array([2.0, 1.0, -5.0, -7.0]), labels, 0.5) == 2.0


@pytest.mark.parametrize("labels", [np.zeros(3, dtype=np.int64), np.array([], dtype=np.int64)])
def test_without_positives_there_is_none(labels: np.ndarray) -> None:
    with pytest.raises(DataError, match=f"no positive among {len(labels)} validation"):
        choose_threshold(np.zeros(len(labels)), labels, 0.9)


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1, math.nan])
def test_target_out_of_range_is_refused(target: float) -> None:
    with pytest.raises(DataError, match="target_sensitivity"):
        choose_threshold(np.zeros(2), np.array([0, 1]), target)
