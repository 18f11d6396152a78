"""Self-supervised pretraining on training frames: no label is read, no validation or test patient.

The composite of Srivastava et al., "Unsupervised Learning of Video Representations using LSTMs"
(ICML 2015, arXiv 1502.04681), at our size: from the features a_t of a frame a linear decoder has to
give back the frame, from the state h_t of the recurrence another has to foretell the next one. Both
frames are first averaged to PATCHES x PATCHES blocks. The decoders are thrown away; convolutions
and recurrence are what a training with labels then starts from.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, mse_loss

from heclstm_lib.config import TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.models.augment import augment
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.deterministic import deterministic
from heclstm_lib.models.normalise import fit_normaliser
from heclstm_lib.models.polynomial import range_records

PATCHES = 7  # blocks a side, for the decoders' targets
RATE = 3e-3  # of AdamW, constant


def pretrained(model: ConvLSTM, train: SequenceSet, config: TrainConfig) -> ConvLSTM:
    """`model` pretrained on these training sequences, or itself where no epochs are asked for."""
    if not config.pretrain_epochs:
        return model
    frames = fit_normaliser(train).apply(train.frames)
    return pretrain(model, torch.from_numpy(frames), config)[0]


def pretrain(model: ConvLSTM, frames: Tensor, config: TrainConfig) -> tuple[ConvLSTM, list[float]]:
    """A copy of `model`, pretrained for `config.pretrain_epochs`, and each epoch's mean loss.

    frames: normalised frames [B, T, C, H, W] of training patients. The loss is the mean squared
    error of both decoders, in units of the normalised frames' variance. The seed fixes decoders,
    order and augmentation.
    """
    model = copy.deepcopy(model).train()
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        task = _Composite(model, frames)
    optimizer = torch.optim.AdamW(task.parameters(), lr=RATE, weight_decay=config.weight_decay)

    def epoch() -> float:
        total = 0.0
        for index in torch.randperm(len(frames), generator=generator).split(config.batch_size):
            batch = frames[index]
            if config.augment:
                batch = augment(batch, generator, symmetries=config.symmetries)
            loss = task(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += len(index) * loss.item()
        return total / len(frames)

    with deterministic():
        return model, [epoch() for _ in range(config.pretrain_epochs)]


class _Composite(nn.Module):
    """The network's blocks and recurrence with two linear decoders; its output is the loss."""

    def __init__(self, model: ConvLSTM, frames: Tensor) -> None:
        super().__init__()
        self.model = model
        with torch.no_grad():
            features = model.features(frames[:1]).shape[-1]
        pixels = frames.shape[2] * PATCHES**2
        self.present = nn.Linear(features, pixels)
        self.future = nn.Linear(model.config.hidden, pixels)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction error, plus that of the next frame where there are two or more."""
        wanted = adaptive_avg_pool2d(x.flatten(0, 1), PATCHES).flatten(1)  # [B*T, C*P*P]
        wanted = wanted.unflatten(0, x.shape[:2])  # [B, T, C*P*P]
        a = self.model.features(x)  # [B, T, F]
        h = self.model.past_states(a)  # [B, T, H] or None
        range_records(self.model, x)  # of the gates: taken, so that the model can be copied
        loss = mse_loss(self.present(a), wanted)
        if h is None or x.shape[1] == 1:
            return loss
        return loss + mse_loss(self.future(h[:, :-1]), wanted[:, 1:])
