"""Normalisation with statistics of training frames, and prediction of scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import DataError
from heclstm_lib.models.convlstm import ConvLSTM

PREDICT_BATCH = 256


@dataclass(frozen=True)
class Normaliser:
    """Mean and standard deviation of each channel, [C], of the training frames."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def apply(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames [B, T, C, H, W] with mean 0 and deviation 1 on the training frames, float32."""
        if frames.ndim != 5 or frames.shape[2] != len(self.mean):
            raise DataError(
                f"Normaliser.apply: got frames of shape {frames.shape}, expected "
                f"[B, T, C={len(self.mean)}, H, W]. Read them with the data configuration "
                "of the training (same colour)."
            )
        shape = (1, 1, -1, 1, 1)
        return ((frames - self.mean.reshape(shape)) / self.std.reshape(shape)).astype(np.float32)


def fit_normaliser(train: SequenceSet) -> Normaliser:
    """Channel statistics of the training sequences; a constant channel keeps deviation 1."""
    frames = train.frames.astype(np.float64)
    std = frames.std(axis=(0, 1, 3, 4))
    std = np.where(std < 1e-6, 1.0, std)
    mean = frames.mean(axis=(0, 1, 3, 4))
    return Normaliser(mean.astype(np.float32), std.astype(np.float32))


def predict(
    model: ConvLSTM, normaliser: Normaliser, sequences: SequenceSet
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logits of the sequences [B] and of their frames [B, T], float64.

    They are computed in the model's own precision: `model.double()` first gives the float64
    reference that encrypted scores are compared with.
    """
    dtype = next(model.parameters()).dtype
    frames = torch.from_numpy(normaliser.apply(sequences.frames)).to(dtype)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = [model(batch) for batch in frames.split(PREDICT_BATCH)]
    model.train(was_training)
    scores = torch.cat([output.score for output in outputs]).double().numpy()
    return scores, torch.cat([output.frame_scores for output in outputs]).double().numpy()
