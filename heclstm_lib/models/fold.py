"""Fold a trained HE-friendly ConvLSTM (torch) into a FoldedNetwork (numpy, float64)."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from heclstm_lib.errors import PlanError
from heclstm_lib.models.blocks import Block
from heclstm_lib.models.convlstm import BiLSTM, ConvLSTM
from heclstm_lib.models.folded import (
    GATES,
    SRU_GATES,
    Array,
    FoldedLSTM,
    FoldedNetwork,
    GateForm,
)


def fold_network(model: ConvLSTM) -> FoldedNetwork:
    """Fold batch norm, pooling, polynomial coefficients, weighted unit and voting.

    Raises PlanError for the exact twin: only polynomials can be evaluated under CKKS.
    """
    if model.activation == "exact":
        raise PlanError(
            "fold_network got a model without polynomial activations; "
            "convert it first with models.calibrate.fit_polynomials."
        )
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        return _fold(model)


def _fold(model: ConvLSTM) -> FoldedNetwork:
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    forms = [_form(block.activation) for block in blocks]
    conv_weight, conv_bias = _stretched_convolution(blocks[0], forms[0])
    shape = _feature_shape(blocks[0], model.image_size)
    dense = []
    for number in range(1, len(blocks)):
        previous = (blocks[number - 1], forms[number - 1])
        matrix, bias, shape = _dense_block(blocks[number], forms[number], previous, shape)
        dense.append((matrix, bias))
    # `expand` undoes the last square's bookkeeping and pools: squares -> pooled features
    expand = _pooled(blocks[-1].pool, forms[-1], shape)
    votes = _votes(model)
    gates: tuple[GateForm, ...] = ()
    gate_input, gate_bias = np.zeros((4, 0, 0)), np.zeros((4, 0))
    gate_recurrent = np.zeros((4, 0, 0))
    if model.lstm is not None:
        gates = tuple(_form(model.lstm.gates[name]) for name in GATES)
        gate_input, gate_bias = _gate_maps(model.lstm.input, gates, expand, shape)
        gate_recurrent = _recurrent_maps(model.lstm.recurrent, gates)
    backward = None
    if isinstance(model.lstm, BiLSTM):
        maps = _gate_maps(model.lstm.backward_input, gates, expand, shape)
        backward = FoldedLSTM(*maps, _recurrent_maps(model.lstm.backward_recurrent, gates))
    if model.sru is not None:
        gates = tuple(_form(model.sru.gates[name]) for name in SRU_GATES)
        gate_input, gate_bias = _gate_maps(model.sru.input, gates, expand, shape)
        gate_recurrent = np.zeros((0, *gate_bias.shape[1:] * 2))
    spatial, temporal, score_bias = _score_maps(model, votes, expand, shape)
    return FoldedNetwork(
        frames=model.frames,
        image_size=model.image_size,
        stride=model.config.stride,
        conv_weight=conv_weight,
        conv_bias=conv_bias,
        dense=tuple(dense),
        gates=gates,
        gate_input=gate_input,
        gate_bias=gate_bias,
        gate_recurrent=gate_recurrent,
        spatial=spatial,
        temporal=temporal,
        bias=score_bias,
        recurrence=model.config.recurrence,
        backward=backward,
    )


def _form(activation: nn.Module) -> GateForm:
    return GateForm.from_coefficients(
        activation.effective_coefficients().detach().double().numpy()  # type: ignore[operator]
    )


def norm_affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch norm at inference as y = gain * x + offset, per channel, read off its values."""
    offset = norm(torch.zeros(1, norm.num_features, 1, 1, dtype=torch.float64)).flatten()
    gain = norm(torch.ones(1, norm.num_features, 1, 1, dtype=torch.float64)).flatten() - offset
    return gain, offset


def _stretched_convolution(block: Block, form: GateForm) -> tuple[Array, Array]:
    gain, offset = norm_affine(block.norm)
    weight = block.conv.weight * (form.stretch * gain)[:, None, None, None]
    return weight.numpy(), (form.stretch * offset + form.shift).numpy()


def _feature_shape(block: Block, image_size: int) -> tuple[int, int, int]:
    conv = block.conv
    grid = (image_size - conv.kernel_size[0]) // conv.stride[0] + 1
    return conv.out_channels, grid, grid


