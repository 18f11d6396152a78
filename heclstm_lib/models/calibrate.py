"""From the trained exact twin to its polynomial twin: ranges and fits on training frames only."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fits import FITS, GRID
from heclstm_lib.models.polynomial import Polynomial

Array = NDArray[np.float64]
CELL = "lstm.cell"
QUANTILE = 0.001  # the interval spans the 0.1 % to 99.9 % quantiles ...
WIDEN = 0.1  # ... and this share of its width more on each side


def fit_polynomials(
    exact: ConvLSTM, train_frames: NDArray[np.float32]
) -> tuple[ConvLSTM, pd.DataFrame]:
    """The polynomial twin of a trained exact model, and a table of its fits.

    train_frames: normalised frames [B, T, C, H, W] of training patients, nobody else's.
    Every weight is copied by name; each polynomial gets the interval of its layer's
    pre-activations and the fit of the exact activation on it. The polynomial cell is the
    identity, so o * tanh(c) becomes (k o) * c: gate o is fitted to k sigmoid, with k the least
    squares slope of tanh over the cell states seen. Only with the configuration's fit "learned" are
    coefficients left to training; those of other methods stay as fitted. The table has one row a
    layer: layer, low, high, degree, c0..c3, max_error, rms_error, fraction_outside (of training).
    """
    exact = copy.deepcopy(exact)  # evaluating its gates leaves range records behind
    twin = ConvLSTM(exact.config, exact.channels, exact.image_size, exact.frames, "polynomial")
    twin.load_state_dict(exact.state_dict(), strict=False)  # polynomials alone are missing
    twin.eval()
    samples = record_preactivations(exact, train_frames)
    rows = []
    for name, layer in twin.named_modules():
        if isinstance(layer, Polynomial):
            gain = _cell_gain(samples[CELL]) if name == "lstm.gates.o" else 1.0
            target = _numpy_function(exact.get_submodule(name), gain)
            rows.append(_fit_layer(name, layer, target, samples[name], exact.config.fit))
            layer.coefficients.requires_grad_(exact.config.fit == "learned")
    return twin, pd.DataFrame(rows)


def _cell_gain(cells: Array) -> float:
    """k that makes k c closest to tanh(c) over the cell states."""
    return float(cells @ np.tanh(cells)) / max(float(cells @ cells), 1e-12)


def _numpy_function(activation: nn.Module, gain: float) -> Callable[[Array], Array]:
    return lambda points: gain * activation(torch.from_numpy(points)).numpy()


def record_preactivations(model: ConvLSTM, frames: NDArray[np.float32]) -> dict[str, Array]:
    """Every value that enters each activation (polynomial or exact) over `frames`, by layer.

    "lstm.cell" are the cell states. frames: normalised, [B, T, C, H, W]; they pass through in
    evaluation mode.
    """
    model = copy.deepcopy(model).eval()  # hooks and records stay off the caller's model
    twin = ConvLSTM(model.config, model.channels, model.image_size, model.frames, "polynomial")
    names = [name for name, layer in twin.named_modules() if isinstance(layer, Polynomial)]
    names += [CELL] if model.lstm is not None else []
    seen: dict[str, list[Array]] = {name: [] for name in names}
    for name in names:
        model.get_submodule(name).register_forward_pre_hook(_recorder(seen[name]))
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        for batch in torch.from_numpy(frames).to(dtype).split(256):
            model(batch)
    return {name: np.concatenate(values) for name, values in seen.items()}


def _recorder(values: list[Array]) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
    return lambda _module, inputs: values.append(inputs[0].double().numpy().ravel())


def measure_ranges(model: ConvLSTM, frames: NDArray[np.float32]) -> pd.DataFrame:
    """How far the pre-activations of a polynomial twin leave their intervals on `frames`.

    One row a layer: layer, low, high (the interval), minimum, maximum, fraction_outside.
    Shown for test frames in the reports; nothing is fitted here.
    """
    rows = []
    samples = record_preactivations(model, frames)
    samples.pop(CELL, None)
    for name, values in samples.items():
        low, high = model.get_submodule(name).interval.tolist()  # type: ignore[operator]
        outside = float(np.mean((values < low) | (values > high)))
        rows.append(
            {
                "layer": name,
                "low": low,
                "high": high,
                "minimum": float(values.min()),
                "maximum": float(values.max()),
                "fraction_outside": outside,
            }
        )
    return pd.DataFrame(rows)


def fit_interval(values: Array) -> tuple[float, float]:
    """0.1 % and 99.9 % quantiles, widened by a tenth of the width; never empty."""
    low, high = np.quantile(values, [QUANTILE, 1 - QUANTILE])
    margin = max(WIDEN * (high - low), 0.05)
    return float(low - margin), float(high + margin)


def _fit_layer(
    name: str, layer: Polynomial, function: Callable[[Array], Array], values: Array, method: str
) -> dict[str, object]:
    interval = fit_interval(values)
    coefficients = FITS[method](function, values, interval, layer.degree)
    layer.initialise(coefficients.tolist(), interval)
    grid = np.linspace(*interval, GRID)
    error = np.abs(np.polynomial.polynomial.polyval(grid, coefficients) - function(grid))
    return {
        "layer": name,
        "low": interval[0],
        "high": interval[1],
        "degree": layer.degree,
        **{f"c{k}": c for k, c in enumerate(coefficients)},
        "max_error": float(error.max()),
        "rms_error": float(np.sqrt(np.mean(error**2))),
        "fraction_outside": float(np.mean((values < interval[0]) | (values > interval[1]))),
    }
