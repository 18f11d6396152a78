"""The ablations, each a declared change of one thing in a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd

from heclstm_lib.config import DatasetStudy
from heclstm_lib.errors import ConfigError


def _model(**changes: Any) -> Callable[[DatasetStudy], DatasetStudy]:
    def change(study: DatasetStudy) -> DatasetStudy:
        return dataclasses.replace(study, model=dataclasses.replace(study.model, **changes))

    return change


def _data(**changes: Any) -> Callable[[DatasetStudy], DatasetStudy]:
    def change(study: DatasetStudy) -> DatasetStudy:
        return dataclasses.replace(study, data=dataclasses.replace(study.data, **changes))

    return change


def _second_block(study: DatasetStudy) -> DatasetStudy:
    return _model(conv_channels=(*study.model.conv_channels, 16))(study)


VARIANTS: dict[str, tuple[str, Callable[[DatasetStudy], DatasetStudy]]] = {
    "no_weighted_unit": ("weighted unit off: z_t = h_t", _model(weighted_unit=False)),
    "no_voting": ("voting off: the last frame's score decides", _model(voting=False)),
    "no_lstm": ("LSTM off: z_t = s_t, frames voted without order", _model(lstm=False)),
    "sru": ("gates that read the frame only, linear recurrence (SRU)", _model(recurrence="sru")),
    "cubic_gates": ("gates of degree 3 instead of 2", _model(gate_degree=3)),
    "two_blocks": ("a further convolutional block of 16 channels", _second_block),
    "frames_2": ("T = 2: first and last frame", _data(frames=2)),
    "single_frame": ("T = 1: the last frame alone", _data(frames=1)),
}
"""Name -> (what it changes, the change)."""


def apply_variant(study: DatasetStudy, name: str) -> DatasetStudy:
    """The study with one declared change; ConfigError names the variants there are."""
    if name not in VARIANTS:
        raise ConfigError(f"unknown ablation '{name}'; there are: {', '.join(VARIANTS)}.")
    return VARIANTS[name][1](study)


def describe_variants(names: tuple[str, ...]) -> pd.DataFrame:
    """One row a variant: name and what it changes. ConfigError for an unknown name."""
    unknown = sorted(set(names) - set(VARIANTS))
    if unknown:
        raise ConfigError(f"unknown ablation(s) {unknown}; there are: {', '.join(VARIANTS)}.")
    return pd.DataFrame(
        [(name, VARIANTS[name][0]) for name in names], columns=["variant", "what it changes"]
    )
