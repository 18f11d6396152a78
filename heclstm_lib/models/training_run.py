"""One training in progress: an epoch, its validation, and the state a checkpoint carries."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heclstm_lib.config import TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import DivergenceError, TrainingError
from heclstm_lib.models.augment import augment
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.normalise import fit_normaliser

GRADIENT_NORM = 1.0
SKIPPED_SHARE = 0.25  # of an epoch: batches without a finite loss are left out up to here
LARGEST_SCORE = 32.0
"""Logits of a polynomial network beyond this are no verdict: they overflow the modulus at the open
end of a plan (compiler.chain). Polynomials have no bounds, and a score that grew a thousandfold may
still rank its sequence rightly, so that neither AUC nor loss object. Such an epoch is not kept."""
HISTORY = ("epoch", "train_loss", "val_loss", "val_auc", "penalty", "fraction_outside")


class Run:
    """One training in progress: everything that a checkpoint has to carry."""

    def __init__(
        self,
        model: ConvLSTM,
        sets: dict[str, SequenceSet],
        config: TrainConfig,
        epochs: int,
        rate: float,
        teacher: ConvLSTM | None = None,
    ) -> None:
        for part in ("train", "val"):
            if len(np.unique(sets[part].labels)) < 2:
                raise TrainingError(
                    f"train_model: the {part} set '{sets[part].name}' has one class only "
                    f"({len(sets[part].labels)} sequences). Use another fold or more data."
                )
        self.model, self.sets, self.config, self.epochs = model, sets, config, epochs
        self.rate = rate
        self.teacher = copy.deepcopy(teacher).eval() if teacher is not None else None
        self.normaliser = fit_normaliser(sets["train"])
        self.frames = torch.from_numpy(self.normaliser.apply(sets["train"].frames))
        self.labels = torch.from_numpy(sets["train"].labels).float()
        self.val_frames = torch.from_numpy(self.normaliser.apply(sets["val"].frames))
        positives = float(self.labels.sum())
        weight = (len(self.labels) - positives) / positives if config.class_weights else 1.0
        self.balance = torch.tensor(weight)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=rate, weight_decay=config.weight_decay
        )
        self.generator = torch.Generator().manual_seed(config.seed)
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {}

    def finished(self) -> bool:
        """All epochs done, or the best one is `patience` epochs ago."""
        stale = self.epoch - self.best.get("epoch", 0) >= self.config.patience
        return self.epoch >= self.epochs or (bool(self.best) and stale)

    def step(self) -> dict[str, float]:
        """Train one epoch, validate it, remember it if it is the best."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.epoch / self.epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * cosine
        self.epoch += 1
        loss, penalty = self._train_epoch()
        row = {"epoch": self.epoch, "train_loss": loss, **self._validate(), "penalty": penalty}
        row = {key: row[key] for key in HISTORY}
        self.history.append(row)
        key = (row["val_auc"], -row["val_loss"])
        better = not self.best or key > (self.best["auc"], -self.best["loss"])
        if better and self._bounded():
            state = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.best = {"auc": key[0], "loss": row["val_loss"], "epoch": self.epoch}
            self.best["state"] = state
        return row

    def _train_epoch(self) -> tuple[float, float]:
        self.model.train()
        sums, skipped = np.zeros(2), 0
        for index in self._batches():
            frames = self.frames[index]
            if self.config.augment:
                frames = augment(frames, self.generator, symmetries=self.config.symmetries)
            output = self.model(frames)
            loss = self._taught(frames, output.score, self._loss(output.score, self.labels[index]))
            total = loss + self.config.range_penalty * output.range_penalty
            if not torch.isfinite(total):  # one sequence far outside every interval is enough
                skipped += len(index)
                if skipped > SKIPPED_SHARE * len(self.labels):
                    self._check_finite(total)
                continue
            self.optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
            self.optimizer.step()
            sums += len(index) * np.array([loss.item(), output.range_penalty.item()])
        loss_mean, penalty_mean = (
            sums / (len(self.labels) - skipped)
        ).tolist()  # plain: checkpoints hold them
        return loss_mean, penalty_mean

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.labels), generator=self.generator)
        yield from order.split(self.config.batch_size)

    def _loss(self, score: Tensor, labels: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(score, labels, pos_weight=self.balance)

    def _taught(self, frames: Tensor, score: Tensor, loss: Tensor) -> Tensor:
        """The loss with its share of distillation: cross entropy with the teacher's outputs."""
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = torch.sigmoid(self.teacher(frames).score)
        share = self.config.distillation
        return (1 - share) * loss + share * binary_cross_entropy_with_logits(score, wanted)

    def _check_finite(self, total: Tensor) -> None:
        if not torch.isfinite(total):
            raise DivergenceError(
                f"train_model: the loss became {total.item()} in epoch {self.epoch} "
                f"({self.model.activation} twin, rate {self.rate}, "
                f"range_penalty {self.config.range_penalty}). Lower the learning rate, raise "
                "range_penalty, or use gate_degree 2; delete the checkpoint first."
            )

    def _validate(self) -> dict[str, float]:
        self.model.eval()
        labels = torch.from_numpy(self.sets["val"].labels).float()
        with torch.no_grad():
            output = self.model(self.val_frames)
        loss = self._loss(output.score, labels)
        self._check_finite(loss)
        return {
            "val_loss": loss.item(),
            "val_auc": float(roc_auc_score(labels.numpy(), output.score.numpy())),
            "fraction_outside": float(output.fraction_outside),
        }

    def _bounded(self) -> bool:
        """Whether all scores of training and validation frames are within LARGEST_SCORE."""
        if self.model.activation != "polynomial":
            return True
        self.model.eval()
        with torch.no_grad():
            scores = [self.model(frames).score for frames in (self.frames, self.val_frames)]
        return float(torch.cat(scores).abs().max()) <= LARGEST_SCORE

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `restore` goes on."""
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "history": self.history,
            "best": self.best,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over a `state`."""
        self.epoch, self.history, self.best = saved["epoch"], saved["history"], saved["best"]
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])

    def best_model(self) -> ConvLSTM:
        """The model with the weights of the best epoch, in evaluation mode.

        Raises DivergenceError where no epoch kept its scores within LARGEST_SCORE.
        """
        if not self.best:
            raise DivergenceError(
                f"train_model: in none of {self.epoch} epochs did all training and validation "
                f"scores stay within {LARGEST_SCORE:g} ({self.model.activation} twin, rate "
                f"{self.rate}). Lower the learning rate, raise range_penalty, or use gate_degree 2."
            )
        self.model.load_state_dict(self.best["state"])
        return self.model.eval()
