"""Toy sequences whose label is a change over time, and a budget of seconds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from heclstm_lib.config import ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet, make_digest
from heclstm_lib.methods.budget import MethodBudget, Setting

FRAMES, SIZE = 3, 12


def make_part(count: int, seed: int) -> SequenceSet:
    """Two channels of noise whose centre brightens (label 1) or darkens (label 0)."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int64)
    values = 0.5 + 0.05 * rng.standard_normal((count, FRAMES, 3, SIZE, SIZE))
    slope = np.where(labels == 1, 0.4, -0.4)[:, None] * np.linspace(-0.5, 0.5, FRAMES)
    values[..., 3:9, 3:9] += (slope + rng.uniform(-0.2, 0.2, (count, 1)))[:, :, None, None, None]
    names = tuple(f"P{seed}-{i}" for i in range(count))
    made = SequenceSet(
        name="toy",
        frames=np.clip(values, 0, 1).astype(np.float32),
        labels=labels,
        patient_ids=names,
        sequence_ids=names,
        frame_labels=(tuple(f"t{t}" for t in range(FRAMES)),) * count,
        lengths=np.full(count, FRAMES, dtype=np.int64),
        skipped=(),
        missing=(),
        digest="",
        scores=np.full(count, np.nan),
    )
    return dataclasses.replace(made, digest=make_digest(made))


@pytest.fixture(scope="session")
def parts() -> dict[str, SequenceSet]:
    """Training, validation and test set of distinct patients."""
    return {part: make_part(24, seed) for seed, part in enumerate(("train", "val", "test"))}


@pytest.fixture(scope="session")
def quick() -> MethodBudget:
    """Two epochs a setting."""
    return MethodBudget(
        TrainConfig(epochs=1, batch_size=12, symmetries=False),
        ModelConfig(conv_channels=(2,), kernel_size=3, stride=2, pool=2, hidden=3),
        settings=(Setting(1e-2, 1e-3),),
    )
