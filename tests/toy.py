"""Toy sequences whose label is a change over time, small enough to train on in a second."""

from __future__ import annotations

import dataclasses

import numpy as np

from heclstm_lib.config import ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet, make_digest

FRAMES, CHANNELS, SIZE = 3, 1, 12
MODEL = ModelConfig(conv_channels=(2,), kernel_size=3, stride=2, pool=2, hidden=3)
TRAIN = TrainConfig(epochs=4, polynomial_epochs=3, batch_size=8, learning_rate=0.02, patience=10)


def make_toy(count: int, seed: int, frames: int = FRAMES, channels: int = CHANNELS) -> SequenceSet:
    """A bright centre on noise that brightens (label 1) or darkens (label 0); one patient each."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 2).astype(np.int64)
    shape = (count, frames, channels, SIZE, SIZE)
    values = 0.5 + 0.05 * rng.standard_normal(shape)
    slope = np.where(labels == 1, 0.4, -0.4)[:, None] * np.linspace(-0.5, 0.5, frames)
    values[..., 3:9, 3:9] += (slope + rng.uniform(-0.2, 0.2, (count, 1)))[:, :, None, None, None]
    names = tuple(f"P{seed}-{i}" for i in range(count))
    made = SequenceSet(
        name="toy",
        frames=np.clip(values, 0, 1).astype(np.float32),
        labels=labels,
        patient_ids=names,
        sequence_ids=names,
        frame_labels=(tuple(f"t{t}" for t in range(frames)),) * count,
        lengths=np.full(count, frames, dtype=np.int64),
        skipped=(),
        missing=(),
        digest="",
        scores=np.full(count, np.nan),
    )
    return dataclasses.replace(made, digest=make_digest(made))


def make_sets(count: int = 40) -> dict[str, SequenceSet]:
    """Training, validation and test set of distinct patients."""
    parts = enumerate(("train", "val", "test"), start=1)
    return {part: make_toy(count, seed) for seed, part in parts}
