"""Tuning sees training and validation patients only, and keeps what it found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.config import DataConfig, DatasetStudy, ModelConfig, TrainConfig
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import ConfigError
from heclstm_lib.grid import load_grid
from heclstm_lib.results import ResultStore
from heclstm_lib.stages import tune as tuning
from heclstm_lib.stages.workspace import Workspace

STUDY = DatasetStudy(
    "embedded",
    DataConfig(frames=2, image_size=16, colour="gray", sequences=100),
    ModelConfig(conv_channels=(4,), hidden=4),
    TrainConfig(epochs=2, polynomial_epochs=2, patience=2),
    bootstrap=50,
)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuning.TuningSpace:
    """The generated set, its fold 0 taken for an official split."""
    monkeypatch.setattr(tuning, "OFFICIAL", frozenset({"embedded"}))
    whole = Workspace(STUDY, load_sequences("embedded", STUDY.data), tmp_path / "work")
    return tuning.tuning_space(whole, tmp_path / "tuning", folds=2)


def test_no_test_patient_is_read(space: tuning.TuningSpace) -> None:
    official = Workspace(space.study, space.sequences, space.folder).sets(0)
    tested = set(official["test"].patient_ids)
    held_out: list[str] = []
    for fold in range(5):
        sets = space.sets(fold)
        patients = [set(part.patient_ids) for part in sets.values()]
        assert not tested & set.union(*patients)
        assert sum(map(len, patients)) == len(set.union(*patients))  # by patient
        held_out += sets["test"].patient_ids
    known = {*official["train"].patient_ids, *official["val"].patient_ids}
    assert sorted(held_out) == sorted(known)  # each held out once


def test_the_table_is_kept_and_finished_rows_are_taken_up(
    space: tuning.TuningSpace, tmp_path: Path
) -> None:
    rows = [load_grid().rows[name] for name in ("sru", "single_frame")]
    store = ResultStore(tmp_path / "results")
    table = tuning.tune(space, rows, store)
    assert table.method.tolist() == ["full", "sru", "single_frame"]
    assert table.says.notna().all() and np.isnan(table.difference[0])
    record = json.loads((space.folder / "sru" / "row.json").read_text(encoding="utf-8"))
    assert record["encrypted"] == {}  # in a study this row is evaluated encrypted
    kept = (space.folder / "sru" / "row.json").stat().st_mtime_ns
    again = tuning.tune(space, rows, store)
    assert again.equals(table) and store.load_table("tuning.candidates").equals(table)
    assert (space.folder / "sru" / "row.json").stat().st_mtime_ns == kept
    assert store.load_results()["tuning"]["numbers"]["folds"] == 2


def test_what_cannot_be_tuned_is_refused(space: tuning.TuningSpace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scale_30: such a row trains no network"):
        tuning.tune(space, [load_grid().rows["scale_30"]], ResultStore(tmp_path))
    with pytest.raises(ConfigError, match="expected 1 to 5, got 6"):
        tuning.tuning_space(space, tmp_path, folds=6)
    small = dataclasses.replace(space, study=dataclasses.replace(STUDY, dataset="iarc"))
    with pytest.raises(ConfigError, match=r"no official split.*`search`"):
        tuning.tuning_space(small, tmp_path)
