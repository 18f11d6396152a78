"""The budget every method gets: how long it trains and which settings it may try.

A method trains once for each of the study's `search`, or of SETTINGS where the study has none, and
all its trainings together are as long as those of our exact twin: as many epochs where we search
too, else half as many each. On small data sets an epoch is a handful of steps, so that there are at
least MIN_STEPS steps for each of our epochs. The setting, like the epoch, is chosen by the AUC on
the fold's validation patients.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

from heclstm_lib.config import DatasetStudy, ModelConfig, Setting, TrainConfig

MIN_STEPS = 5  # optimiser steps a training has at least, for each epoch of our exact twin


SETTINGS = (Setting(3e-3, 1e-2), Setting(1e-3, 1e-1))
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse regularisation (C) tried by support vector machines; as for the trivial baselines."""


@dataclass(frozen=True)
class MethodBudget:
    """Our own training (epochs, batch size, augmentation, patience, seed) and what may be tried.

    `model` is our network, for variants of it and controls. `weights` is a folder where
    <method>.pt holds the weights of a method's backbone, for methods published with pretrained
    ones; without it they train from scratch.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    settings: tuple[Setting, ...] = SETTINGS
    ours: int = 1  # how many settings our own network tried
    strengths: tuple[float, ...] = STRENGTHS
    weights: Path | None = None

    @property
    def seed(self) -> int:
        """Seed of initial weights, order, dropout and augmentation."""
        return self.train.seed

    def epochs(self, sequences: int) -> int:
        """Epochs of each training on this many training sequences (module docstring)."""
        batches = math.ceil(sequences / self.train.batch_size)
        share = math.ceil(self.train.epochs * self.ours / len(self.settings))
        return max(share, math.ceil(MIN_STEPS * self.train.epochs / batches))

    def config(self, setting: Setting, epochs: int, batch: int) -> TrainConfig:
        """Training of one setting; it stops when a third of the epochs brought nothing better."""
        return dataclasses.replace(
            self.train,
            epochs=epochs,
            batch_size=batch,
            learning_rate=setting.learning_rate,
            weight_decay=setting.weight_decay,
            patience=max(3, epochs // 3),
        )


def budget_of(study: DatasetStudy, weights: Path | None = None) -> MethodBudget:
    """The budget of a study's methods."""
    searched = study.search or SETTINGS
    ours = max(1, len(study.search))
    return MethodBudget(study.train, study.model, searched, ours=ours, weights=weights)
