"""Polynomial gates in vertex form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heclstm_lib.errors import PlanError
from heclstm_lib.models.folded import GateForm

FREE = st.floats(-2, 2)
LEADING = st.floats(0.003, 2).flatmap(lambda x: st.sampled_from([x, -x]))
GRID = np.linspace(-5, 5, 41)


@given(c0=FREE, c1=FREE, c2=LEADING)
def test_completed_square_is_the_polynomial(c0: float, c1: float, c2: float) -> None:
    form = GateForm.from_coefficients(np.array([c0, c1, c2]))
    result = form(form.stretch * GRID + form.shift)
    np.testing.assert_allclose(result, c0 + c1 * GRID + c2 * GRID**2, atol=1e-9)
    assert form.degree == 2 and form.sign == np.sign(c2)


@given(c0=FREE, c1=FREE, c3=LEADING)
def test_cubic_form_is_the_polynomial(c0: float, c1: float, c3: float) -> None:
    form = GateForm.from_coefficients(np.array([c0, c1, 0.0, c3]))
    result = form(form.stretch * GRID + form.shift)
    np.testing.assert_allclose(result, c0 + c1 * GRID + c3 * GRID**3, atol=1e-9)
    assert form.degree == 3


@pytest.mark.parametrize("coefficients", [[0.5, 0.2, 0.0], [0.5, 0.2, 0.1, 0.01], [0.5, 0.2]])
def test_what_has_no_vertex_form_is_refused(coefficients: list[float]) -> None:
    with pytest.raises(PlanError, match=r"gate.*got \[0\.5"):
        GateForm.from_coefficients(np.array(coefficients))
