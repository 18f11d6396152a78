"""The bundle of a trained model: one file, read back without executing anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import MODEL, make_toy

from heclstm_lib.errors import TrainingError
from heclstm_lib.models.checkpoint import TrainedModel, load_bundle, write_bundle
from heclstm_lib.models.normalise import fit_normaliser, predict
from heclstm_lib.models.train import make_model


@pytest.mark.parametrize("kind", ["exact", "polynomial"])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_bundle_scores_as_the_model_it_was_made_of(
    tmp_path: Path, kind: str, precision: torch.dtype
) -> None:
    sequences = make_toy(6, seed=1)
    model = make_model(MODEL, sequences, 0, kind).to(precision)
    written = TrainedModel(model, fit_normaliser(sequences), threshold=-0.125)
    write_bundle(written, tmp_path / "deep" / "model.pt")
    read = load_bundle(tmp_path / "deep" / "model.pt")
    assert read.threshold == -0.125
    assert read.model.config == MODEL and read.model.activation == kind
    assert not read.model.training
    for ours, theirs in zip(
        predict(model, written.normaliser, sequences),
        predict(read.model, read.normaliser, sequences),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_only_plain_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"format": 1, "state": Path("/")}, path)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_bundle(path)


def test_foreign_and_missing_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"format": 99, "state": {}}, path)
    with pytest.raises(TrainingError, match="not a model bundle of format 1"):
        load_bundle(path)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_bundle(tmp_path / "none.pt")