def _pooled(pool: nn.Module, form: GateForm, shape: tuple[int, int, int]) -> Callable[..., Tensor]:
    """Squares [n, V] -> activation values, pooled [n, O, Hq, Wq] (an affine map)."""

    def apply(squares: Tensor) -> Tensor:
        return pool(form.sign * squares.reshape(-1, *shape) + form.constant)

    return apply


def _dense_block(
    block: Block,
    form: GateForm,
    previous: tuple[Block, GateForm],
    shape: tuple[int, int, int],
) -> tuple[Array, Array, tuple[int, int, int]]:
    """A further block as one matrix from the squares of the block before it."""
    expand = _pooled(previous[0].pool, previous[1], shape)

    def apply(squares: Tensor) -> Tensor:
        return form.stretch * block.norm(block.conv(expand(squares))) + form.shift

    size = int(np.prod(shape))
    _, *out_shape = apply(torch.zeros(1, size, dtype=torch.float64)).shape
    matrix, bias = as_matrix(lambda x: apply(x).flatten(1), size)
    return matrix, bias, (out_shape[0], out_shape[1], out_shape[2])


def as_matrix(affine: Callable[[Tensor], Tensor], size: int) -> tuple[Array, Array]:
    """The matrix [out, size] and bias [out] of an affine map, read off the unit vectors."""
    bias = affine(torch.zeros(1, size, dtype=torch.float64))[0]
    columns = affine(torch.eye(size, dtype=torch.float64)) - bias
    return columns.T.numpy().copy(), bias.numpy().copy()


def _gate_maps(
    linear: nn.Linear,
    gates: tuple[GateForm, ...],
    expand: Callable[..., Tensor],
    shape: tuple[int, int, int],
) -> tuple[Array, Array]:
    """Input matrix [G, H, V] and bias [G, H] of stretched arguments; the SRU's g last, as is."""
    matrix, bias = as_matrix(lambda x: linear(expand(x).flatten(1)), int(np.prod(shape)))
    rows = len(GATES) if len(gates) == len(GATES) else len(SRU_GATES) + 1
    stretch, shift = np.ones(rows), np.zeros(rows)
    stretch[: len(gates)] = [gate.stretch for gate in gates]
    shift[: len(gates)] = [gate.shift for gate in gates]
    return (
        matrix.reshape(rows, len(bias) // rows, -1) * stretch[:, None, None],
        bias.reshape(rows, -1) * stretch[:, None] + shift[:, None],
    )


def _recurrent_maps(linear: nn.Linear, gates: tuple[GateForm, ...]) -> Array:
    hidden = linear.in_features
    weight = linear.weight.detach().numpy().reshape(len(gates), hidden, hidden)
    return weight * np.array([gate.stretch for gate in gates])[:, None, None]


def _votes(model: ConvLSTM) -> Array:
    """Weights of the frame scores [T]: softmax votes, or the last frame alone."""
    if model.config.voting != "last":
        return torch.softmax(model.voting.weight_logit, dim=0).numpy()
    return np.eye(model.frames)[-1]


def _score_maps(
    model: ConvLSTM,
    votes: Array,
    expand: Callable[..., Tensor],
    shape: tuple[int, int, int],
) -> tuple[Array, Array, float]:
    """spatial [T, V], temporal [T, H] and bias of the sequence score."""
    size = int(np.prod(shape))
    frame_weight = model.voting.frame.weight.detach().numpy()[0]
    alpha = np.ones(model.config.hidden)
    if model.config.lstm:
        alpha = np.zeros(model.config.hidden)
        if model.config.weighted_unit != "off":
            alpha = alpha + torch.sigmoid(model.weighted.alpha_logit).numpy()  # one, or one each
    bias = float(model.voting.frame.bias)
    spatial_row = np.zeros(size)
    if np.any(alpha):
        matrix, offset = as_matrix(lambda x: model.weighted.project(expand(x).flatten(1)), size)
        spatial_row = (frame_weight * alpha) @ matrix
        bias += float((frame_weight * alpha) @ offset)
    spatial = np.outer(votes, spatial_row)
    temporal = np.outer(votes, frame_weight * (1 - alpha))
    if isinstance(model.lstm, BiLSTM):  # h is the mean of both halves' states
        temporal = temporal / 2
    return spatial, temporal, bias
