"""One data set's sequences and the folder where its stages leave their artefacts.

fold<k>/exact.pt, polynomial.pt (models), setting.json (what a search chose), plan.npz,
signature.json, encrypted/ (finished batches). Where folds are seeds, ensemble/ has the last three
of their mean.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from heclstm_lib.config import DatasetStudy, Setting, TrainConfig, to_dict
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import apply_split, find_split
from heclstm_lib.errors import ConfigError, TrainingError
from heclstm_lib.typed import build


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

    def changed(self, study: DatasetStudy, folder: Path) -> Self:
        """The same data set under another study, in another folder; read anew if it must be."""
        sequences = self.sequences
        if study.data != self.study.data:
            sequences = load_sequences(study.dataset, study.data, self.data)
        return dataclasses.replace(self, study=study, folder=folder, sequences=sequences)

    def train(self, fold: int) -> TrainConfig:
        """The fold's training: its own seed, and the setting its search chose, where there is one.

        Raises TrainingError where a search is declared and has not been made.
        """
        if not self.study.search:
            return self.base_train(fold)
        path = self.setting_path(fold)
        if not path.is_file():
            raise TrainingError(
                f"{path}: no setting was chosen for fold {fold} of '{self.study.dataset}' yet. "
                "Run notebook 02 first."
            )
        return with_setting(self.base_train(fold), load_setting(path))

    def base_train(self, fold: int) -> TrainConfig:
        """The study's training with the fold's own seed: no two models share their start."""
        return dataclasses.replace(self.study.train, seed=self.study.train.seed + fold)

    def setting_path(self, fold: int) -> Path:
        """Where a fold's search leaves the setting it chose."""
        return self.fold(fold) / "setting.json"

    def sets(self, fold: int) -> dict[str, SequenceSet]:
        """The fold's train, val and test sequences, split by patient."""
        return apply_split(self.sequences, fold, find_split(self.sequences, fold, self.data))


def with_setting(train: TrainConfig, setting: Setting) -> TrainConfig:
    """The same training under another setting."""
    changes = {key: value for key, value in to_dict(setting).items() if value is not None}
    return dataclasses.replace(train, **changes)


def load_setting(path: Path) -> Setting:
    """Read a chosen setting; ConfigError when it is none."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}). Delete it and run notebook 02.") from error
    setting: Setting = build(Setting, raw, path.name)
    return setting


def open_workspace(study: DatasetStudy, folder: Path, data: Path | None = None) -> Workspace:
    """Load the sequences of a study; `data` is the folder of fetched data (or a mirror)."""
    return Workspace(study, load_sequences(study.dataset, study.data, data), folder, data)
