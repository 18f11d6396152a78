"""Fold a trained image network (torch, quadratic activations) into a FoldedCnn."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from heclstm_lib.errors import PlanError
from heclstm_lib.models.cnn import FoldedCnn
from heclstm_lib.models.fold import as_matrix, norm_affine
from heclstm_lib.models.folded import Array, GateForm

AFFINE = (nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
          nn.Linear, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)  # fmt: skip
"""Layers that are affine at inference; every other layer must be a quadratic activation."""

SQUARE = GateForm(2, 1.0, 0.0, 1.0, 0.0, 0.0)


def fold_cnn(layers: Iterable[nn.Module], channels: int, image_size: int) -> FoldedCnn:
    """Fold layers in order, [n, C, H, W] to logits [n, 1] (of two classes: their difference).

    The first layer is a convolution, with batch norm or without, then an activation. Its padding
    becomes part of the image (`pad_images`). Batch norm, pooling, further convolutions and the
    activations' coefficients are folded into dense matrices around squares. Raises PlanError for
    any other shape of network.
    """
    parts = [copy.deepcopy(layer).double().eval() for layer in layers]
    with torch.no_grad():
        groups, forms = _split(parts)
        conv = _check_front(groups[0])
        padding = int(conv.padding[0])
        size = image_size + 2 * padding
        weight, bias = _convolution(conv, groups[0][1:], forms[0])
        grid = (size - weight.shape[-1]) // int(conv.stride[0]) + 1
        shape: tuple[int, ...] = (len(weight), grid, grid)
        if conv.in_channels != channels:
            raise PlanError(f"fold_cnn: the images have {channels} channels, {conv} does not.")
        dense = []
        for number, group in enumerate(groups[1:], start=1):
            form = forms[number] if number < len(forms) else None
            matrix, offset, shape = _dense(group, forms[number - 1], form, shape)
            dense.append((matrix, offset))
    dense[-1] = _one_logit(*dense[-1])
    return FoldedCnn(size, int(conv.stride[0]), weight, bias, tuple(dense))


def pad_images(images: Array, network: FoldedCnn) -> Array:
    """Normalised images [n, C, H, W] with the zeros that the first convolution pads with."""
    extra = (network.image_size - images.shape[-1]) // 2
    return np.pad(images, ((0, 0), (0, 0), (extra, extra), (extra, extra)))


def quadratic_form(activation: nn.Module) -> GateForm:
    """An activation as a completed square, its coefficients read off its values.

    Raises PlanError when it is not a polynomial of degree 2.
    """
    places = torch.tensor([0.0, 1.0, -1.0, 2.0, -3.0], dtype=torch.float64)
    values = copy.deepcopy(activation).double().eval()(places).detach().numpy()
    c = np.array([values[0], (values[1] - values[2]) / 2, (values[1] + values[2]) / 2 - values[0]])
    expected = c @ np.array([places.numpy() ** power for power in range(3)])
    if not np.allclose(values, expected, atol=1e-6) or abs(c[2]) < 1e-6:
        raise PlanError(
            f"fold_cnn: {type(activation).__name__} is neither an affine layer nor a polynomial of "
            "degree 2; only these can be evaluated with one square each."
        )
    return SQUARE if np.allclose(c, [0, 0, 1]) else GateForm.from_coefficients(c)


def _split(layers: list[nn.Module]) -> tuple[list[list[nn.Module]], list[GateForm]]:
    """Groups of affine layers, and the activation between each two."""
    groups: list[list[nn.Module]] = [[]]
    forms: list[GateForm] = []
    for layer in layers:
        if isinstance(layer, AFFINE):
            groups[-1].append(layer)
        else:
            forms.append(quadratic_form(layer))
            groups.append([])
    if not forms or not groups[-1]:
        raise PlanError(
            f"fold_cnn: {len(layers)} layers with {len(forms)} activations; expected a "
            "convolution, an activation and at least one affine layer after it."
        )
    return groups, forms


def _check_front(front: list[nn.Module]) -> nn.Conv2d:
    conv = front[0] if front else None
    plain = isinstance(conv, nn.Conv2d) and all(
        len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding)
    )
    others = [layer for layer in front[1:] if not isinstance(layer, nn.Identity)]
    norm_only = not others or (len(others) == 1 and isinstance(others[0], nn.BatchNorm2d))
    if not isinstance(conv, nn.Conv2d) or not plain or conv.groups > 1 or not norm_only:
        raise PlanError(
            f"fold_cnn: the first layers are {[type(layer).__name__ for layer in front]}; expected "
            "a square convolution without groups, then at most batch norm, then an activation."
        )
    return conv


def _convolution(conv: nn.Conv2d, rest: list[nn.Module], form: GateForm) -> tuple[Array, Array]:
    """Weight [O, C, k, k] and bias [O] of the first square's argument."""
    count = conv.out_channels
    gain, offset = torch.ones(count).double(), torch.zeros(count).double()
    for layer in rest:
        if isinstance(layer, nn.BatchNorm2d):
            gain, offset = norm_affine(layer)
    if conv.bias is not None:
        offset = offset + gain * conv.bias
    stretched = conv.weight * (form.stretch * gain)[:, None, None, None]
    return stretched.numpy(), (form.stretch * offset + form.shift).numpy()


def _dense(
    group: list[nn.Module], before: GateForm, after: GateForm | None, shape: tuple[int, ...]
) -> tuple[Array, Array, tuple[int, ...]]:
    """Affine layers from the squares of `before` to the argument of the square of `after`."""
    after = after or SQUARE
    layers = nn.Sequential(*group)

    def apply(squares: Tensor) -> Tensor:
        values = layers(before.sign * squares.reshape(-1, *shape) + before.constant)
        result: Tensor = after.stretch * values + after.shift
        return result

    size = int(np.prod(shape))
    out_shape = tuple(apply(torch.zeros(1, size, dtype=torch.float64)).shape[1:])
    matrix, bias = as_matrix(lambda squares: apply(squares).flatten(1), size)
    return matrix, bias, out_shape


def _one_logit(matrix: Array, bias: Array) -> tuple[Array, Array]:
    """One logit; of two classes the second's less the first's."""
    if len(bias) > 2:
        raise PlanError(f"fold_cnn: the network has {len(bias)} outputs, expected a diagnosis.")
    if len(bias) == 2:
        return matrix[1:] - matrix[:1], bias[1:] - bias[:1]
    return matrix, bias
