"""Every method: fits without test patients, scores each sequence by itself, is deterministic."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from heclstm_lib.config import Setting, TrainConfig
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import ConfigError, DivergenceError, TrainingError
from heclstm_lib.methods import torch_training
from heclstm_lib.methods.budget import MIN_STEPS, MethodBudget
from heclstm_lib.methods.chabanne_cnn import NormalRelu
from heclstm_lib.methods.lrcn import Lrcn
from heclstm_lib.methods.multi_feature_svm import COLOUR_BINS, LEVELS, frame_features
from heclstm_lib.methods.registry import METHODS, Fitted, describe_methods, find_method
from heclstm_lib.methods.torch_training import TorchFitted, fit_torch, frames_as_sequences
from heclstm_lib.methods.two_stream import TwoStream, warp

Sets = dict[str, SequenceSet]
TORCH = ("lrcn", "two_stream", "chabanne_cnn", "bi_lstm")


@pytest.fixture(scope="module")
def fitted(parts: Sets, quick: MethodBudget) -> dict[str, Fitted]:
    """Every method, fitted without a test set."""
    seen = {part: parts[part] for part in ("train", "val")}
    return {name: method.fit(seen, quick) for name, method in METHODS.items()}


def has_backbone(made: Fitted) -> bool:
    return isinstance(made, TorchFitted) and hasattr(made.network, "backbone")


@pytest.mark.parametrize("name", METHODS)
def test_scores_depend_on_the_sequence_alone(
    name: str, fitted: dict[str, Fitted], parts: Sets
) -> None:
    test = parts["test"]
    scores = fitted[name].scores(test)
    assert scores.shape == (24,) and np.isfinite(scores).all()
    assert name == "class_prior" or name == "number_of_frames" or np.ptp(scores) > 0
    turned = fitted[name].scores(test.subset(np.arange(24)[::-1]))
    np.testing.assert_allclose(turned[::-1], scores, rtol=1e-4, atol=1e-5)
    alone = fitted[name].scores(test.subset(np.array([5])))
    np.testing.assert_allclose(alone, scores[5:6], rtol=1e-4, atol=1e-5)
    notes = fitted[name].notes
    assert 0 <= notes["val_auc"] <= 1 and notes["parameters"] > 0 and notes["setting"]


def test_no_two_methods_are_one_by_mistake(fitted: dict[str, Fitted], parts: Sets) -> None:
    scores = {name: fitted[name].scores(parts["test"]) for name in METHODS}
    constant = {"class_prior", "number_of_frames"}
    for one in scores:
        for other in set(scores) - {one} - constant:
            assert one in constant or not np.allclose(scores[one], scores[other]), (one, other)


@pytest.mark.parametrize("name", TORCH)
def test_fits_are_deterministic_and_follow_the_seed(
    name: str, fitted: dict[str, Fitted], parts: Sets, quick: MethodBudget
) -> None:
    again = METHODS[name].fit(parts, quick).scores(parts["test"])
    np.testing.assert_array_equal(again, fitted[name].scores(parts["test"]))
    other = dataclasses.replace(quick, train=dataclasses.replace(quick.train, seed=1))
    assert not np.allclose(METHODS[name].fit(parts, other).scores(parts["test"]), again)


@pytest.mark.parametrize("name", ["cnn3d", "temporal_rnn", "multi_view_lstm", "two_stream"])
def test_sequence_methods_learn_a_change_over_time(name: str, parts: Sets) -> None:
    budget = MethodBudget(
        TrainConfig(epochs=25, batch_size=12, symmetries=False), settings=(Setting(1e-2, 1e-3),)
    )
    scores = METHODS[name].fit(parts, budget).scores(parts["test"])
    assert roc_auc_score(parts["test"].labels, scores) > 0.9


@pytest.mark.parametrize("name", ["linear_svm", "gaussian_nb"])
def test_classical_methods_see_the_order_too(
    name: str, fitted: dict[str, Fitted], parts: Sets
) -> None:
    test = parts["test"]
    assert roc_auc_score(test.labels, fitted[name].scores(test)) > 0.9
    turned = dataclasses.replace(test, frames=test.frames[:, ::-1])
    assert roc_auc_score(test.labels, fitted[name].scores(turned)) < 0.1


@pytest.mark.parametrize(
    "name", ["cryptonets", "chabanne_cnn", "multi_column_cnn", "multi_feature_svm"]
)
def test_image_methods_vote_and_do_not_see_the_order(
    name: str, fitted: dict[str, Fitted], parts: Sets
) -> None:
    method, test = fitted[name], parts["test"]
    turned = dataclasses.replace(test, frames=test.frames[:, ::-1])
    np.testing.assert_allclose(method.scores(turned), method.scores(test), rtol=1e-4, atol=1e-5)
    single = method.scores(frames_as_sequences(test)).reshape(24, -1)
    np.testing.assert_allclose(single.mean(axis=1), method.scores(test), rtol=1e-4, atol=1e-5)


def test_methods_that_can_be_encrypted_have_polynomials_only(fitted: dict[str, Fitted]) -> None:
    smooth = (torch.nn.ReLU, torch.nn.Sigmoid, torch.nn.Tanh, torch.nn.MaxPool2d, torch.nn.LSTM)
    for name, method in METHODS.items():
        made = fitted[name]
        if method.encrypted and isinstance(made, TorchFitted):
            assert not [m for m in made.network.modules() if isinstance(m, smooth)], name


def test_normal_relu_is_the_least_squares_fit_under_the_normal() -> None:
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    weight = torch.exp(-x * x / 2)
    powers = torch.stack([x**k for k in range(3)], dim=1) * weight.sqrt()[:, None]
    target = torch.relu(x) * weight.sqrt()
    best = torch.linalg.lstsq(powers, target).solution
    found = NormalRelu()(torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64))
    expected = torch.stack([best[0], best.sum(), best[0] - best[1] + best[2]])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_frames_become_examples_of_their_sequence(parts: Sets) -> None:
    singles = frames_as_sequences(parts["train"])
    assert singles.frames.shape == (72, 1, 3, 12, 12) and len(set(singles.sequence_ids)) == 72
    np.testing.assert_array_equal(singles.frames[4, 0], parts["train"].frames[1, 1])
    assert singles.patient_ids[4] == parts["train"].patient_ids[1]
    assert singles.labels.tolist() == np.repeat(parts["train"].labels, 3).tolist()
    assert singles.frame_labels[4] == ("t1",) and singles.digest != parts["train"].digest


def test_small_sets_get_enough_steps() -> None:
    budget = MethodBudget(TrainConfig(epochs=60, batch_size=32))
    assert budget.epochs(1188) == 30
    assert budget.epochs(29) == MIN_STEPS * 60  # one batch an epoch
    config = budget.config(Setting(1e-3, 0.1), 30, 64)
    assert (config.learning_rate, config.weight_decay, config.patience) == (1e-3, 0.1, 10)
    assert config.augment == budget.train.augment and config.seed == budget.seed


def test_the_better_setting_on_validation_patients_is_kept(
    parts: Sets, quick: MethodBudget
) -> None:
    settings = (Setting(1e-5, 0.0), Setting(1e-2, 1e-3))
    both = dataclasses.replace(quick, settings=settings)
    single = [dataclasses.replace(quick, settings=(setting,)) for setting in settings]
    epochs = both.epochs(24)
    assert epochs == single[0].epochs(24)  # so that the trainings are the same ones
    areas = [fit_torch("lrcn", Lrcn, parts, each).notes for each in single]
    kept = fit_torch("lrcn", Lrcn, parts, both).notes
    assert kept == max(areas, key=lambda notes: (notes["val_auc"], -notes["val_loss"]))


def test_divergence_leaves_a_setting_out(
    parts: Sets, quick: MethodBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, rates = torch_training.train_model, []

    def diverge(*given: Any, rate: float, **options: Any) -> Any:
        rates.append(rate)
        if rate > limit:
            raise DivergenceError("far too fast")
        return train(*given, rate=rate, **options)

    monkeypatch.setattr(torch_training, "train_model", diverge)
    both = dataclasses.replace(quick, settings=(Setting(1e-1, 0.0), Setting(1e-2, 0.0)))
    limit = 0.05
    assert fit_torch("lrcn", Lrcn, parts, both).notes["setting"] == "rate 0.01, decay 0"
    limit = 0.005
    assert fit_torch("lrcn", Lrcn, parts, both).notes["setting"] == "rate 0.001, decay 0"
    limit = 0.0
    with pytest.raises(DivergenceError, match=r"'lrcn'.*every setting"):
        fit_torch("lrcn", Lrcn, parts, both)
    assert rates == [1e-1, 1e-2, 1e-1, 1e-2, 1e-3, 1e-1, 1e-2, 1e-3]


def test_warp_reads_along_the_flow() -> None:
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    flow = torch.zeros(1, 2, 6, 6)
    flow[:, 0] = 1.0  # x: one pixel to the right
    moved = warp(image, flow)[0, 0]
    torch.testing.assert_close(moved[:, :-1], image[0, 0, :, 1:], rtol=0, atol=1e-4)
    torch.testing.assert_close(moved[:, -1], image[0, 0, :, -1], rtol=0, atol=1e-4)


def test_the_motion_network_learns_from_the_images_alone() -> None:
    torch.manual_seed(0)
    network = TwoStream(1, 16, 2)
    still = torch.rand(8, 1, 1, 20, 20)
    x = torch.cat([still[..., 2:18, 4:20], still[..., 2:18, 2:18]], dim=1)  # moves by two pixels
    optimizer = torch.optim.Adam(network.motion.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        network(x)
        loss = network.take_auxiliary()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert not network.take_auxiliary().requires_grad  # handed over: the network can be copied


def test_descriptor_counts_what_it_should() -> None:
    cells = sum(level**2 for level in LEVELS)
    flat = np.full((2, 3, 12, 12), 0.5, dtype=np.float32)
    striped = flat.copy()
    striped[1, :, :, ::4] = 1.0  # vertical stripes: gradients along x only
    values = frame_features(striped)
    assert values.shape == (2, cells * (8 + 10 + 3 * COLOUR_BINS))
    phog = values[:, : 8 * cells].reshape(2, cells, 8) ** 2
    assert np.all(phog[0] == 0)
    np.testing.assert_allclose(phog[1, :, 0], 1.0)  # angle 0
    rest = values[:, 8 * cells :] ** 2
    np.testing.assert_allclose(rest.sum(axis=1), 4 * cells)  # shares of texture, L, a, b
    assert frame_features(flat[:, :1]).shape == (2, cells * (8 + 10 + COLOUR_BINS))
    deep = np.repeat(striped[:, :1], 4, axis=1)  # four slices: no colours, their mean counts
    np.testing.assert_allclose(frame_features(deep), frame_features(striped[:, :1]))


def test_weights_come_from_a_local_file(parts: Sets, quick: MethodBudget, tmp_path: Path) -> None:
    backbone = Lrcn(3, 12, 3).backbone
    torch.save(backbone.state_dict(), tmp_path / "lrcn.pt")
    budget = dataclasses.replace(quick, weights=tmp_path)
    with_file = fit_torch("lrcn", Lrcn, parts, budget)
    assert with_file.notes["weights"] == "from lrcn.pt"
    without = fit_torch("lrcn", Lrcn, parts, quick)
    assert without.notes["weights"] == "from scratch"
    assert not np.allclose(with_file.scores(parts["test"]), without.scores(parts["test"]))
    (tmp_path / "lrcn.pt").write_bytes(b"not weights")
    with pytest.raises(TrainingError, match=r"lrcn\.pt: not the weights of the backbone"):
        fit_torch("lrcn", Lrcn, parts, budget)
    torch.save({}, tmp_path / "temporal_rnn.pt")
    with pytest.raises(TrainingError, match="'temporal_rnn' has no backbone"):
        METHODS["temporal_rnn"].fit(parts, budget)


def test_the_table_names_every_method_and_its_source(fitted: dict[str, Fitted]) -> None:
    table = describe_methods(list(METHODS))
    assert table.method.tolist() == list(METHODS) and (table.source.str.len() > 5).all()
    assert set(table.kind) == {"sequence", "image", "classical", "control"}
    pretrained = table[table["pretrained weights"] != ""].method.tolist()
    assert pretrained == [name for name in METHODS if has_backbone(fitted[name])]
    with pytest.raises(ConfigError, match="unknown method 'lrnc'; there are: lrcn"):
        find_method("lrnc")
