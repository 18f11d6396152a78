"""Run rows of the ablation grid, each finished row kept and taken up again.

In `rows_folder`: <row>/row.json and predictions.parquet, written last; beside them run-<digest>/
with checkpoints and models. A row that trains does so on every fold; a row that only changes the
encryption takes the study's own network of the first fold, trained where notebook 02 trains it.
Such a row, and one that trains and is `also_encrypted`, is evaluated encrypted on the first fold's
test sequences, at most the study's limit: those of the full network, for which it was planned too.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heclstm_lib.config import DatasetStudy, to_dict
from heclstm_lib.errors import ConfigError, DivergenceError
from heclstm_lib.files import replacing
from heclstm_lib.grid import Row, changing
from heclstm_lib.models.checkpoint import config_digest
from heclstm_lib.provenance import collect_provenance, source_digest
from heclstm_lib.results import to_json
from heclstm_lib.stages.methods import COLUMNS
from heclstm_lib.stages.row_facts import encrypt_row, first_fold, plan_row
from heclstm_lib.stages.training import train_folds
from heclstm_lib.stages.workspace import Workspace

FORMAT = 1  # of row.json; raise it when its content changes
TRAINING_SOURCE = (
    "data", "models", "stages/training.py", "stages/search.py", "evaluation/operating_point.py"
)  # fmt: skip
PLAN_SOURCE = ("compiler", "he")


@dataclass(frozen=True)
class RowResult:
    """A finished row: what row.json holds, and test predictions as of `score_table`.

    record: digest, changes, seconds (of the last start), provenance, `diverged` (why, or ""),
    `plan` (`plan_row`) and `encrypted` (`encrypt_row`; empty without). Predictions of a row
    that only encrypts have a column `encrypted`; there are none where training diverged or, in
    such a row, no plan fits.
    """

    row: Row
    record: dict[str, Any]
    predictions: pd.DataFrame


def rows_folder(out: Path, dataset: str) -> Path:
    """Where a study's rows of a data set lie."""
    return out / dataset / "work" / "ablations"


def run_rows(space: Workspace, rows: Sequence[Row], folder: Path) -> list[RowResult]:
    """`run_row` for each; ConfigError when there is none."""
    if not rows:
        raise ConfigError(
            f"the study of '{space.study.dataset}' lists no ablations; notebook 05 needs at least "
            "one under `ablations` in the profile (heclstm ablate --list names them)."
        )
    return [run_row(space, row, folder) for row in rows]


def run_row(space: Workspace, row: Row, folder: Path, progress: bool = True) -> RowResult:
    """Run one row of the study in `space`, or take it up from `folder` (`rows_folder`).

    It is taken up when data, splits, configuration and source are those it was made with; else an
    interrupted training goes on from its checkpoint. Raises ConfigError for a row that changes
    nothing here.
    """
    study, target = changing(row, space.study).apply(space.study), folder / row.name
    changed = space.changed(study, target)
    training = training_digest(changed)
    digest = row_digest(row, study, training)
    if (found := _load(row, target, digest)) is not None:
        return found
    own = dataclasses.replace(changed, folder=target / f"run-{training[:16]}")
    for old in target.glob("run-*"):
        if old != own.folder:
            shutil.rmtree(old)
    started = time.monotonic()
    record, predictions = _execute(space, own, row, progress)
    record |= {
        "format": FORMAT, "name": row.name, "axis": row.axis, "says": row.says, "digest": digest,
        "changes": row.changes, "seconds": round(time.monotonic() - started, 1),
        "provenance": collect_provenance(
            config=to_dict(study),
            seeds={"data": study.data.seed, "training": study.train.seed},
            data_digests={study.dataset: own.sequences.digest},
        ),
    }  # fmt: skip
    record = to_json(record, row.name)
    (target / "row.json").unlink(missing_ok=True)  # never beside another run's predictions
    with replacing(target / "predictions.parquet") as part:
        predictions.to_parquet(part)
    with replacing(target / "row.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return RowResult(row, record, predictions)


def training_digest(space: Workspace) -> str:
    """sha256 of all that decides the row's networks: sequences, splits, configuration, source."""
    study = space.study
    return config_digest(
        model=study.model, train=study.train, search=study.search, data=study.data,
        sets={fold: {k: v.digest for k, v in space.sets(fold).items()} for fold in study.folds},
        source=source_digest(*TRAINING_SOURCE),
    )  # fmt: skip


def row_digest(row: Row, study: DatasetStudy, training: str) -> str:
    """sha256 of all that decides a row's record: its networks and how they are planned."""
    return config_digest(
        format=FORMAT, training=training, he=study.he, encrypts=row.encrypts,
        source=source_digest(*PLAN_SOURCE),
    )  # fmt: skip


def _load(row: Row, target: Path, digest: str) -> RowResult | None:
    record, table = target / "row.json", target / "predictions.parquet"
    if not (record.is_file() and table.is_file()):
        return None
    found = json.loads(record.read_text(encoding="utf-8"))
    return RowResult(row, found, pd.read_parquet(table)) if found["digest"] == digest else None


def _execute(
    space: Workspace, own: Workspace, row: Row, progress: bool
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Everything of a row's record that is computed, and its predictions."""
    record: dict[str, Any] = {"diverged": "", "plan": {}, "encrypted": {}}
    try:
        predictions = _networks(space, own, row, progress)
    except DivergenceError as error:
        return record | {"diverged": str(error)}, pd.DataFrame(columns=list(COLUMNS))
    if not row.encrypts:
        return record | {"plan": plan_row(own)}, predictions
    encrypted, plan, facts = encrypt_row(own)
    if not row.trains:  # else the predictions of every fold count
        predictions = encrypted.assign(method=row.name)
    return record | {"plan": plan, "encrypted": facts}, predictions


def _networks(space: Workspace, own: Workspace, row: Row, progress: bool) -> pd.DataFrame:
    """Put the polynomial twins into the row's folder; the test predictions of those trained."""
    trained = own if row.trains else first_fold(space)
    table = train_folds(trained, progress).predictions
    if not row.trains:
        fold = trained.study.folds[0]
        with replacing(own.fold(fold) / "polynomial.pt") as part:
            shutil.copyfile(trained.fold(fold) / "polynomial.pt", part)
    table = table.query("part == 'test' and twin == 'polynomial'").assign(method=row.name)
    return table[list(COLUMNS)].reset_index(drop=True)
