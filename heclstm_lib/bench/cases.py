"""What every contender computes: networks and inputs from fixed seeds, with the expected outputs.

A case is one .npz file of float64 arrays and a `kind`, readable without this library:

cnn         the network of TenSEAL's tutorial 4: conv_weight [4, 1, 5, 5], conv_bias [4],
            dense1 [64, 256], bias1 [64], dense2 [10, 64], bias2 [10], stride, image_size,
            images [n, 1, 28, 28]; conv, square, dense1, square, dense2. The 256 features are
            channel * 64 + y * 8 + x.
lstm_step   gate_input [4, H, I], gate_recurrent [4, H, H], gate_bias [4, H] in the order i, f, g,
            o; gate_coefficients [4, 4] of the raw pre-activations (ascending, c2 = 0);
            cell_coefficients [4] (odd); x [n, I], h [n, H], c [n, H]; expected [n, 2H] = h', c'
            with c' = f c + i g and h' = o p(c').
flagship    the fields of models.folded.FoldedNetwork (its gates as gate_degree, gate_stretch,
            gate_shift, gate_sign, gate_inner, gate_constant, one entry a gate; its dense blocks as
            dense_matrix_0, dense_bias_0, ...), frame_count for its number of frames, and
            frames [n, T, C, H, W]; expected [n, 1], the logits.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heclstm_lib.bench.flagship import flagship_frames, flagship_network, network_arrays
from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import ConfigError
from heclstm_lib.files import replacing

Arrays = dict[str, Any]
GATE_INTERVAL = 4.0
"""Gate polynomials are fitted to sigmoid and tanh on [-4, 4]; pre-activations stay inside."""


@dataclass(frozen=True)
class CaseSpec:
    """What a case is made of; `rows` are its inputs, the largest batch a contender is given."""

    kind: str  # "cnn", "lstm_step" or "flagship"
    rows: int = 1
    seed: int = 2021
    frames: int = 4  # flagship only, as all below
    image_size: int = 28
    channels: int = 8
    hidden: int = 16
    gate_degree: int = 2
    recurrence: str = "lstm"

    def __post_init__(self) -> None:
        if self.kind not in MAKERS:
            raise ConfigError(f"case: kind {self.kind!r}, expected one of {', '.join(MAKERS)}.")
        if self.rows < 1:
            raise ConfigError(f"case: rows {self.rows}, expected at least 1.")

    @property
    def name(self) -> str:
        """A file name that tells cases apart."""
        text = repr(dataclasses.astuple(self)).encode()
        return f"{self.kind}-{self.rows}-{hashlib.sha256(text).hexdigest()[:10]}"


def make_case(spec: CaseSpec) -> Arrays:
    """The arrays of a case; the same on every machine up to the last bits of float64."""
    return {"kind": np.array(spec.kind)} | MAKERS[spec.kind](spec)


def write_case(spec: CaseSpec, folder: Path) -> Path:
    """Write a case into `folder` unless it is there; return its path."""
    path = folder / f"{spec.name}.npz"
    if not path.is_file():
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **make_case(spec))
    return path


def case_digest(arrays: Arrays) -> str:
    """sha256 over names, shapes and bytes of a case's arrays."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name}{array.shape}{array.dtype}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def load_case(path: Path) -> Arrays:
    """The arrays of a case file; ConfigError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no case file: {error}; delete it and run again.") from error
    if str(arrays.get("kind")) not in MAKERS:
        raise ConfigError(
            f"{path}: kind {arrays.get('kind')}, expected one of {', '.join(MAKERS)}."
        )
    return arrays


def _cnn(spec: CaseSpec) -> Arrays:
    rng = np.random.default_rng(spec.seed)
    stride, size = 3, 28
    arrays: Arrays = {
        "image_size": np.array(size),
        "stride": np.array(stride),
        "conv_weight": rng.normal(0, 1 / 5, (4, 1, 5, 5)),
        "conv_bias": rng.normal(0, 0.1, 4),
        "dense1": rng.normal(0, 1 / 16, (64, 256)),
        "bias1": rng.normal(0, 0.1, 64),
        "dense2": rng.normal(0, 1 / 8, (10, 64)),
        "bias2": rng.normal(0, 0.1, 10),
        "images": rng.uniform(-1, 1, (spec.rows, 1, size, size)),
    }
    return arrays | {"expected": cnn_outputs(arrays)}


def cnn_outputs(arrays: Arrays) -> Any:
    """Logits [n, 10] of the cnn case in float64."""
    stride, size = int(arrays["stride"]), arrays["conv_weight"].shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(arrays["images"], (size, size), (2, 3))
    windows = windows[:, :, ::stride, ::stride]  # [n, 1, P, P, k, k]
    maps = np.einsum("ncyxij,ocij->noyx", windows, arrays["conv_weight"], optimize=True)
    features = ((maps + arrays["conv_bias"][:, None, None]) ** 2).reshape(len(maps), -1)
    middle = (features @ arrays["dense1"].T + arrays["bias1"]) ** 2
    return middle @ arrays["dense2"].T + arrays["bias2"]


def _lstm_step(spec: CaseSpec) -> Arrays:
    rng = np.random.default_rng(spec.seed)
    inputs = hidden = 32
    sigmoid, tanh = fit_odd(lambda p: 1 / (1 + np.exp(-p)), 0.5), fit_odd(np.tanh, 0.0)
    arrays: Arrays = {
        "gate_input": rng.normal(0, 1 / np.sqrt(inputs), (4, hidden, inputs)),
        "gate_recurrent": rng.normal(0, 0.5 / np.sqrt(hidden), (4, hidden, hidden)),
        "gate_bias": rng.normal(0, 0.1, (4, hidden)),
        "gate_coefficients": np.array([sigmoid, sigmoid, tanh, sigmoid]),
        "cell_coefficients": tanh,
        "x": rng.uniform(-1, 1, (spec.rows, inputs)),
        "h": rng.uniform(-1, 1, (spec.rows, hidden)),
        "c": rng.uniform(-1, 1, (spec.rows, hidden)),
    }
    return arrays | {"expected": lstm_step_outputs(arrays)}


def fit_odd(function: Any, offset: float) -> Any:
    """Coefficients [offset, c1, 0, c3] of the least squares fit on the gates' interval."""
    points = np.linspace(-GATE_INTERVAL, GATE_INTERVAL, 801)
    matrix = np.stack([points, points**3], axis=1)
    c1, c3 = np.linalg.lstsq(matrix, function(points) - offset, rcond=None)[0]
    return np.array([offset, c1, 0.0, c3])


