"""Training: reproducible to the bit, resumable, and refusing what cannot work."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from heclstm_lib.config import ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import DataError, DivergenceError, TrainingError
from heclstm_lib.models import training_run
from heclstm_lib.models.checkpoint import TrainedModel, load_bundle, state_digest, write_bundle
from heclstm_lib.models.train import (
    TrainResult,
    fit_normaliser,
    make_model,
    predict,
    train_exact,
    train_model,
    train_polynomial,
)

Sets = dict[str, SequenceSet]


class Stopped(Exception):
    """Stands for a machine that is switched off."""


def stop_after(epoch: int) -> Callable[[dict[str, float]], None]:
    def on_epoch(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise Stopped

    return on_epoch


def assert_same(one: TrainResult, two: TrainResult) -> None:
    """Weights bitwise, history, best epoch."""
    assert state_digest(one.model) == state_digest(two.model)
    assert one.history.equals(two.history)
    assert one.best_epoch == two.best_epoch


def test_same_seed_same_bits(
    sets: Sets, tiny: ModelConfig, short: TrainConfig, exact: TrainResult
) -> None:
    torch.manual_seed(99)  # the global generator has no say ...
    before = torch.get_rng_state()
    assert_same(exact, train_exact(sets, tiny, short, progress=False))
    assert torch.equal(torch.get_rng_state(), before)  # ... and is left where it was
    other = train_exact(sets, tiny, dataclasses.replace(short, seed=1), progress=False)
    assert state_digest(other.model) != state_digest(exact.model)


def test_history_and_best_epoch(exact: TrainResult) -> None:
    history = exact.history
    assert history.epoch.tolist() == [1, 2, 3]
    best = history.sort_values(["val_auc", "val_loss"], ascending=[False, True]).epoch.iloc[0]
    assert exact.best_epoch == best
    assert not exact.model.training


def test_the_best_epochs_model_is_returned(exact: TrainResult, sets: Sets) -> None:
    scores, _ = predict(exact.model, fit_normaliser(sets["train"]), sets["val"])
    labels = sets["val"].labels
    area = np.mean(np.greater.outer(scores[labels == 1], scores[labels == 0]))
    assert area == pytest.approx(exact.history.val_auc[exact.best_epoch - 1])


def test_training_learns(sets: Sets, tiny: ModelConfig, short: TrainConfig) -> None:
    long = dataclasses.replace(short, epochs=40, patience=40, augment=False)
    history = train_exact(sets, tiny, long, progress=False).history
    assert history.train_loss.iloc[-5:].mean() < 0.8 * history.train_loss.iloc[:5].mean()


def test_patience_stops_early(sets: Sets, tiny: ModelConfig, short: TrainConfig) -> None:
    still = dataclasses.replace(short, epochs=9, patience=2, augment=False, weight_decay=0.0)
    start = make_model(tiny, sets["train"], 0, "exact")
    start.blocks[0].norm.momentum = 0.0  # nothing changes, so the first epoch stays the best
    result = train_model(start, sets, still, epochs=9, rate=0.0, progress=False)
    assert (len(result.history), result.best_epoch) == (3, 1)


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_exact_training_resumes_to_the_same_bits(
    epoch: int, sets: Sets, tiny: ModelConfig, short: TrainConfig, exact: TrainResult,
    tmp_path: Path,
) -> None:  # fmt: skip
    path, seen = tmp_path / "deep" / "exact.ckpt", []
    options = {"checkpoint": path, "progress": False}
    with pytest.raises(Stopped):
        train_exact(sets, tiny, short, on_epoch=stop_after(epoch), **options)
    resumed = train_exact(sets, tiny, short, on_epoch=seen.append, **options)
    assert [row["epoch"] for row in seen] == list(range(epoch + 1, 4))
    assert_same(exact, resumed)
    assert_same(exact, train_exact(sets, tiny, short, on_epoch=stop_after(1), **options))  # done
    assert [p.name for p in path.parent.iterdir()] == ["exact.ckpt"]  # no temporary file


def test_interrupted_polynomial_training_resumes_to_the_same_bits(
    sets: Sets, short: TrainConfig, exact: TrainResult, tmp_path: Path
) -> None:
    path = tmp_path / "polynomial.ckpt"
    whole = train_polynomial(exact.model, sets, short, progress=False)
    with pytest.raises(Stopped):
        train_polynomial(
            exact.model, sets, short, checkpoint=path, progress=False, on_epoch=stop_after(2)
        )
    resumed = train_polynomial(exact.model, sets, short, checkpoint=path, progress=False)
    assert_same(whole, resumed)
    assert whole.history.penalty.min() >= 0 and (whole.history.rate == 3e-3).all()


def test_foreign_checkpoint_is_refused(
    sets: Sets, tiny: ModelConfig, short: TrainConfig, tmp_path: Path
) -> None:
    path = tmp_path / "exact.ckpt"
    once = dataclasses.replace(short, epochs=1)
    train_exact(sets, tiny, once, checkpoint=path, progress=False)
    swapped = sets | {"val": sets["test"]}
    for given, train in [
        (sets, dataclasses.replace(once, seed=1)),
        (sets, dataclasses.replace(once, learning_rate=0.1)),
        (sets, dataclasses.replace(once, epochs=2)),
        (swapped, once),
    ]:
        with pytest.raises(TrainingError, match=r"belongs to another training.*Delete it"):
            train_exact(given, tiny, train, checkpoint=path, progress=False)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="cannot be read"):
        train_exact(sets, tiny, once, checkpoint=path, progress=False)


@pytest.mark.parametrize("part", ["train", "val"])
def test_one_class_only_is_refused(
    part: str, sets: Sets, tiny: ModelConfig, short: TrainConfig
) -> None:
    one = sets | {part: sets[part].subset(sets[part].labels == 1)}
    with pytest.raises(TrainingError, match=f"the {part} set 'embedded' has one class only"):
        train_exact(one, tiny, short, progress=False)


def test_divergence_restarts_at_a_quarter_of_the_rate(
    sets: Sets, short: TrainConfig, exact: TrainResult, tmp_path: Path
) -> None:
    fast = dataclasses.replace(short, polynomial_learning_rate=3.0)
    result = train_polynomial(
        exact.model, sets, fast, checkpoint=tmp_path / "p.ckpt", progress=False
    )
    [rate] = result.history.rate.unique()
    tries = round(np.log(3.0 / rate) / np.log(4))
    assert 1 <= tries <= 3 and rate == 3.0 / 4**tries
    assert np.isfinite(result.history.to_numpy()).all()
    # the same as starting there: the failed tries leave nothing behind
    direct = dataclasses.replace(short, polynomial_learning_rate=rate)
    again = train_polynomial(exact.model, sets, direct, progress=False)
    assert state_digest(result.model) == state_digest(again.model)


def test_divergence_after_the_last_try_is_an_error(
    sets: Sets, short: TrainConfig, exact: TrainResult
) -> None:
    wild = dataclasses.replace(short, polynomial_learning_rate=6400.0)
    with pytest.raises(DivergenceError, match=r"polynomial twin, rate 100\.0,.*Lower the learning"):
        train_polynomial(exact.model, sets, wild, progress=False)


def test_normaliser_uses_training_frames_and_checks_channels(sets: Sets) -> None:
    normaliser = fit_normaliser(sets["train"])
    frames = normaliser.apply(sets["train"].frames)
    assert abs(frames.mean()) < 1e-4 and abs(frames.std() - 1) < 1e-4
    flat = dataclasses.replace(sets["train"], frames=np.full_like(sets["train"].frames, 0.3))
    assert np.abs(fit_normaliser(flat).apply(flat.frames)).max() < 1e-6
    with pytest.raises(DataError, match="same colour"):
        normaliser.apply(np.zeros((2, 2, 3, 16, 16), np.float32))


@pytest.mark.parametrize("double", [False, True])
def test_bundle_round_trip(double: bool, sets: Sets, exact: TrainResult, tmp_path: Path) -> None:
    normaliser = fit_normaliser(sets["train"])
    model = make_model(exact.model.config, sets["train"], 4, "polynomial")
    model = model.double() if double else model
    write_bundle(TrainedModel(model, normaliser, 0.25), tmp_path / "sub" / "model.pt")
    read = load_bundle(tmp_path / "sub" / "model.pt")
    assert read.threshold == 0.25 and read.model.config == model.config
    assert not read.model.training and read.model.activation == "polynomial"
    for one, two in zip(
        predict(model, normaliser, sets["test"]),
        predict(read.model, read.normaliser, sets["test"]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_foreign_bundles_are_refused(sets: Sets, exact: TrainResult, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(TrainingError, match="cannot be read"):
        load_bundle(path)  # absent
    normaliser = fit_normaliser(sets["train"])
    write_bundle(TrainedModel(exact.model, normaliser, 0.0), path)
    whole = path.read_bytes()
    for content in (b"", b"hello\n", b"\x80\x02}q\x00.", b"PK\x03\x04junk", whole[:-200]):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"model\.pt"):
            load_bundle(path)
    for foreign in ({"format": 99, "state": {}}, {"format": 1}, [1, 2], exact.model):
        torch.save(foreign, path)
        with pytest.raises(TrainingError, match=r"model\.pt"):
            load_bundle(path)
    shutil.rmtree(tmp_path)


def test_an_epoch_of_exploding_scores_is_never_the_best(
    sets: Sets, short: TrainConfig, exact: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exploded score of an ill sequence ranks it rightly: AUC and loss alone would keep it."""
    calm = train_polynomial(exact.model, sets, short, progress=False)
    normaliser = fit_normaliser(sets["train"])
    largest = max(abs(predict(calm.model, normaliser, sets[p])[0]).max() for p in ("train", "val"))
    monkeypatch.setattr(training_run, "LARGEST_SCORE", largest * 1.001)
    assert_same(calm, train_polynomial(exact.model, sets, short, progress=False))
    monkeypatch.setattr(training_run, "LARGEST_SCORE", 1e-6)
    with pytest.raises(DivergenceError, match=r"in none of 3 epochs did .* stay within 1e-06"):
        train_polynomial(exact.model, sets, short, progress=False)
    train_exact(sets, exact.model.config, short, progress=False)  # no polynomials: no bound
