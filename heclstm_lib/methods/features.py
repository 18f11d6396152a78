"""Pooled features for classical methods: every frame averaged to a few pixels, standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.interface import Array
from heclstm_lib.models.baselines import pooled_images
from heclstm_lib.models.score import FoldedScore


def pooled_frames(sequences: SequenceSet) -> Array:
    """All frames averaged to p x p blocks (p <= 7) and joined, [n, T * C * p * p]."""
    count, frames = sequences.frames.shape[:2]
    images = sequences.frames.reshape(count * frames, *sequences.frames.shape[2:])
    return pooled_images(images.astype(np.float64)).reshape(count, -1)


@dataclass(frozen=True)
class Standardiser:
    """Mean and deviation [V] of training features; a constant feature keeps deviation 1."""

    mean: Array
    std: Array

    @classmethod
    def of(cls, features: Array) -> Standardiser:
        """Statistics of training features [n, V]."""
        std = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(std < 1e-9, 1.0, std))

    def apply(self, features: Array) -> Array:
        """Standardised features [n, V]."""
        return (features - self.mean) / self.std


@dataclass(frozen=True)
class ScoreFitted:
    """A score that is linear or quadratic in standardised pooled features.

    The client computes `features` in clear, as it normalises images for a network; the server
    evaluates `score` on them encrypted.
    """

    standardiser: Standardiser
    score: FoldedScore
    notes: dict[str, Any]

    def features(self, sequences: SequenceSet) -> Array:
        """Standardised pooled features [n, V]."""
        return self.standardiser.apply(pooled_frames(sequences))

    def scores(self, sequences: SequenceSet) -> Array:
        """Scores [n]."""
        return self.score.outputs(self.features(sequences))
