"""Choose a fold's training setting on its validation patients: nested, test patients unseen.

Every candidate trains both twins, with the fold's seed; the one with the highest validation AUC of
the polynomial twin is kept. Competing methods choose among the same settings on the same patients.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from heclstm_lib.config import Setting, TrainConfig, to_dict
from heclstm_lib.data.sequences import SequenceSet
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

    Columns: fold, setting, val_auc_exact, val_auc_polynomial, chosen. Among equals the first.
    """
    base = space.base_train(fold)
    trained: list[Twins] = []
    for number, setting in enumerate(space.study.search):
        folder = space.fold(fold) / f"search{number}"
        trained.append(train_twins(space, with_setting(base, setting), sets, folder, progress))
    areas = [{twin: best_auc(result) for twin, result in twins.items()} for twins in trained]
    best = max(range(len(areas)), key=lambda number: areas[number]["polynomial"])
    write_setting(space.study.search[best], space.setting_path(fold))
    rows = [
        {"fold": fold, "setting": str(setting), "val_auc_exact": area["exact"],
         "val_auc_polynomial": area["polynomial"], "chosen": number == best}
        for number, (setting, area) in enumerate(zip(space.study.search, areas, strict=True))
    ]  # fmt: skip
    return trained[best], pd.DataFrame(rows)


def best_auc(result: TrainResult) -> float:
    """Validation AUC of the epoch that was kept."""
    return float(result.history.set_index("epoch").val_auc[result.best_epoch])


def write_setting(setting: Setting, path: Path) -> None:
    """Leave a chosen setting for the stages that follow."""
    with replacing(path) as part:
        part.write_text(json.dumps(to_dict(setting)), encoding="utf-8")
