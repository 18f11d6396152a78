"""Toy sequences whose label is a change over time, and a budget of seconds."""

from __future__ import annotations

import pytest
from toy import make_toy

from heclstm_lib.config import ModelConfig, Setting, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget


@pytest.fixture(scope="session")
def parts() -> dict[str, SequenceSet]:
    """Training, validation and test set of distinct patients."""
    return {
        part: make_toy(24, seed, channels=3) for seed, part in enumerate(("train", "val", "test"))
    }


@pytest.fixture(scope="session")
def quick() -> MethodBudget:
    """Two epochs a setting."""
    return MethodBudget(
        TrainConfig(epochs=1, batch_size=12, symmetries=False),
        ModelConfig(conv_channels=(2,), kernel_size=3, stride=2, pool=2, hidden=3),
        settings=(Setting(1e-2, 1e-3),),
    )
