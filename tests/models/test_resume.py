"""Interrupted and killed trainings go on to the bitwise same result; what the penalty does."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from toy import MODEL, TRAIN, make_sets, make_toy

from heclstm_lib.errors import TrainingError
from heclstm_lib.models.checkpoint import load_checkpoint, state_digest
from heclstm_lib.models.train import (
    TrainResult,
    fit_normaliser,
    make_model,
    predict,
    train_exact,
    train_polynomial,
)


def train(**options: Any) -> TrainResult:
    return train_exact(make_sets(), MODEL, TRAIN, progress=False, **options)


def assert_same(first: TrainResult, second: TrainResult) -> None:
    assert state_digest(first.model) == state_digest(second.model)
    pd.testing.assert_frame_equal(first.history, second.history, check_exact=True)
    assert first.best_epoch == second.best_epoch


@pytest.fixture(scope="module")
def exact() -> TrainResult:
    """The toy's exact twin, trained without interruption."""
    return train()


def test_same_seed_gives_the_same_model_whatever_the_global_generator(exact: TrainResult) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert_same(train(), exact)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_one_thread_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = torch.get_num_threads(), list[int]()
    torch.set_num_threads(2)
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        train(on_epoch=lambda _: seen.append(torch.get_num_threads()))
        assert set(seen) == {1} and torch.get_num_threads() == 2
        seen.clear()
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        train(on_epoch=lambda _: seen.append(torch.get_num_threads()))
        assert set(seen) == {2}
    finally:
        torch.set_num_threads(before)


def test_another_seed_gives_another_model(exact: TrainResult) -> None:
    other = train_exact(make_sets(), MODEL, dataclasses.replace(TRAIN, seed=1), progress=False)
    assert state_digest(other.model) != state_digest(exact.model)


class Stopped(Exception):
    """Stands for anything that ends a training from outside."""


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupted_training_resumes_to_the_same_result(
    tmp_path: Path, exact: TrainResult, epoch: int
) -> None:
    path = tmp_path / "runs" / "exact.ckpt"

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise Stopped

    with pytest.raises(Stopped):
        train(checkpoint=path, on_epoch=stop)
    seen: list[float] = []
    resumed = train(checkpoint=path, on_epoch=lambda row: seen.append(row["epoch"]))
    assert seen == list(range(epoch + 1, TRAIN.epochs + 1))
    assert_same(resumed, exact)
    finished: list[float] = []
    assert_same(train(checkpoint=path, on_epoch=lambda row: finished.append(row["epoch"])), exact)
    assert finished == []
    assert [p.name for p in path.parent.iterdir()] == ["exact.ckpt"]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from toy import MODEL, TRAIN, make_sets
from heclstm_lib.models.train import train_exact
def kill(row):
    if row["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
train_exact(make_sets(), MODEL, TRAIN, progress=False, checkpoint=Path(sys.argv[1]), on_epoch=kill)
"""


def test_a_killed_process_loses_no_finished_epoch(tmp_path: Path, exact: TrainResult) -> None:
    path = tmp_path / "exact.ckpt"
    command = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parents[1])]
    ended = subprocess.run(command, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    seen: list[float] = []
    resumed = train(checkpoint=path, on_epoch=lambda row: seen.append(row["epoch"]))
    assert seen == [3, 4]
    assert_same(resumed, exact)


@pytest.mark.parametrize(
    "change",
    [
        {"train": dataclasses.replace(TRAIN, learning_rate=0.01)},
        {"model": dataclasses.replace(MODEL, hidden=4)},
        {"count": 42},
        {"train": dataclasses.replace(TRAIN, seed=3)},
    ],
)
def test_a_checkpoint_of_another_training_is_an_error(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "exact.ckpt"
    sets = make_sets()
    train_exact(sets, MODEL, TRAIN, progress=False, checkpoint=path)
    with pytest.raises(TrainingError, match=r"belongs to another training.*Delete it"):
        train_exact(
            make_sets(change.get("count", 40)),
            change.get("model", MODEL),
            change.get("train", TRAIN),
            progress=False,
            checkpoint=path,
        )


def test_a_truncated_checkpoint_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "exact.ckpt"
    train(checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(path, "")


def test_both_twins_learn_a_change_over_time() -> None:
    sets = make_sets(80)
    config = dataclasses.replace(TRAIN, epochs=25, polynomial_epochs=10, patience=25)
    exact = train_exact(sets, MODEL, config, progress=False)
    twin = train_polynomial(exact.model, sets, config, progress=False)
    normaliser = fit_normaliser(sets["train"])
    for result in (exact, twin):
        scores, _ = predict(result.model, normaliser, sets["test"])
        assert roc_auc_score(sets["test"].labels, scores) > 0.95
    assert twin.fits is not None and set(twin.fits.layer) >= {"lstm.gates.i", "lstm.gates.o"}


def test_the_range_penalty_keeps_activations_inside() -> None:
    """With the same start and batches, the penalised twin leaves its intervals less."""
    sets = make_sets()
    exact = train_exact(sets, MODEL, dataclasses.replace(TRAIN, epochs=8), progress=False).model
    penalties = []
    for weight in (0.0, 10.0):
        config = dataclasses.replace(
            TRAIN, range_penalty=weight, polynomial_epochs=8, polynomial_learning_rate=0.02
        )
        result = train_polynomial(exact, sets, config, progress=False)
        penalties.append(float(result.history.penalty.iloc[-1]))
    assert penalties[1] < 0.5 * penalties[0]


def test_a_diverging_twin_is_trained_again_with_a_lower_rate(tmp_path: Path) -> None:
    sets = make_sets()
    exact = train_exact(sets, MODEL, TRAIN, progress=False).model
    wild = dataclasses.replace(
        TRAIN, polynomial_learning_rate=2.0, range_penalty=0.0, augment=False
    )
    first = train_polynomial(
        exact, sets, wild, progress=False, checkpoint=tmp_path / "polynomial.ckpt"
    )
    rate = float(first.history.rate.iloc[0])
    assert rate < 2.0 and np.log(2.0 / rate) / np.log(4) == pytest.approx(
        round(np.log(2.0 / rate) / np.log(4))
    )
    again = train_polynomial(
        exact, sets, wild, progress=False, checkpoint=tmp_path / "polynomial.ckpt"
    )
    assert_same(first, again)


def test_predict_in_double_precision_and_in_batches() -> None:
    sequences = make_toy(300, seed=1)
    model = make_model(MODEL, sequences, 0, "polynomial").train()
    normaliser = fit_normaliser(sequences)
    single, frames = predict(model, normaliser, sequences)
    assert model.training  # as it was before
    assert single.dtype == frames.dtype == np.float64
    assert single.shape == (300,) and frames.shape == (300, 3)
    double, _ = predict(model.double(), normaliser, sequences)
    assert 0 < np.abs(double - single).max() < 1e-5
    part, _ = predict(model, normaliser, sequences.subset(np.arange(257, 260)))
    np.testing.assert_allclose(part, double[257:260], rtol=1e-12)
