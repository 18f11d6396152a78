"""Compile one LSTM step in its two layouts; h' comes out in the slots that h went in.

Latency: h has period H on the whole feature axis, so a window that begins q places after a
multiple of H sees h shifted by q. With tiles 4 H + 1 places apart, tile q holds the diagonals of
all four gates that meet h shifted by q: one plaintext product and log2(H) folds make the packed
gate arguments, in the first tile. h' is masked there, in block f, where c lives too, and repeated
over the axis at the lowest level, where rotations are nearly free.

Throughput: one feature a ciphertext, products are weighted sums by scalars, no rotation at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heclstm_lib.compiler.builder import Builder
from heclstm_lib.compiler.finish import finish_plan
from heclstm_lib.compiler.gates import BLOCKS, ONES, gate_power
from heclstm_lib.compiler.linear import window_weights
from heclstm_lib.errors import PlanError
from heclstm_lib.he.packing import Layout, Vector, power_of_two
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.he.plan import Op, Plan
from heclstm_lib.models.folded import GateForm
from heclstm_lib.models.step import FoldedStep

STEP_DEPTH = 6
"""Products, square, cube, cell, its square beside o c, output."""

HOME = 1
"""The block, f's, where c and the masked h' live."""


def plan_step(step: FoldedStep, params: CkksParameters, sequences: int) -> Plan:
    """Plan one step for up to `sequences` sequences: values [n, 1, I + 2H] to outputs [n, 2H].

    One sequence uses the latency layout, as many as there are slots the throughput layout.
    Raises PlanError for another number, or a step that does not fit.
    """
    layout = Layout(params.slots, 1, power_of_two(sequences))
    builder = Builder(params, layout)
    if layout.features == 1:
        results, places = _scalar_step(step, builder)
    elif layout.lanes == 1:
        results, places = _window_step(step, builder)
    else:
        raise PlanError(
            f"LSTM step: {sequences} sequences, expected 1 (latency layout) or {params.slots} "
            "(one feature a ciphertext). Choose one of them."
        )
    return finish_plan(builder, 1, (step.inputs + 2 * step.hidden,), places, results)


Places = tuple[tuple[int, ...], ...]


def _scalar_step(step: FoldedStep, builder: Builder) -> tuple[list[Op], Places]:
    hidden, inputs = step.hidden, step.inputs
    with builder.layer("products"):
        features = [builder.input((place,)) for place in range(inputs + hidden)]
        cells = [builder.input((inputs + hidden + place,)) for place in range(hidden)]
        matrix = np.concatenate([step.gate_input, step.gate_recurrent], axis=2)
        sums = builder.weighted_sums(features, matrix.reshape(4 * hidden, -1))
        arguments = [
            builder.add_plain(builder.rescale(builder.required(value)), np.full((1, 1), bias))
            for value, bias in zip(sums, step.gate_bias.ravel(), strict=True)
        ]
    states, new_cells = [], []
    for place, cell in enumerate(cells):
        with builder.layer("gates"):
            i, f, g, o = (
                _gate(builder, arguments[gate * hidden + place], [step.gates[gate]])
                for gate in range(4)
            )
        with builder.layer("cell"):
            state, new_cell = _cell(builder, (i, f, g, o), cell, step.cell, ONES)
        states.append(state)
        new_cells.append(new_cell)
    return [*states, *new_cells], tuple((place,) for place in range(2 * hidden))


def _window_step(step: FoldedStep, builder: Builder) -> tuple[list[Op], Places]:
    layout, hidden = builder.layout, step.hidden
    period = power_of_two(max(hidden, step.inputs))
    rows = BLOCKS * period
    if (rows + 1) * (period - 1) + rows > layout.features:
        raise PlanError(
            f"LSTM step: windows of {period} tiles of {rows + 1} places do not fit a feature axis "
            f"of {layout.features}. Use a larger N or a smaller hidden size."
        )
    place = np.arange(layout.features)
    with builder.layer("products"):
        x = builder.input(_periodic(place % period, step.inputs, 0))
        h = builder.input(_periodic(place % period, hidden, step.inputs))
        home = np.where(place // period == HOME, place % period, period)
        cell = builder.input(_periodic(home, hidden, step.inputs + hidden))
        terms = builder.products(
            [
                (x, _windows(step.gate_input, period, layout)),
                (h, _windows(step.gate_recurrent, period, layout)),
            ]
        )
        argument = builder.rescale(builder.sum(terms))
        stride = (rows + 1) * layout.lanes
        argument = builder.fold(argument, period * stride, stride)
        argument = builder.add_plain(argument, layout.spread(_blocks(step, period).ravel()))
    with builder.layer("gates"):
        packed = _gate(builder, argument, step.gates, period)
        i, g = builder.rotate(packed, -period), builder.rotate(packed, period)
        o = builder.rotate(packed, 2 * period)
    with builder.layer("cell"):
        mask = layout.spread((home < hidden).astype(np.float64))
        state, new_cell = _cell(builder, (i, packed, g, o), cell, step.cell, mask)
    with builder.layer("repeat"):
        state = builder.repeat(state, -period, layout.features // period)
    cells = np.where(home < hidden, hidden + home, -1)
    states = np.where(place % period < hidden, place % period, -1)
    return [state, new_cell], (tuple(states.tolist()), tuple(cells.tolist()))


def _periodic(place: np.ndarray, count: int, first: int) -> list[int]:
    """Pattern: value first + place where place < count, else empty."""
    pattern: list[int] = np.where(place < count, first + place, -1).tolist()
    return pattern


def _windows(matrices: Vector, period: int, layout: Layout) -> Vector:
    """Constant [F, 1]: at row r of tile q the weight of value (r + q) mod period."""
    padded = np.zeros((BLOCKS, period, period))
    padded[:, : matrices.shape[1], : matrices.shape[2]] = matrices
    return layout.spread(window_weights(padded.reshape(-1, period), layout.features))


def _blocks(step: FoldedStep, period: int) -> Vector:
    """Biases [4, period]; places beyond H hold the gate's argument of zero."""
    padded = np.repeat([[gate.shift] for gate in step.gates], period, axis=1)
    padded[:, : step.hidden] = step.gate_bias
    return padded


