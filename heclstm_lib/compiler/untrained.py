"""A study's network before training: enough to plan, time and size its encrypted evaluation."""

from __future__ import annotations

from heclstm_lib.config import DatasetStudy
from heclstm_lib.data.frames import check_config
from heclstm_lib.models.convlstm import ConvLSTM


def untrained_model(study: DatasetStudy) -> ConvLSTM:
    """The study's polynomial twin with initial weights."""
    data = study.data
    return ConvLSTM(
        study.model, check_config(data), data.image_size, data.frames, "polynomial"
    ).eval()
