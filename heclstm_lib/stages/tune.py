"""Choose values of a profile without its test patients, for data sets with an official split.

Rows of the ablation grid are candidates. Each is trained and compared with the study as it stands
by cross-validation of the official training and validation patients, in the scheme of five-fold
sets: a part is held out, the next one chooses the epoch, the other three train. Test patients are
taken out before anything else. What is chosen so is then written into the profile by hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from heclstm_lib.config import to_dict
from heclstm_lib.data.make_splits import fit_parts
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.data.splits import FOLDS, OFFICIAL, apply_split, split_of_part
from heclstm_lib.errors import ConfigError
from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.grid import FULL, Row
from heclstm_lib.provenance import collect_provenance
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.ablations import run_row
from heclstm_lib.stages.methods import COLUMNS
from heclstm_lib.stages.training import train_folds
from heclstm_lib.stages.workspace import Workspace

TUNING = "tuning"
SEED = 7  # of the parts; no split of the study is made from it


@dataclass(frozen=True)
class TuningSpace(Workspace):
    """A workspace whose folds cut the training and validation patients and know no others."""

    @cached_property
    def known(self) -> SequenceSet:
        """The official training and validation sequences."""
        parts = Workspace.sets(self, self.study.folds[0])
        kept = np.isin(self.sequences.patient_ids, parts["test"].patient_ids, invert=True)
        return self.sequences.subset(kept)

    def sets(self, fold: int) -> dict[str, SequenceSet]:
        """train, val and the held-out part ("test"), all of known patients, split by patient."""
        labels: dict[str, int] = {}
        for patient, label in zip(self.known.patient_ids, self.known.labels, strict=True):
            labels[patient] = max(labels.get(patient, 0), int(label))
        parts = fit_parts(labels, SEED)
        table = {patient: split_of_part(part, fold) for patient, part in parts.items()}
        return apply_split(self.known, fold, table)


def tuning_space(space: Workspace, folder: Path, folds: int = FOLDS) -> TuningSpace:
    """The space for tuning a study on its first `folds` cross-validation folds.

    Raises ConfigError for a data set without an official split (its folds test every patient, so
    that no patient is left to tune on) and for a number of folds that is not 1 to 5.
    """
    name = space.study.dataset
    if name not in OFFICIAL:
        raise ConfigError(
            f"'{name}' has no official split: its folds test every patient, and nobody is left to "
            "tune on. List candidates under `search` in the profile: each fold then chooses on "
            "its own validation patients."
        )
    if not 1 <= folds <= FOLDS:
        raise ConfigError(f"folds: expected 1 to {FOLDS}, got {folds}.")
    study = dataclasses.replace(space.study, folds=tuple(range(folds)))
    return TuningSpace(study, space.sequences, folder, space.data)


def tune(space: TuningSpace, rows: Sequence[Row], store: ResultStore) -> pd.DataFrame:
    """Cross-validate rows of the grid and keep the table in `store` as tuning.candidates.

    One row each, the study itself ("full") first: says and the columns of `compare_methods`, of the
    polynomial twin on held-out patients. Finished rows are taken up. Raises ConfigError for a row
    that trains nothing.
    """
    idle = [row.name for row in rows if not row.trains]
    if idle:
        raise ConfigError(f"{', '.join(idle)}: such a row trains no network; it cannot be tuned.")
    own = train_folds(dataclasses.replace(space, folder=space.folder / FULL)).predictions
    own = own.query("part == 'test' and twin == 'polynomial'").assign(method=FULL)
    clear = [dataclasses.replace(row, also_encrypted=False) for row in rows]
    results = [run_row(space, row, space.folder) for row in clear]
    tables = [own[list(COLUMNS)], *(one.predictions for one in results if len(one.predictions))]
    table = compare_methods(pd.concat(tables, ignore_index=True), FULL, space.study.bootstrap)
    says = {row.name: row.says for row in rows} | {FULL: "the study as it stands"}
    table.insert(1, "says", table.method.map(says))
    store.write_table(f"{TUNING}.candidates", table)
    provenance = collect_provenance(
        config=to_dict(space.study),
        seeds={"parts": SEED, "training": space.study.train.seed},
        data_digests={space.study.dataset: space.known.digest},
    )
    diverged = {one.row.name: one.record["diverged"] for one in results if one.record["diverged"]}
    numbers = {"folds": len(space.study.folds), "diverged": diverged}
    store.write_result(TUNING, {"headline": [], "numbers": numbers, "provenance": provenance})
    return table
