"""Image networks fold to the same logits: padding, batch norm, quadratic activations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from heclstm_lib.errors import PlanError
from heclstm_lib.methods.chabanne_cnn import make_chabanne
from heclstm_lib.methods.cryptonets import make_cryptonets
from heclstm_lib.models.fold_cnn import fold_cnn, pad_images, quadratic_form
from heclstm_lib.models.polynomial import Polynomial


def trained(layers: nn.Sequential, channels: int, size: int) -> nn.Sequential:
    """Batch norms with statistics and coefficients of their own, as after training."""
    torch.manual_seed(0)
    for module in layers.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    layers.train()
    for _ in range(3):
        layers(torch.randn(16, channels, size, size))
    return layers.eval()


@pytest.mark.parametrize("make", [make_cryptonets, make_chabanne])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 20)])
def test_methods_fold_to_their_logits(make, channels: int, size: int) -> None:  # type: ignore[no-untyped-def]
    layers = trained(make(channels, size, 2).layers, channels, size)
    network = fold_cnn(layers, channels, size)
    images = torch.randn(5, channels, size, size, dtype=torch.float64)
    with torch.no_grad():
        expected = layers.double()(images).numpy()
    found = network.outputs(pad_images(images.numpy(), network))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert len(network.dense) == 2
    assert network.image_size == size + 2


def test_two_classes_become_one_logit() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), Polynomial(2), nn.Flatten(), nn.Linear(32, 2))
    images = torch.randn(4, 1, 6, 6)
    with torch.no_grad():
        both = layers(images).numpy()
    found = fold_cnn(layers, 1, 6).outputs(images.numpy().astype(np.float64))
    np.testing.assert_allclose(found[:, 0], both[:, 1] - both[:, 0], atol=1e-5)


def test_networks_that_are_not_quadratic_are_refused() -> None:
    with pytest.raises(PlanError, match="ReLU is neither"):
        quadratic_form(nn.ReLU())
    with pytest.raises(PlanError, match="Polynomial is neither"):
        quadratic_form(Polynomial(3))
    head = [nn.Flatten(), nn.Linear(32, 1)]
    with pytest.raises(PlanError, match="expected a square convolution"):
        fold_cnn([nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), Polynomial(2), *head], 1, 6)
    with pytest.raises(PlanError, match="at least one affine layer"):
        fold_cnn([nn.Conv2d(1, 2, 3), *head], 1, 6)
    with pytest.raises(PlanError, match="have 3 channels"):
        fold_cnn([nn.Conv2d(1, 2, 3), Polynomial(2), *head], 3, 6)
    with pytest.raises(PlanError, match="3 outputs"):
        fold_cnn([nn.Conv2d(1, 2, 3), Polynomial(2), nn.Flatten(), nn.Linear(32, 3)], 1, 6)
