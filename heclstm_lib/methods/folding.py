"""Fitted methods in the form that the encrypted engine evaluates.

A method on single images is evaluated on every frame as an image of its own, and the client takes
the mean of the decrypted logits. The server could add them up: it is linear. But the slots of all
frames come back in one ciphertext either way, so that nothing is saved; rotations by frames would
need keys and time; and the published protocols end with one score an image. The price: the client
sees a logit a frame, not only their mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import PlanError
from heclstm_lib.methods.features import ScoreFitted
from heclstm_lib.methods.interface import Array, Fitted
from heclstm_lib.methods.layers import FrameVoting
from heclstm_lib.methods.torch_training import TorchFitted
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.fold_cnn import fold_cnn, pad_images
from heclstm_lib.models.integer_cnn import IntegerCnn, Integers, quantise_cnn
from heclstm_lib.models.score import FoldedScore

LARGEST_SCORE = 4.0
"""What the largest score of training and validation patients is scaled to: the last prime of every
plan has room for eight times as much (he.params.END_ROOM_BITS), and smaller ones lose precision."""


@dataclass(frozen=True)
class EncryptedForm:
    """A folded network, what the client encrypts for it, and how scores come back.

    `inputs` makes values [n * votes, 1, *shape] of n sequences; the score of a sequence is
    `factor` times the mean of its `votes` outputs.
    """

    network: FoldedCnn | FoldedScore
    inputs: Callable[[SequenceSet], Array]
    votes: int = 1
    factor: float = 1.0

    def voted(self, outputs: Array) -> Array:
        """Scores [n] of outputs [n * votes], as the client computes them after decryption."""
        return self.factor * np.asarray(outputs).reshape(-1, self.votes).mean(axis=1)

    def clear(self, sequences: SequenceSet) -> Array:
        """Scores [n] in float64: the reference of the encrypted ones."""
        return self.voted(self.network.outputs(self.inputs(sequences)[:, 0]))


def encrypted_form(fitted: Fitted, sets: dict[str, SequenceSet]) -> EncryptedForm:
    """Fold a fitted method; its scale is set on sets["train"] and sets["val"].

    Raises PlanError for a method that is neither a score on features nor a network on single
    frames with quadratic activations.
    """
    if isinstance(fitted, ScoreFitted):
        form = EncryptedForm(fitted.score, lambda s: fitted.features(s)[:, None])
    elif isinstance(fitted, TorchFitted) and isinstance(fitted.network, FrameVoting):
        form = _image_form(fitted, sets["train"])
    else:
        raise PlanError(
            f"a {type(fitted).__name__} cannot be evaluated encrypted; expected a score on "
            "features or a network on single frames. See `encrypted` in methods.registry."
        )
    parts = [form.network.outputs(form.inputs(sets[part])[:, 0]) for part in ("train", "val")]
    factor = float(np.abs(np.concatenate(parts)).max()) / LARGEST_SCORE or 1.0
    return replace(form, network=_divided(form.network, factor), factor=factor)


def _image_form(fitted: TorchFitted, train: SequenceSet) -> EncryptedForm:
    _, frames, channels, _, size = train.frames.shape
    network = fold_cnn(fitted.network.layers, channels, size)  # type: ignore[arg-type]

    def inputs(sequences: SequenceSet) -> Array:
        images = fitted.normaliser.apply(sequences.frames).astype(np.float64)
        return pad_images(images.reshape(-1, *images.shape[2:]), network)[:, None]

    return EncryptedForm(network, inputs, votes=frames)


def _divided(network: FoldedCnn | FoldedScore, factor: float) -> FoldedCnn | FoldedScore:
    if isinstance(network, FoldedScore):
        return network.divided(factor)
    *inner, (matrix, bias) = network.dense
    return replace(network, dense=(*inner, (matrix / factor, bias / factor)))


@dataclass(frozen=True)
class IntegerForm:
    """An image network in whole numbers, for BFV; frames vote as in EncryptedForm."""

    network: IntegerCnn
    padding: Integers  # [C]: what the network's padding is in whole numbers
    votes: int

    def inputs(self, sequences: SequenceSet) -> Integers:
        """Whole images [n * votes, C, H, W]."""
        frames = sequences.frames.astype(np.float64)
        images = self.network.quantised(frames.reshape(-1, *frames.shape[2:]))
        extra = (self.network.image_size - images.shape[-1]) // 2
        side = self.network.image_size
        padded = np.broadcast_to(
            self.padding[:, None, None], (len(images), len(self.padding), side, side)
        ).copy()
        padded[:, :, extra : side - extra, extra : side - extra] = images
        return padded

    def voted(self, outputs: Array) -> Array:
        """Scores [n] of the logits [n * votes] of single frames."""
        return np.asarray(outputs).reshape(-1, self.votes).mean(axis=1)


def integer_form(fitted: Fitted, sets: dict[str, SequenceSet]) -> IntegerForm:
    """Round a fitted image network to whole numbers, its normalisation included.

    Raises PlanError for any other method.
    """
    if not (isinstance(fitted, TorchFitted) and isinstance(fitted.network, FrameVoting)):
        raise PlanError(f"a {type(fitted).__name__} is no network on single frames.")
    form = _image_form(fitted, sets["train"])
    if not isinstance(form.network, FoldedCnn):
        raise PlanError("only an image network can be rounded to whole numbers.")
    mean = fitted.normaliser.mean.astype(np.float64)
    network = quantise_cnn(form.network, mean, fitted.normaliser.std.astype(np.float64))
    padding = network.quantised(mean)
    return IntegerForm(network, padding, form.votes)
