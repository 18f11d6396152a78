"""Choose a fold's training setting on its validation patients: nested, test patients unseen.

Every candidate trains both twins, with the fold's seed; the one with the highest validation AUC of
the polynomial twin is kept. Competing methods choose among the same settings on the same patients.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pandas as pd

from heclstm_lib.config import Setting, TrainConfig, to_dict
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import DivergenceError
from heclstm_lib.files import replacing
from heclstm_lib.models.train import TrainResult, train_exact, train_polynomial
from heclstm_lib.stages.workspace import Workspace, with_setting

Twins = dict[str, TrainResult]


def train_twins(
    space: Workspace, train: TrainConfig, sets: dict[str, SequenceSet], folder: Path, progress: bool
) -> Twins:
    """Both twins under one setting; checkpoints in `folder`, from which a later call goes on."""
    model = space.study.model
    exact = train_exact(sets, model, train, checkpoint=folder / "exact.ckpt", progress=progress)
    polynomial = train_polynomial(
        exact.model, sets, train, checkpoint=folder / "polynomial.ckpt", progress=progress
    )
    return {"exact": exact, "polynomial": polynomial}


def search_setting(
    space: Workspace, fold: int, sets: dict[str, SequenceSet], progress: bool
) -> tuple[Twins, pd.DataFrame]:
    """The twins of the chosen setting, which is left in setting.json, and a row a candidate.

    Columns: fold, setting, val_auc_exact, val_auc_polynomial, chosen. Among equals the first. One
    whose training diverges has no areas; DivergenceError when all do.
    """
    base = space.base_train(fold)
    trained: dict[int, Twins] = {}
    for number, setting in enumerate(space.study.search):
        folder, train = space.fold(fold) / f"search{number}", with_setting(base, setting)
        with suppress(DivergenceError):
            trained[number] = train_twins(space, train, sets, folder, progress)
    if not trained:
        raise DivergenceError(
            f"fold {fold}: training diverged with all {len(space.study.search)} candidates of "
            "`search`. Give one with a lower polynomial_learning_rate."
        )
    best = max(trained, key=lambda number: best_auc(trained[number]["polynomial"]))
    write_setting(space.study.search[best], space.setting_path(fold))
    rows = []
    for number, setting in enumerate(space.study.search):
        twins = trained.get(number, {})
        areas = {f"val_auc_{twin}": best_auc(result) for twin, result in twins.items()}
        rows.append({"fold": fold, "setting": str(setting)} | areas | {"chosen": number == best})
    return trained[best], pd.DataFrame(rows)


def best_auc(result: TrainResult) -> float:
    """Validation AUC of the epoch that was kept."""
    return float(result.history.set_index("epoch").val_auc[result.best_epoch])


def write_setting(setting: Setting, path: Path) -> None:
    """Leave a chosen setting for the stages that follow."""
    with replacing(path) as part:
        part.write_text(json.dumps(to_dict(setting)), encoding="utf-8")
