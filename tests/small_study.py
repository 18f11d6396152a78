"""The smoke study in small: what tests of the stages train on."""

from __future__ import annotations

import dataclasses
from typing import Any

from heclstm_lib.config import DatasetStudy, load_profile


def small_study(epochs: int, polynomial_epochs: int, **changes: Any) -> DatasetStudy:
    """The smoke profile's study with 60 sequences and so many epochs; `changes` are its fields.

    `train` among them is a mapping of further fields of the training.
    """
    study: DatasetStudy = load_profile("smoke").study("embedded")
    train = {"epochs": epochs, "polynomial_epochs": polynomial_epochs} | changes.pop("train", {})
    return dataclasses.replace(
        study,
        data=dataclasses.replace(study.data, sequences=60),
        train=dataclasses.replace(study.train, **train),
        **changes,
    )
