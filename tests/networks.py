"""Random folded networks of any size whose values stay bounded, and frames for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.folded import GATES, SRU_GATES, FoldedLSTM, FoldedNetwork, GateForm
from heclstm_lib.models.step import FoldedStep

QUADRATIC = np.array([0.5, 0.25, 0.05])
CUBIC = np.array([0.5, 0.2, 0.0, -0.01])


def make_network(
    frames: int = 2,
    hidden: int = 4,
    channels_out: int = 2,
    channels: int = 1,
    image_size: int = 12,
    kernel_size: int = 5,
    stride: int = 3,
    degree: int = 2,
    dense: tuple[int, ...] = (),
    seed: int = 0,
    recurrence: str = "lstm",
) -> FoldedNetwork:
    """A random network; hidden = 0 leaves the LSTM out, `dense` lists further blocks' sizes."""
    rng = np.random.default_rng(seed)
    grid = (image_size - kernel_size) // stride + 1
    width = channels_out * grid * grid
    blocks = []
    for outputs in dense:
        blocks.append(
            (rng.normal(0, 0.3 / np.sqrt(width), (outputs, width)), rng.normal(0, 0.1, outputs))
        )
        width = outputs
    coefficients = QUADRATIC if degree == 2 else CUBIC
    form = GateForm.from_coefficients(coefficients)
    taps = channels * kernel_size**2
    gates = SRU_GATES if recurrence == "sru" else GATES
    rows = len(SRU_GATES) + 1 if recurrence == "sru" else len(GATES)
    shift = np.zeros(rows)
    shift[: len(gates)] = form.shift
    network = FoldedNetwork(
        frames=frames,
        image_size=image_size,
        stride=stride,
        conv_weight=rng.normal(
            0, 1 / np.sqrt(taps), (channels_out, channels, kernel_size, kernel_size)
        ),
        conv_bias=rng.normal(0, 0.1, channels_out),
        dense=tuple(blocks),
        gates=(form,) * len(gates) if hidden else (),
        gate_input=rng.normal(0, 0.15 / np.sqrt(width), (rows, hidden, width)),
        gate_bias=rng.normal(0, 0.1, (rows, hidden)) + shift[:, None],
        gate_recurrent=rng.normal(
            0, 0.1 / np.sqrt(max(hidden, 1)), (0 if recurrence == "sru" else rows, hidden, hidden)
        ),
        spatial=rng.normal(0, 1 / np.sqrt(width), (frames, width)),
        temporal=rng.normal(0, 1, (frames, hidden)),
        bias=0.25,
        recurrence=recurrence,
    )
    if recurrence != "bi_lstm" or not hidden:
        return network
    maps = (network.gate_input, network.gate_bias, network.gate_recurrent)
    backward = FoldedLSTM(*(rng.permutation(values, axis=-1) for values in maps))
    return replace(network, backward=backward)


def make_frames(network: FoldedNetwork, count: int, seed: int = 1) -> np.ndarray:
    """Normalised frames [count, T, C, H, W] for a network."""
    shape = (count, network.frames, network.conv_weight.shape[1], network.image_size)
    return np.random.default_rng(seed).normal(0, 1, (*shape, network.image_size))


def assert_clear_agrees(network: FoldedNetwork, plan: Plan, count: int = 2) -> None:
    """Evaluated in clear, the plan gives the network's scores."""
    frames = make_frames(network, count)
    expected = network.scores(frames)
    assert np.isfinite(expected).all() and np.any(expected)
    np.testing.assert_allclose(evaluate_clear(plan, frames)[:, 0], expected, rtol=1e-9, atol=1e-9)


def make_step(inputs: int, hidden: int) -> FoldedStep:
    """A random LSTM step with cubic gates and a cubic tanh."""
    rng = np.random.default_rng(0)
    return FoldedStep.from_coefficients(
        rng.normal(0, 1 / np.sqrt(inputs), (4, hidden, inputs)),
        rng.normal(0, 0.5 / np.sqrt(hidden), (4, hidden, hidden)),
        rng.normal(0, 0.1, (4, hidden)),
        np.array([[0.5, 0.2, 0, -0.004]] * 2 + [[0, 0.7, 0, -0.02], [0.5, 0.2, 0, -0.004]]),
        np.array([0, 0.8, 0, -0.02]),
    )
