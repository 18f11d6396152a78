"""Training of every method in torch: the loop of our own network, several settings tried.

A method's network maps normalised sequences x [B, T, C, H, W] to scores [B, S]; their mean is the
sequence's logit (S = T: frames that vote; S = 1: the sequence as a whole). The loop, with its
class-weighted cross entropy, its augmentation and its early stopping on the validation AUC (ties:
loss), is models.train.train_model, so that no method trains by rules of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from heclstm_lib.config import Setting
from heclstm_lib.data.sequences import SequenceSet, make_digest
from heclstm_lib.errors import DivergenceError
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.interface import Array
from heclstm_lib.methods.weights import load_backbone
from heclstm_lib.models.convlstm import ConvLSTM, ModelOutput
from heclstm_lib.models.normalise import Normaliser, fit_normaliser, predict
from heclstm_lib.models.train import train_model

NetworkMaker = Callable[[int, int, int], nn.Module]
"""(channels, image size, frames) -> network."""


class Scored(nn.Module):
    """A method's network with the interface of our own: what training and prediction ask of it."""

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        self.activation, self.config = name, name  # they name it in messages and digests
        self.network = network

    def forward(self, x: Tensor) -> ModelOutput:
        """Scores of normalised sequences x [B, T, C, H, W]; the penalty is an auxiliary loss."""
        scores = self.network(x)  # [B, S]
        zero = scores.new_zeros(())
        take = getattr(self.network, "take_auxiliary", None)
        penalty = zero if take is None else take()
        return ModelOutput(scores.mean(dim=1), scores, penalty, zero)


@dataclass(frozen=True)
class TorchFitted:
    """A trained network (evaluation mode) with the normalisation of its training patients."""

    model: Scored
    normaliser: Normaliser
    notes: dict[str, Any]

    @property
    def network(self) -> nn.Module:
        """The method's own network; of an image method its `layers` score one frame."""
        return self.model.network

    def scores(self, sequences: SequenceSet) -> Array:
        """Logits [n]."""
        return predict(cast(ConvLSTM, self.model), self.normaliser, sequences)[0]


def fit_torch(
    name: str,
    make: NetworkMaker,
    sets: dict[str, SequenceSet],
    budget: MethodBudget,
    per_frame: bool = False,
) -> TorchFitted:
    """Train one network for each setting of the budget and keep the best on sets["val"].

    `per_frame`: every training frame is an example with the label of its sequence, as for a method
    on single images; validation stays on sequences, whose frames vote. A setting whose loss
    diverges is left out; when all do, a tenth of the smallest rate is tried. Raises TrainingError
    (one class only) and DivergenceError (nothing converged).
    """
    trained = [_try(name, make, sets, budget, setting, per_frame) for setting in budget.settings]
    found = [fitted for fitted in trained if fitted is not None]
    if not found:
        slowest = min(budget.settings, key=lambda setting: setting.learning_rate)
        rescue = dataclasses.replace(slowest, learning_rate=slowest.learning_rate / 10)
        fitted = _try(name, make, sets, budget, rescue, per_frame)
        if fitted is None:
            raise DivergenceError(
                f"method '{name}': the loss diverged at every setting, the last at {rescue}. "
                "Try smaller learning rates in methods.budget."
            )
        found.append(fitted)
    return max(found, key=lambda fitted: (fitted.notes["val_auc"], -fitted.notes["val_loss"]))


def _try(
    name: str,
    make: NetworkMaker,
    sets: dict[str, SequenceSet],
    budget: MethodBudget,
    setting: Setting,
    per_frame: bool,
) -> TorchFitted | None:
    """One training, or None when it diverges."""
    train = sets["train"]
    _, frames, channels, _, size = train.frames.shape
    epochs, batch = budget.epochs(len(train)), budget.train.batch_size
    if per_frame:
        train, batch = frames_as_sequences(train), batch * frames
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(budget.seed)  # initial weights and dropout
        network = make(channels, size, frames)
        loaded = load_backbone(network, name, budget.weights)
        try:
            result = train_model(
                cast(ConvLSTM, Scored(name, network)),
                sets | {"train": train},
                budget.config(setting, epochs, batch),
                epochs=epochs,
                rate=setting.learning_rate,
                progress=False,
            )
        except DivergenceError:
            return None
    best = result.history.loc[result.best_epoch - 1]
    notes = {
        "setting": str(setting),
        "val_auc": float(best.val_auc),
        "val_loss": float(best.val_loss),
        "epoch": f"{result.best_epoch} of {epochs}",
        "parameters": sum(p.numel() for p in network.parameters()),
        "weights": loaded,
    }
    return TorchFitted(cast(Scored, result.model), fit_normaliser(train), notes)


def frames_as_sequences(sequences: SequenceSet) -> SequenceSet:
    """Every frame as a sequence of its own, T = 1, with its sequence's label and patient."""
    count, frames = sequences.frames.shape[:2]
    index = np.repeat(np.arange(count), frames)
    singles = sequences.subset(index)
    made = dataclasses.replace(
        singles,
        frames=sequences.frames.reshape(-1, 1, *sequences.frames.shape[2:]),
        sequence_ids=tuple(f"{name}#{t}" for name in sequences.sequence_ids for t in range(frames)),
        frame_labels=tuple((label,) for labels in sequences.frame_labels for label in labels),
        lengths=np.ones(len(index), dtype=np.int64),
    )
    return dataclasses.replace(made, digest=make_digest(made))
