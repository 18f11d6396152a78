"""Our exact network in altered form or on altered frames, trained exactly as ours is.

For controls and variants: same configuration, epochs, rate, weight decay and augmentation as the
exact twin of the study, no setting tried beyond it, so that one thing differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.interface import Array
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.normalise import Normaliser, fit_normaliser, predict
from heclstm_lib.models.pretrain import pretrained
from heclstm_lib.models.train import train_model

View = Callable[[SequenceSet], SequenceSet]
"""What the network gets to see of a set."""


def whole(sequences: SequenceSet) -> SequenceSet:
    """Everything, unchanged."""
    return sequences


@dataclass(frozen=True)
class OurFitted:
    """A trained network of ours and the view of the sequences it was trained on."""

    model: ConvLSTM
    normaliser: Normaliser
    view: View = whole
    notes: dict[str, Any] = field(default_factory=dict)

    def scores(self, sequences: SequenceSet) -> Array:
        """Logits [n]."""
        return predict(self.model, self.normaliser, self.view(sequences))[0]


def fit_ours(
    network: ConvLSTM, sets: dict[str, SequenceSet], budget: MethodBudget, view: View = whole
) -> OurFitted:
    """Train on the view of sets["train"], choosing the epoch on that of sets["val"]."""
    seen = {part: view(sets[part]) for part in ("train", "val")}
    train = budget.train
    start = pretrained(network, seen["train"], train)
    result = train_model(
        start, seen, train, epochs=train.epochs, rate=train.learning_rate, progress=False
    )
    best = result.history.loc[result.best_epoch - 1]
    notes = {
        "setting": f"ours: rate {train.learning_rate:g}, decay {train.weight_decay:g}",
        "val_auc": float(best.val_auc),
        "epoch": f"{result.best_epoch} of {train.epochs}",
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
    }
    return OurFitted(result.model, fit_normaliser(seen["train"]), view, notes)