def lstm_arguments(arrays: Arrays) -> Any:
    """Raw pre-activations [n, 4, H] of the lstm_step case."""
    return (
        np.einsum("ghi,ni->ngh", arrays["gate_input"], arrays["x"])
        + np.einsum("ghk,nk->ngh", arrays["gate_recurrent"], arrays["h"])
        + arrays["gate_bias"]
    )


def lstm_step_outputs(arrays: Arrays) -> Any:
    """h' and c' [n, 2H] of the lstm_step case in float64."""
    powers = lstm_arguments(arrays)[..., None] ** np.arange(4)  # [n, 4, H, 4]
    gates = np.einsum("nghk,gk->gnh", powers, arrays["gate_coefficients"])
    i, f, g, o = gates
    cell = f * arrays["c"] + i * g
    output = np.polynomial.polynomial.polyval(cell, arrays["cell_coefficients"])
    return np.concatenate([o * output, cell], axis=1)


def _flagship(spec: CaseSpec) -> Arrays:
    config = ModelConfig(
        conv_channels=(spec.channels,), hidden=spec.hidden, gate_degree=spec.gate_degree,
        recurrence=spec.recurrence,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        network = flagship_network(config, spec.frames, spec.image_size, spec.seed)
    frames = flagship_frames(spec.rows, spec.frames, spec.image_size, spec.seed)
    expected = network.scores(frames)[:, None]
    return network_arrays(network) | {"frames": frames, "expected": expected}


MAKERS = {"cnn": _cnn, "lstm_step": _lstm_step, "flagship": _flagship}
