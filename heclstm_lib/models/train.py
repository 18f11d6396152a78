"""Training of either twin: deterministic given a seed, resumable after every epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from heclstm_lib.config import ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import DivergenceError
from heclstm_lib.models.calibrate import fit_polynomials
from heclstm_lib.models.checkpoint import (
    FORMAT,
    config_digest,
    load_checkpoint,
    state_digest,
    write_atomic,
)
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.deterministic import deterministic
from heclstm_lib.models.normalise import Normaliser, fit_normaliser, predict
from heclstm_lib.models.pretrain import pretrained
from heclstm_lib.models.training_run import Run

__all__ = ["Normaliser", "TrainResult", "fit_normaliser", "make_model", "predict", "train_exact",
           "train_model", "train_polynomial"]  # fmt: skip

RETRIES = 3


@dataclass(frozen=True)
class TrainResult:
    """The best epoch's model (evaluation mode) and the history, one row an epoch."""

    model: ConvLSTM
    history: pd.DataFrame  # columns HISTORY; penalty: training, fraction_outside: validation
    best_epoch: int
    fits: pd.DataFrame | None = None  # the polynomial fits the twin started from


def make_model(
    config: ModelConfig, sequences: SequenceSet, seed: int, activation: str = "exact"
) -> ConvLSTM:
    """A model for these sequences; the same seed gives the same weights, the global RNG stays."""
    _, frames, channels, _, image_size = sequences.frames.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvLSTM(config, channels, image_size, frames, activation)


def train_exact(
    sets: dict[str, SequenceSet], model: ModelConfig, train: TrainConfig, **options: Any
) -> TrainResult:
    """Train the exact twin on sets["train"], choosing the epoch on sets["val"].

    With `pretrain_epochs` it starts from the weights of `models.pretrain`. options: those of
    `train_model` (checkpoint, progress, on_epoch).
    """
    network = pretrained(make_model(model, sets["train"], train.seed), sets["train"], train)
    return train_model(
        network, sets, train, epochs=train.epochs, rate=train.learning_rate, **options
    )


def train_polynomial(
    exact: ConvLSTM, sets: dict[str, SequenceSet], train: TrainConfig, **options: Any
) -> TrainResult:
    """Fit the polynomials of a trained exact twin and train on with the range penalty.

    With `distillation` the exact twin is its teacher. Coefficients are trained along only if the
    configuration's fit is "learned". Polynomials have no bounds: when the loss diverges, training
    starts again from the fit with a quarter of the learning rate, at most RETRIES times (the
    history's column `rate` tells). Raises DivergenceError after that.
    """
    frames = fit_normaliser(sets["train"]).apply(sets["train"].frames)
    twin, fits = fit_polynomials(exact, frames)
    checkpoint: Path | None = options.pop("checkpoint", None)
    for attempt in range(RETRIES + 1):
        rate = train.polynomial_learning_rate / 4**attempt
        path = checkpoint.with_suffix(f".{attempt}.ckpt") if checkpoint is not None else None
        try:
            result = train_model(
                twin, sets, train, epochs=train.polynomial_epochs, rate=rate, checkpoint=path,
                teacher=exact, **options,
            )  # fmt: skip
        except DivergenceError:
            if attempt == RETRIES:
                raise
        else:
            break
    history = result.history.assign(rate=rate)
    return TrainResult(result.model, history, result.best_epoch, fits)


def train_model(
    model: ConvLSTM,
    sets: dict[str, SequenceSet],
    config: TrainConfig,
    *,
    epochs: int,
    rate: float,
    teacher: ConvLSTM | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> TrainResult:
    """Train a copy of `model` for at most `epochs`, stopping early on the validation AUC.

    Loss: cross entropy of the sequence score (class-weighted unless switched off) + range_penalty x
    penalty; with a `teacher`, the share `distillation` of it is the cross entropy with the
    teacher's probabilities (Hinton et al., arXiv 1503.02531). AdamW with a cosine from `rate` to 0.
    The best epoch has the highest AUC, among equals the lowest loss; one in which a polynomial twin
    has a score beyond LARGEST_SCORE is never the best. With a `checkpoint` path the state is
    written after every epoch, and a later call with the same arguments goes on from there to the
    bitwise same result. `on_epoch` gets each history row. Batches without a finite loss are left
    out, up to a quarter of an epoch. Raises TrainingError:
    one class only, foreign checkpoint, more non-finite losses than that; DivergenceError: no epoch
    could be kept.
    """
    if not config.distillation:
        teacher = None
    run = Run(copy.deepcopy(model), sets, config, epochs, rate, teacher)
    digest = config_digest(
        format=FORMAT,
        train=config,
        model=model.config,
        activation=model.activation,
        epochs=epochs,
        rate=rate,
        data=[sets["train"].digest, sets["val"].digest],
        start=state_digest(model),
        teacher=state_digest(teacher) if teacher is not None else "",
    )
    saved = load_checkpoint(checkpoint, digest) if checkpoint is not None else None
    if saved is not None:
        run.restore(saved)
    with (
        deterministic(),
        tqdm(
            total=epochs, initial=run.epoch, desc=f"train {model.activation}", disable=not progress
        ) as bar,
    ):
        while not run.finished():
            row = run.step()
            if checkpoint is not None:
                write_atomic({"digest": digest, **run.state()}, checkpoint)
            bar.update()
            bar.set_postfix(loss=f"{row['train_loss']:.3f}", val_auc=f"{row['val_auc']:.3f}")
            if on_epoch is not None:
                on_epoch(row)
    history = pd.DataFrame(run.history).astype({"epoch": int})
    return TrainResult(run.best_model(), history, run.best["epoch"])
