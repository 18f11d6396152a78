"""The flagship network of the benchmark: our ConvLSTM, folded, with fitted polynomials."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from heclstm_lib.config import ModelConfig
from heclstm_lib.models.calibrate import fit_polynomials
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.folded import FoldedLSTM, FoldedNetwork, GateForm

FIT_SEQUENCES = 64
"""Sequences whose pre-activations set the polynomials' intervals."""


def flagship_network(config: ModelConfig, frames: int, image_size: int, seed: int) -> FoldedNetwork:
    """An untrained network of gray frames with its polynomials fitted as for a trained one.

    Speed and precision depend on its shape and on the size of its values, not on its accuracy.
    torch's global generator decides the weights: seed it first.
    """
    exact = ConvLSTM(config, 1, image_size, frames, "exact").eval()
    _enliven(exact)
    sample = flagship_frames(FIT_SEQUENCES, frames, image_size, seed + 1)
    twin, _ = fit_polynomials(exact, sample.astype(np.float32))
    return fold_network(twin)


def _enliven(model: ConvLSTM) -> None:
    """Weights that spread gate arguments over their interval and logits over units.

    torch's initial weights leave every sequence near one logit, which a wrong circuit could hit.
    """
    recurrent = model.lstm if model.lstm is not None else model.sru
    gains: dict[str, float] = {"input": 3.0, "recurrent": 1.0}
    with torch.no_grad():
        for name, layer in recurrent.named_children() if recurrent is not None else ():
            if isinstance(layer, torch.nn.Linear):
                gain = gains[name.removeprefix("backward_")]
                layer.weight.normal_(0, gain / layer.in_features**0.5)
        model.weighted.project.weight.normal_(0, 3.0 / model.weighted.project.in_features**0.5)
        model.voting.frame.weight.normal_(0, 6.0 / model.config.hidden**0.5)


def flagship_frames(count: int, frames: int, image_size: int, seed: int) -> Any:
    """Normalised gray frames [count, T, 1, H, W]: mean 0, standard deviation 1."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (count, frames, 1, image_size, image_size))


def network_arrays(network: FoldedNetwork) -> dict[str, Any]:
    """A folded network as named arrays; `folded_network` is the way back."""
    arrays: dict[str, Any] = {}
    for field in dataclasses.fields(network):
        value = getattr(network, field.name)
        if field.name == "frames":
            arrays["frame_count"] = np.array(value)
        elif field.name == "gates":
            for part in dataclasses.fields(GateForm):
                arrays[f"gate_{part.name}"] = np.array([getattr(gate, part.name) for gate in value])
        elif field.name == "dense":
            for number, (matrix, bias) in enumerate(value):
                arrays |= {f"dense_matrix_{number}": matrix, f"dense_bias_{number}": bias}
        elif field.name == "backward":
            halves = vars(value) if value else {}
            arrays |= {f"backward_{name}": array for name, array in halves.items()}
        else:
            arrays[field.name] = np.asarray(value)
    return arrays


def folded_network(arrays: dict[str, Any]) -> FoldedNetwork:
    """The folded network of a flagship case."""
    parts = dataclasses.fields(GateForm)
    columns = [arrays[f"gate_{part.name}"].tolist() for part in parts]
    gates = [GateForm(*values) for values in zip(*columns, strict=True)]
    values: dict[str, Any] = {
        "frames": int(arrays["frame_count"]),
        "gates": tuple(gates),
        "dense": tuple(_dense(arrays)),
        "backward": _backward(arrays),
    }
    for field in dataclasses.fields(FoldedNetwork):
        if field.name not in values:
            array = arrays[field.name]
            values[field.name] = array if array.ndim else array.item()
    return FoldedNetwork(**values)


def _backward(arrays: dict[str, Any]) -> FoldedLSTM | None:
    """The half of a Bi-LSTM that reads backward, where there is one."""
    names = {f"backward_{field.name}": field.name for field in dataclasses.fields(FoldedLSTM)}
    found = {names[name]: array for name, array in arrays.items() if name in names}
    return FoldedLSTM(**found) if found else None


def _dense(arrays: dict[str, Any]) -> list[tuple[Any, Any]]:
    count = sum(name.startswith("dense_matrix_") for name in arrays)
    return [(arrays[f"dense_matrix_{i}"], arrays[f"dense_bias_{i}"]) for i in range(count)]
