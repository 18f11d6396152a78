"""Fits of the activations, and the polynomial twin they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import MODEL, make_toy

from heclstm_lib.errors import ConfigError
from heclstm_lib.models.calibrate import (
    fit_interval,
    fit_least_squares,
    fit_polynomials,
    measure_ranges,
    record_preactivations,
)
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.polynomial import CUBIC_FLOOR, CURVATURE_FLOOR, Polynomial
from heclstm_lib.models.train import fit_normaliser, make_model


def frames_of(count: int = 24) -> np.ndarray:
    sequences = make_toy(count, seed=3)
    return fit_normaliser(sequences).apply(sequences.frames)


def exact_model() -> ConvLSTM:
    """Trained batch norm statistics, random weights."""
    model = make_model(MODEL, make_toy(4, seed=3), seed=1)
    model.train()
    with torch.no_grad():
        for _ in range(60):
            model(torch.from_numpy(frames_of()))
    return model.eval()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_a_polynomial_is_found_again() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    interval = fit_interval(values)
    for coefficients in ([0.2, -0.4, 0.3], [0.5, 0.25, 0.0, -0.01]):
        found = fit_least_squares(
            lambda x, c=coefficients: np.polynomial.polynomial.polyval(x, c),
            values, interval, len(coefficients) - 1,
        )  # fmt: skip
        np.testing.assert_allclose(found, coefficients, atol=1e-9)


def test_interval_holds_the_quantiles_and_is_never_empty() -> None:
    values = np.random.default_rng(0).normal(2, 3, size=100_000)
    low, high = fit_interval(values)
    assert 0.0001 < np.mean((values < low) | (values > high)) + 0.0002 < 0.002
    assert low < np.quantile(values, 0.001) and high > np.quantile(values, 0.999)
    low, high = fit_interval(np.full(10, 1.5))
    assert low < 1.5 < high


def mean_squared_error(coefficients: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.mean((np.polynomial.polynomial.polyval(values, coefficients) - wanted) ** 2))


@pytest.mark.parametrize(
    ("degree", "floor", "leading"),
    [(2, CURVATURE_FLOOR, 0.001), (2, CURVATURE_FLOOR, -0.001), (3, CUBIC_FLOOR, -0.001)],
)
def test_a_leading_coefficient_under_the_floor_is_held_and_the_others_fitted_again(
    degree: int, floor: float, leading: float
) -> None:
    values = np.random.default_rng(1).normal(0.5, 1.0, size=4000)

    def function(x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.25 * x + leading * x**degree

    found = fit_least_squares(function, values, fit_interval(values), degree)
    assert found[degree] == pytest.approx(np.copysign(floor, leading))
    clipped = np.zeros(degree + 1)
    clipped[[0, 1]], clipped[degree] = [0.5, 0.25], found[degree]
    grid = np.linspace(*fit_interval(values), 500)  # the weight is 0.7 empirical, 0.3 uniform
    errors = [
        0.7 * mean_squared_error(c, values, function(values))
        + 0.3 * mean_squared_error(c, grid, function(grid))
        for c in (found, clipped)
    ]
    assert errors[0] < 0.7 * errors[1]


def test_weighting_by_the_distribution_helps_where_activations_are() -> None:
    values = np.random.default_rng(2).normal(-2.0, 0.5, size=5000)
    interval = (-4.0, 4.0)
    weighted = fit_least_squares(sigmoid, values, interval, 2)
    uniform = fit_least_squares(sigmoid, np.linspace(-4, 4, 5000), interval, 2)

    wanted = sigmoid(values)
    errors = [mean_squared_error(c, values, wanted) for c in (weighted, uniform)]
    assert errors[0] < 0.5 * errors[1]


def test_twin_has_copied_weights_and_fitted_polynomials() -> None:
    exact, frames = exact_model(), frames_of()
    twin, table = fit_polynomials(exact, frames)
    state = twin.state_dict()
    for name, value in exact.state_dict().items():
        if not name.endswith("interval"):
            assert torch.equal(state[name], value), name
    polynomials = {n: m for n, m in twin.named_modules() if isinstance(m, Polynomial)}
    assert list(table.layer) == list(polynomials)
    for row in table.itertuples():
        assert polynomials[row.layer].interval.tolist() == pytest.approx([row.low, row.high])
        assert row.low < row.high and row.rms_error <= row.max_error
        assert row.fraction_outside < 0.005
    assert not twin.training


def test_fitted_twin_is_closer_to_the_exact_one_than_an_unfitted_twin() -> None:
    exact, frames = exact_model(), torch.from_numpy(frames_of())
    fitted, _ = fit_polynomials(exact, frames.numpy())
    unfitted = ConvLSTM(exact.config, exact.channels, exact.image_size, exact.frames, "polynomial")
    unfitted.load_state_dict(exact.state_dict(), strict=False)
    with torch.no_grad():
        wanted = exact(frames).score
        errors = [(m.eval()(frames).score - wanted).abs().mean() for m in (fitted, unfitted)]
    assert errors[0] < 0.2 * errors[1]


def test_preactivations_are_those_of_every_call() -> None:
    exact, frames = exact_model(), frames_of(6)
    samples = record_preactivations(exact, frames)
    assert samples["blocks.0.activation"].size == 6 * 3 * 2 * 5 * 5
    assert samples["lstm.gates.i"].size == samples["lstm.cell"].size == 6 * 3 * 3
    with torch.no_grad():
        maps = exact.blocks[0].norm(exact.blocks[0].conv(torch.from_numpy(frames).flatten(0, 1)))
    np.testing.assert_allclose(samples["blocks.0.activation"], maps.numpy().ravel(), rtol=1e-6)


def test_ranges_of_other_frames_are_measured_not_fitted() -> None:
    twin, table = fit_polynomials(exact_model(), frames_of())
    inside = measure_ranges(twin, frames_of())
    far = measure_ranges(twin, 10 * frames_of())
    assert list(inside.layer) == list(table.layer) == list(far.layer)
    assert list(inside.low) == list(far.low)
    assert far.fraction_outside[0] > 0.3 > inside.fraction_outside[0]
    assert inside.fraction_outside[0] == pytest.approx(table.fraction_outside[0])


def test_unknown_method_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="least_squares"):
        fit_polynomials(exact_model(), frames_of(), method="minimax")
