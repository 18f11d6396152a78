"""The SRU: states stay weighted means, long sequences train, fit, fold and come back from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import make_toy

from heclstm_lib.config import DataConfig, ModelConfig, TrainConfig
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import apply_split
from heclstm_lib.models.calibrate import fit_polynomials, measure_ranges
from heclstm_lib.models.checkpoint import TrainedModel, load_bundle, write_bundle
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.normalise import fit_normaliser, predict
from heclstm_lib.models.polynomial import Share
from heclstm_lib.models.sru import SRU
from heclstm_lib.models.train import TrainResult, train_exact, train_polynomial

FRAMES = 16
SMALL = ModelConfig(conv_channels=(4,), kernel_size=5, stride=3, pool=2, hidden=4, recurrence="sru")


@pytest.fixture(scope="module")
def long_sets() -> dict[str, SequenceSet]:
    """Train, val and test of 60 generated sequences, T = 16, 16 x 16, grey."""
    config = DataConfig(frames=FRAMES, image_size=16, colour="gray", sequences=60)
    return apply_split(load_sequences("embedded", config), 0)


@pytest.fixture(scope="module")
def twins(long_sets: dict[str, SequenceSet]) -> dict[str, TrainResult]:
    """Both twins, trained for a few epochs on sixteen frames."""
    train = TrainConfig(epochs=4, polynomial_epochs=3, batch_size=16)
    exact = train_exact(long_sets, SMALL, train, progress=False)
    polynomial = train_polynomial(exact.model, long_sets, train, progress=False)
    return {"exact": exact, "polynomial": polynomial}


def test_cells_are_weighted_means_of_the_candidates() -> None:
    torch.manual_seed(0)
    gates = {"f": Share(2), "o": torch.nn.Identity()}
    gates["f"].initialise([0.3, 0.5, 0.4], (-4.0, 4.0))
    layer = SRU(3, 5, gates).double()
    with torch.no_grad():
        layer.input.weight[5:].zero_()
        layer.input.bias[5:] = 1.0  # o = 1 and every candidate 1: their mean is 1 at every frame
        h = layer(torch.randn(2, 32, 3, dtype=torch.float64))
    torch.testing.assert_close(h, torch.ones_like(h))


def test_the_first_frame_keeps_nothing() -> None:
    gates = {"f": torch.nn.Sigmoid(), "o": torch.nn.Sigmoid()}
    layer = SRU(3, 2, gates)
    a = torch.randn(4, 1, 3)
    _, o, g = layer.input(a).chunk(3, dim=-1)
    torch.testing.assert_close(layer(a), torch.sigmoid(o) * g)


def test_sixteen_frames_train_with_both_twins(
    long_sets: dict[str, SequenceSet], twins: dict[str, TrainResult]
) -> None:
    for result in twins.values():
        assert result.history.train_loss.iloc[-1] < result.history.train_loss.iloc[0]
        scores, _ = predict(result.model, fit_normaliser(long_sets["train"]), long_sets["test"])
        assert np.isfinite(scores).all() and scores.std() > 1e-3
    rates = twins["polynomial"].history.rate
    assert rates.iloc[0] == TrainConfig().polynomial_learning_rate  # not one restart


def test_fits_cover_the_two_gates(
    long_sets: dict[str, SequenceSet], twins: dict[str, TrainResult]
) -> None:
    frames = fit_normaliser(long_sets["train"]).apply(long_sets["train"].frames)
    twin, fits = fit_polynomials(twins["exact"].model, frames)
    assert fits.layer.tolist() == ["blocks.0.activation", "sru.gates.f", "sru.gates.o"]
    assert (fits.max_error < 0.2).iloc[1:].all()
    assert measure_ranges(twin, frames).layer.tolist() == fits.layer.tolist()
    x = torch.from_numpy(frames)
    with torch.no_grad():
        ours, theirs = (model(x).score for model in (twins["exact"].model, twin))
    assert (ours - theirs).abs().mean() < 0.3 * ours.std() + 0.1


@pytest.mark.parametrize("frames", [1, 2, 5, 32])
@pytest.mark.parametrize(
    "switches", [{}, {"gate_degree": 3}, {"weighted_unit": "off"}, {"lstm": False}], ids=str
)
def test_folded_scores_are_the_models(frames: int, switches: dict) -> None:
    torch.manual_seed(frames)
    sizes = {"conv_channels": (3,), "kernel_size": 3, "stride": 2, "hidden": 5}
    model = ConvLSTM(
        ModelConfig(**{**sizes, "recurrence": "sru", **switches}), 2, 12, frames, "polynomial"
    )
    model = model.double().eval()
    x = torch.randn(3, frames, 2, 12, 12, dtype=torch.float64)
    with torch.no_grad():
        expected = model(x).score.numpy()
    network = fold_network(model)
    np.testing.assert_allclose(network.scores(x.numpy()), expected, rtol=1e-9, atol=1e-9)
    assert network.recurrence == "sru" and network.gate_recurrent.size == 0
    assert network.hidden == (5 if switches.get("lstm", True) else 0)


def test_a_bundle_comes_back(tmp_path: Path, twins: dict[str, TrainResult]) -> None:
    sequences = make_toy(4, seed=1)
    model = twins["polynomial"].model
    write_bundle(TrainedModel(model, fit_normaliser(sequences), 0.5), tmp_path / "model.pt")
    read = load_bundle(tmp_path / "model.pt").model
    assert read.config == SMALL
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name
