"""Fits of the polynomials: better than where they start, from training frames alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from heclstm_lib.config import ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.models.calibrate import (
    fit_interval,
    fit_polynomials,
    measure_ranges,
    record_preactivations,
)
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fits import fit_least_squares
from heclstm_lib.models.normalise import fit_normaliser
from heclstm_lib.models.polynomial import CUBIC_FLOOR, CURVATURE_FLOOR, Polynomial
from heclstm_lib.models.train import TrainResult, make_model, train_polynomial

LAYERS = ["blocks.0.activation", *(f"lstm.gates.{gate}" for gate in "ifgo")]


@pytest.fixture(scope="module")
def frames(sets: dict[str, SequenceSet]) -> np.ndarray:
    """Normalised training frames."""
    return fit_normaliser(sets["train"]).apply(sets["train"].frames)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_fit_beats_the_start_and_every_neighbour(name: str, degree: int) -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 5000)
    function, interval = FUNCTIONS[name], fit_interval(values)
    fitted = fit_least_squares(function, values, interval, degree)
    inside = values[(values >= interval[0]) & (values <= interval[1])]
    uniform = np.linspace(*interval, 2001)

    def loss(c: np.ndarray) -> float:
        a, b = (
            np.mean((np.polynomial.polynomial.polyval(x, c) - function(x)) ** 2)
            for x in (inside, uniform)
        )
        return float(0.7 * a + 0.3 * b)

    start = Polynomial(degree).effective_coefficients().detach().numpy()
    assert loss(fitted) < 0.5 * loss(start)
    free = abs(fitted[degree]) > {2: CURVATURE_FLOOR, 3: CUBIC_FLOOR}[degree]  # not held
    for power in [0, 1, degree] if free else [0, 1]:
        for step in (-0.01, 0.01):
            moved = fitted.copy()
            moved[power] += step
            assert loss(moved) > loss(fitted)


@given(
    st.floats(-2, 2), st.floats(-2, 2), st.sampled_from([-0.5, -0.05, 0.05, 0.4]),
    st.sampled_from([2, 3]),
)  # fmt: skip
def test_a_polynomial_is_found_again(c0: float, c1: float, lead: float, degree: int) -> None:
    wanted = np.array([c0, c1, lead] if degree == 2 else [c0, c1, 0.0, lead])
    values = np.random.default_rng(1).uniform(-2, 3, 300)
    found = fit_least_squares(
        lambda x: np.polynomial.polynomial.polyval(x, wanted), values, (-2.5, 3.5), degree
    )
    np.testing.assert_allclose(found, wanted, atol=1e-8)


@pytest.mark.parametrize(("curvature", "held"), [(0.01, 0.03), (-0.01, -0.03)])
def test_lead_under_the_floor_is_held_and_the_rest_fitted_again(
    curvature: float, held: float
) -> None:
    values = np.random.default_rng(2).uniform(-1, 3, 3000)

    def function(x: np.ndarray) -> np.ndarray:
        return 1 + x + curvature * x**2

    c = fit_least_squares(function, values, (-1, 3), 2)
    assert c[2] == held
    residual = function(values) - np.polynomial.polynomial.polyval(values, c)
    assert abs(residual.mean()) < 0.005
    assert np.abs(residual).max() < 0.06


def test_interval_spans_the_quantiles_and_is_never_empty() -> None:
    values = np.linspace(0, 1, 100_001)
    low, high = fit_interval(values)
    assert low == pytest.approx(0.001 - 0.1 * 0.998)
    assert high == pytest.approx(0.999 + 0.1 * 0.998)
    low, high = fit_interval(np.zeros(10))
    assert low < 0 < high


def test_recorded_values_enter_the_activations(exact: TrainResult, frames: np.ndarray) -> None:
    samples = record_preactivations(exact.model, frames)
    assert list(samples) == [*LAYERS, "lstm.cell"]
    block = exact.model.blocks[0]
    with torch.no_grad():
        wanted = block.norm(block.conv(torch.from_numpy(frames).flatten(0, 1)))
    np.testing.assert_allclose(samples[LAYERS[0]], wanted.numpy().ravel(), rtol=1e-4, atol=1e-5)
    count, steps = frames.shape[:2]
    assert all(len(samples[layer]) == count * steps * 4 for layer in LAYERS[1:])


def test_twin_keeps_weights_and_follows_the_exact_scores(
    exact: TrainResult, frames: np.ndarray
) -> None:
    twin, fits = fit_polynomials(exact.model, frames)
    state = twin.state_dict()
    for name, value in exact.model.state_dict().items():
        if not name.endswith("interval"):
            assert torch.equal(state[name], value), name
    assert fits.layer.tolist() == LAYERS
    with torch.no_grad():
        ours, theirs = (model(torch.from_numpy(frames)).score for model in (exact.model, twin))
        start = ConvLSTM(twin.config, twin.channels, twin.image_size, twin.frames, "polynomial")
        start.load_state_dict(exact.model.state_dict(), strict=False)
        unfitted = start.eval()(torch.from_numpy(frames)).score
    assert (ours - theirs).abs().mean() < 0.2 * (ours - unfitted).abs().mean()


def test_intervals_and_table_are_those_of_the_training_frames(
    exact: TrainResult, frames: np.ndarray
) -> None:
    twin, fits = fit_polynomials(exact.model, frames)
    samples = record_preactivations(exact.model, frames)
    for row in fits.itertuples():
        layer, values = twin.get_submodule(row.layer), samples[row.layer]
        assert (row.low, row.high) == fit_interval(values)
        assert layer.interval.tolist() == pytest.approx([row.low, row.high])
        assert layer.coefficients.tolist() == pytest.approx([row.c0, row.c1, row.c2], rel=1e-5)
        outside = np.mean((values < row.low) | (values > row.high))
        assert row.fraction_outside == pytest.approx(outside)
        assert 0 < row.rms_error <= row.max_error


def test_fits_do_not_see_validation_and_test_frames(
    exact: TrainResult, sets: dict[str, SequenceSet], short: TrainConfig
) -> None:
    once = dataclasses.replace(short, polynomial_epochs=1)
    others = sets | {
        part: dataclasses.replace(sets[part], frames=1 - sets[part].frames)
        for part in ("val", "test")
    }
    fits = [
        train_polynomial(exact.model, given, once, progress=False).fits for given in (sets, others)
    ]
    assert fits[0] is not None and fits[0].equals(fits[1])


def test_output_gate_takes_over_the_slope_of_the_cell(
    sets: dict[str, SequenceSet], tiny: ModelConfig, frames: np.ndarray
) -> None:
    model = make_model(tiny, sets["train"], 0).eval()
    assert model.lstm is not None
    with torch.no_grad():
        model.lstm.input.bias.copy_(torch.tensor([3.0] * 12 + [0.0] * 4))  # cells near 1 and 2
        model.lstm.input.weight.mul_(0.1)
    cells = record_preactivations(model, frames)["lstm.cell"]
    slope = np.polyfit(np.concatenate([cells, -cells]), np.tanh([*cells, *-cells]), 1)[0]
    twin, _ = fit_polynomials(model, frames)
    gate = twin.get_submodule("lstm.gates.o")
    assert slope < 0.8
    assert gate(torch.zeros(1)).item() == pytest.approx(slope * 0.5, abs=0.01)


@pytest.mark.parametrize("switches", [{"lstm": False}, {"gate_degree": 3}], ids=str)
def test_other_networks_are_fitted(
    switches: dict, sets: dict[str, SequenceSet], tiny: ModelConfig, frames: np.ndarray
) -> None:
    model = make_model(dataclasses.replace(tiny, **switches), sets["train"], 0).eval()
    twin, fits = fit_polynomials(model, frames)
    assert fits.degree.tolist() == ([2] if "lstm" in switches else [2, 3, 3, 3, 3])
    assert twin.activation == "polynomial" and not twin.training


def test_fitting_leaves_the_exact_model_alone(exact: TrainResult, frames: np.ndarray) -> None:
    """Weights, mode, and the range records its next forward pass reports."""
    x = torch.from_numpy(frames)
    with torch.no_grad():
        before = [value.clone() for value in exact.model(x)]
        fit_polynomials(exact.model, frames * 3)
        after = exact.model(x)
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    gates = [module for module in exact.model.modules() if isinstance(module, nn.ModuleDict)]
    assert all(not gate.take_records() for gate in gates[0].values())


def test_ranges_are_measured_not_fitted(exact: TrainResult, frames: np.ndarray) -> None:
    twin, fits = fit_polynomials(exact.model, frames)
    usual, extreme = measure_ranges(twin, frames), measure_ranges(twin, frames * 10)
    assert usual.layer.tolist() == LAYERS
    np.testing.assert_allclose(extreme[["low", "high"]], fits[["low", "high"]], rtol=1e-5)
    first = record_preactivations(twin, frames)[LAYERS[0]]
    assert (usual.minimum[0], usual.maximum[0]) == (first.min(), first.max())
    assert usual.fraction_outside[0] < 0.01 < 0.3 < extreme.fraction_outside[0]
