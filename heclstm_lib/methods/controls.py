"""Controls: what the data give away without the order of the frames, or without learning.

Regressions (models.baselines): class prior, number of frames, mean colour, mean image, best single
frame. Our exact network, trained as it is, with one thing taken away: all but the first or last
frame; the middle frames; the recurrence and the positions' weights (mean logit over frames); the
order of the frames (shuffled for every sequence, in training and test alike); the training of the
convolutions (frozen at random values). Where ours does not beat shuffled order or mean logit, the
data set does not show that order carries a signal.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from heclstm_lib.data.sequences import SequenceSet, make_digest
from heclstm_lib.methods.budget import MethodBudget
from heclstm_lib.methods.interface import Array
from heclstm_lib.methods.ours import OurFitted, View, fit_ours
from heclstm_lib.models.baselines import Features, fit_regression, frame_image
from heclstm_lib.models.train import make_model


@dataclass(frozen=True)
class RegressionFitted:
    """A logistic regression on a few numbers of a sequence."""

    features: Features
    model: Pipeline
    notes: dict[str, Any]

    def scores(self, sequences: SequenceSet) -> Array:
        """Logits [n]."""
        return np.asarray(self.model.decision_function(self.features(sequences)))


def regression(
    features: Features,
) -> Callable[[dict[str, SequenceSet], MethodBudget], RegressionFitted]:
    """The `fit` of a control that is a logistic regression on `features`."""

    def fit(sets: dict[str, SequenceSet], budget: MethodBudget) -> RegressionFitted:
        del budget  # the strengths tried are the baselines' own
        area, model = fit_regression(sets, features)
        return RegressionFitted(features, model, _regression_notes(area, model))

    return fit


def fit_best_frame(sets: dict[str, SequenceSet], budget: MethodBudget) -> RegressionFitted:
    """The regression on the single frame with the highest validation AUC."""
    frames = range(sets["train"].frames.shape[1])
    fitted = [regression(frame_image(t))(sets, budget) for t in frames]
    t = max(frames, key=lambda t: fitted[t].notes["val_auc"])
    notes = fitted[t].notes
    chosen = f"frame {t + 1} of {len(fitted)}, {notes['setting']}"
    return dataclasses.replace(fitted[t], notes=notes | {"setting": chosen})


def _regression_notes(area: float, model: Pipeline) -> dict[str, Any]:
    weights = model[-1].coef_.size
    return {"setting": f"C {model[-1].C:g}", "val_auc": area, "parameters": weights + 1}


def keep_frames(positions: tuple[int, ...]) -> View:
    """The view of some frames only; positions as in Python, -1 the last one."""

    def view(sequences: SequenceSet) -> SequenceSet:
        frames = sequences.frames[:, list(positions)]
        labels = tuple(tuple(row[t] for t in positions) for row in sequences.frame_labels)
        return _seen(sequences, frames, labels)

    return view


def shuffle_frames(seed: int) -> View:
    """The view with every sequence's frames in an order drawn from the seed and its name alone."""

    def view(sequences: SequenceSet) -> SequenceSet:
        count = sequences.frames.shape[1]
        orders = [_order(seed, name, count) for name in sequences.sequence_ids]
        frames = np.stack([f[order] for f, order in zip(sequences.frames, orders, strict=True)])
        labels = tuple(
            tuple(row[t] for t in order)
            for row, order in zip(sequences.frame_labels, orders, strict=True)
        )
        return _seen(sequences, frames, labels)

    return view


def _order(seed: int, name: str, count: int) -> np.ndarray:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(list(digest)).permutation(count)


def _seen(
    sequences: SequenceSet, frames: np.ndarray, labels: tuple[tuple[str, ...], ...]
) -> SequenceSet:
    made = dataclasses.replace(sequences, frames=frames, frame_labels=labels)
    return dataclasses.replace(made, digest=make_digest(made))


def fit_frames(
    sets: dict[str, SequenceSet], budget: MethodBudget, *, positions: tuple[int, ...]
) -> OurFitted:
    """Our exact network on some frames only."""
    view = keep_frames(positions)
    network = make_model(budget.model, view(sets["train"]), budget.seed)
    return fit_ours(network, sets, budget, view)


fit_first = partial(fit_frames, positions=(0,))
fit_last = partial(fit_frames, positions=(-1,))
fit_first_and_last = partial(fit_frames, positions=(0, -1))


def fit_shuffled(sets: dict[str, SequenceSet], budget: MethodBudget) -> OurFitted:
    """Our exact network on shuffled frames; validation and test are shuffled alike."""
    network = make_model(budget.model, sets["train"], budget.seed)
    return fit_ours(network, sets, budget, shuffle_frames(budget.seed))


def fit_mean_logit(sets: dict[str, SequenceSet], budget: MethodBudget) -> OurFitted:
    """Our network without recurrence and with equal votes: no frame knows of another."""
    config = dataclasses.replace(budget.model, lstm=False, voting="equal")
    return fit_ours(make_model(config, sets["train"], budget.seed), sets, budget)


def fit_frozen(sets: dict[str, SequenceSet], budget: MethodBudget) -> OurFitted:
    """Our exact network whose convolutions keep their random initial weights."""
    network = make_model(budget.model, sets["train"], budget.seed)
    network.blocks.requires_grad_(False)
    return fit_ours(network, sets, budget)
