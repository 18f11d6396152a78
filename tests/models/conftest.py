"""A tiny generated data set and a network that trains on it in a tenth of a second."""

from __future__ import annotations

import pytest

from heclstm_lib.config import DataConfig, ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import apply_split
from heclstm_lib.models.train import TrainResult, train_exact


@pytest.fixture(scope="session")
def sets() -> dict[str, SequenceSet]:
    """Train, val and test of 60 generated sequences, T = 2, 16 x 16, grey."""
    config = DataConfig(frames=2, image_size=16, colour="gray", sequences=60)
    return apply_split(load_sequences("embedded", config), 0)


@pytest.fixture(scope="session")
def tiny() -> ModelConfig:
    """One block of 4 channels, 4 hidden units."""
    return ModelConfig(conv_channels=(4,), kernel_size=5, stride=3, pool=2, hidden=4)


@pytest.fixture(scope="session")
def short() -> TrainConfig:
    """Three epochs, augmented, in batches that leave a remainder."""
    return TrainConfig(epochs=3, polynomial_epochs=3, batch_size=16)


@pytest.fixture(scope="session")
def exact(sets: dict[str, SequenceSet], tiny: ModelConfig, short: TrainConfig) -> TrainResult:
    """The exact twin, trained once; nobody changes it."""
    return train_exact(sets, tiny, short, progress=False)
