"""One data set's sequences and the folder where its stages leave their artefacts.

fold<k>/exact.pt, polynomial.pt (models), plan.npz, signature.json, encrypted/ (finished batches).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.config import DatasetStudy, TrainConfig
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import apply_split, find_split


@dataclass(frozen=True)
class Workspace:
    """One data set's study, its sequences, and the folder of its artefacts."""

    study: DatasetStudy
    sequences: SequenceSet
    folder: Path
    data: Path | None = None

    def fold(self, number: int) -> Path:
        """The folder of one fold's artefacts."""
        return self.folder / f"fold{number}"

    def train(self, fold: int) -> TrainConfig:
        """The study's training with the fold's own seed: no two models share their start."""
        return dataclasses.replace(self.study.train, seed=self.study.train.seed + fold)

    def sets(self, fold: int) -> dict[str, SequenceSet]:
        """The fold's train, val and test sequences, split by patient."""
        return apply_split(self.sequences, fold, find_split(self.sequences, fold, self.data))


def open_workspace(study: DatasetStudy, folder: Path, data: Path | None = None) -> Workspace:
    """Load the sequences of a study; `data` is the folder of fetched data (or a mirror)."""
    return Workspace(study, load_sequences(study.dataset, study.data, data), folder, data)
