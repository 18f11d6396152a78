"""Fits of activations: what each method promises, on the intervals and floors in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from heclstm_lib.config import FIT_METHODS, ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.models.calibrate import fit_polynomials
from heclstm_lib.models.fits import FITS, fit_chebyshev, fit_minimax
from heclstm_lib.models.normalise import fit_normaliser
from heclstm_lib.models.polynomial import CUBIC_FLOOR, CURVATURE_FLOOR, Polynomial
from heclstm_lib.models.train import make_model, train_polynomial

Function = Callable[[np.ndarray], np.ndarray]
FUNCTIONS: dict[str, Function] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}
INTERVALS = {"relu": (-2.0, 3.0), "tanh": (-0.8, 4.0), "sigmoid": (0.0, 3.0)}
CASES = [("relu", 2), ("tanh", 2), ("sigmoid", 2), ("tanh", 3), ("sigmoid", 3)]
VALUES = np.random.default_rng(0).normal(0.5, 1, 5000)


def evaluate(c: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.asarray(np.polynomial.polynomial.polyval(x, c))


def worst(c: np.ndarray, function: Function, interval: tuple[float, float]) -> float:
    x = np.linspace(*interval, 20_001)
    return float(np.abs(evaluate(c, x) - function(x)).max())


def test_every_method_of_a_configuration_has_a_function() -> None:
    assert tuple(FITS) == FIT_METHODS


@pytest.mark.parametrize(("name", "degree"), CASES)
def test_chebyshev_meets_the_function_at_the_nodes(name: str, degree: int) -> None:
    low, high = INTERVALS[name]
    c = fit_chebyshev(FUNCTIONS[name], VALUES, (low, high), degree)
    if degree == 3:
        low, high = -max(-low, high), max(-low, high)
    angles = np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(angles)
    np.testing.assert_allclose(evaluate(c, nodes), FUNCTIONS[name](nodes), atol=1e-12)
    assert len(c) == degree + 1 and (degree == 2 or c[2] == 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_minimax_reaches_its_largest_error_with_alternating_signs(name: str) -> None:
    """Chebyshev's theorem: degree 2 with degree + 2 alternations cannot be bettered."""
    interval = INTERVALS[name]
    c = fit_minimax(FUNCTIONS[name], VALUES, interval, 2)
    assert abs(c[2]) > CURVATURE_FLOOR  # free of the floor
    x = np.linspace(*interval, 20_001)
    error = evaluate(c, x) - FUNCTIONS[name](x)
    extreme = np.sign(error[np.abs(error) > 0.98 * np.abs(error).max()])
    assert 1 + np.count_nonzero(np.diff(extreme)) >= 4


@pytest.mark.parametrize(("name", "degree"), CASES)
def test_no_method_has_a_smaller_largest_error_than_minimax(name: str, degree: int) -> None:
    errors = {
        method: worst(fit(FUNCTIONS[name], VALUES, INTERVALS[name], degree), FUNCTIONS[name],
                      INTERVALS[name])
        for method, fit in FITS.items()
    }  # fmt: skip
    assert errors["minimax"] == min(errors.values())
    assert errors["minimax"] < 0.9 * errors["least_squares"]
    assert errors["chebyshev"] != errors["least_squares"]


@pytest.mark.parametrize("method", FITS)
@pytest.mark.parametrize(("degree", "floor"), [(2, CURVATURE_FLOOR), (3, CUBIC_FLOOR)])
def test_a_lead_under_its_floor_is_held_and_the_rest_fitted(
    method: str, degree: int, floor: float
) -> None:
    def line(x: np.ndarray) -> np.ndarray:
        return 1 + x - 0.2 * floor * x**degree

    c, interval = FITS[method](line, VALUES, (-2.0, 2.0), degree), (-2.0, 2.0)
    assert c[degree] == -floor
    unfitted = np.array([1.0, 1.0, 0.0, 0.0])[: degree + 1]
    unfitted[degree] = -floor
    assert worst(c, line, interval) < worst(unfitted, line, interval)
    opposite = unfitted * np.where(np.arange(degree + 1) == degree, -1, 1)
    assert worst(c, line, interval) < worst(opposite, line, interval)


@pytest.mark.parametrize("method", FITS)
@pytest.mark.parametrize("degree", [2, 3])
def test_a_polynomial_is_found_again(method: str, degree: int) -> None:
    wanted = np.array([0.3, -0.7, 0.2] if degree == 2 else [0.3, -0.7, 0.0, 0.05])
    found = FITS[method](lambda x: evaluate(wanted, x), VALUES, (-2.0, 3.0), degree)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("fit", FIT_METHODS)
def test_only_learned_coefficients_are_trained(
    fit: str, sets: dict[str, SequenceSet], tiny: ModelConfig, short: TrainConfig
) -> None:
    exact = make_model(dataclasses.replace(tiny, fit=fit), sets["train"], 0).eval()
    start, fits = fit_polynomials(exact, fit_normaliser(sets["train"]).apply(sets["train"].frames))
    result = train_polynomial(exact, sets, short, progress=False)
    before = {n: m for n, m in start.named_modules() if isinstance(m, Polynomial)}
    assert list(before) == fits.layer.tolist()
    for name, layer in before.items():
        trained = result.model.get_submodule(name).coefficients
        assert torch.equal(trained, layer.coefficients) == (fit != "learned"), name
    blocks = (model.blocks[0].conv.weight for model in (start, result.model))
    assert not torch.equal(*blocks)  # the rest is trained with every fit
