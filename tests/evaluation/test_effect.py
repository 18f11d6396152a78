"""Effect sizes against published tables and independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heclstm_lib.evaluation.effect import auc_to_d, cohens_g, cohens_h


@pytest.mark.parametrize(
    ("area", "d"), [(0.556, 0.20), (0.638, 0.50), (0.714, 0.80), (0.760, 1.00), (0.5, 0.0)]
)
def test_d_of_an_area_as_published(area: float, d: float) -> None:
    """Ruscio 2008, table 1 (d and the probability of superiority A)."""
    assert auc_to_d(area) == pytest.approx(d, abs=0.005)
    assert auc_to_d(1 - area) == pytest.approx(-d, abs=0.005)


def test_h_is_cohens_formula() -> None:
    """Cohen 1988, table 6.2.2: phi(.65) = 1.875, phi(.50) = 1.571."""
    assert cohens_h(0.65, 0.5) == pytest.approx(1.875 - 1.571, abs=1e-3)
    assert cohens_h(0.2, 0.7) == pytest.approx(
        2 * math.asin(math.sqrt(0.2)) - 2 * math.asin(math.sqrt(0.7))
    )


def test_g_is_the_share_of_disagreements_won() -> None:
    assert cohens_g(5, 15) == pytest.approx(0.25)
    assert cohens_g(15, 5) == pytest.approx(-0.25)
    assert np.isnan(cohens_g(0, 0))