def _gate(builder: Builder, argument: Op, forms: Sequence[GateForm], period: int = 1) -> Op:
    """Cubic gates y (y^2 + inner) + constant; several forms stand in blocks of `period` places."""

    def spread(name: str) -> Vector:
        return np.repeat([getattr(form, name) for form in forms], period)[:, None]

    return builder.add_plain(gate_power(builder, argument, spread("inner")), spread("constant"))


def _cell(
    builder: Builder, gates: Sequence[Op], cell: Op, weights: tuple[float, float], mask: Vector
) -> tuple[Op, Op]:
    """h' and c': h' = (c3 o c') (c'^2 + c1 / c3), the mask folded into c3; both at one level."""
    i, f, g, o = gates
    linear, cubic = weights
    ready = builder.lower(cell, i.level + 1)
    carried = builder.rescale(builder.multiply_plain(ready, ONES, scale=i.scale))
    new_cell = builder.reduce(builder.add(builder.multiply(f, carried), builder.multiply(i, g)))
    square = builder.add_plain(builder.square(new_cell), np.full((1, 1), linear / cubic))
    output = builder.rescale(
        builder.multiply_plain(o, cubic * mask, _output_scale(builder, square, new_cell))
    )
    scaled = builder.reduce(builder.multiply(output, new_cell))
    state = builder.settle(builder.multiply(scaled, square))
    return state, builder.lower(new_cell, state.level)


def _output_scale(builder: Builder, square: Op, cell: Op) -> float:
    """The scale of c3 o that leads c3 o c' times the square to the scale of an open end."""
    params = builder.params
    if not params.ends_at(square.level):
        return params.scale
    return params.end_scale / square.scale * params.primes[cell.level] / cell.scale
