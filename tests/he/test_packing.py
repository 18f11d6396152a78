"""Matrices as diagonals: the packed product is the matrix product, for any size and layout."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from heclstm_lib.errors import PlanError
from heclstm_lib.he import packing, seal
from heclstm_lib.he.packing import (
    Layout,
    baby_steps,
    encodes_to_zero,
    matrix_diagonals,
    offset_copies,
    power_of_two,
)
from heclstm_lib.he.params import CkksParameters

Array = NDArray[np.float64]


def packed_product(matrix: Array, content: NDArray[np.int64], x: Array) -> Array:
    """The server's computation: baby-step giant-step over diagonals, then folds to period rows."""
    rows = len(matrix)
    slots = np.where(content >= 0, x[np.maximum(content, 0)], 0.0)
    diagonals = matrix_diagonals(matrix, content)
    babies = baby_steps(max(diagonals) + 1)
    total = np.zeros(len(content))
    for giant in reversed(range(max(diagonals) // babies + 1)):
        total = np.roll(total, -babies)
        for k in range(giant * babies, (giant + 1) * babies):
            mask = np.roll(diagonals.get(k, np.zeros(len(content))), giant * babies)
            total = total + mask * np.roll(slots, -(k - giant * babies))
    step = len(content) // 2
    while step >= rows:
        total = total + np.roll(total, -step)
        step //= 2
    return total


def test_docstring_examples() -> None:
    result = doctest.testmod(packing)
    assert result.attempted >= 6 and result.failed == 0


@given(
    rows=st.integers(0, 5).map(lambda bits: 1 << bits),
    columns=st.integers(1, 40),
    copies=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_offset_copies_give_the_matrix_product(
    rows: int, columns: int, copies: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = max(power_of_two(columns) << copies, rows)
    matrix, x = rng.normal(size=(rows, columns)), rng.normal(size=columns)
    result = packed_product(matrix, offset_copies(columns, features, rows), x)
    np.testing.assert_allclose(result, np.resize(matrix @ x, features), atol=1e-12)


@given(
    rows=st.integers(0, 5).map(lambda bits: 1 << bits),
    columns=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_periodic_layout_gives_the_matrix_product(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    place = np.arange(max(rows, power_of_two(columns))) % power_of_two(columns)
    content = np.where(place < columns, place, -1)
    matrix, x = rng.normal(size=(rows, columns)), rng.normal(size=columns)
    result = packed_product(matrix, content, x)
    np.testing.assert_allclose(result, np.resize(matrix @ x, len(content)), atol=1e-12)


@pytest.mark.parametrize("copies", [1, 2, 4, 8])
def test_copies_save_diagonals(copies: int) -> None:
    matrix = np.ones((16, 64))
    diagonals = matrix_diagonals(matrix, offset_copies(64, 64 * copies, outputs=16))
    assert len(diagonals) == max(diagonals) + 1 == 16 // copies


def test_every_weight_is_used_once() -> None:
    matrix = np.arange(1.0, 33.0).reshape(4, 8)
    diagonals = matrix_diagonals(matrix, offset_copies(8, 32, outputs=4))
    weights = np.concatenate([d[d != 0] for d in diagonals.values()])
    assert sorted(weights) == sorted(matrix.ravel())


def test_zero_matrix_has_no_diagonals() -> None:
    assert matrix_diagonals(np.zeros((2, 2)), np.array([0, 1])) == {}


@given(diagonals=st.integers(1, 600), outputs=st.sampled_from([1, 4]))
def test_baby_steps_are_the_best_power_of_two(diagonals: int, outputs: int) -> None:
    def rotations(babies: int) -> int:
        return babies - 1 + outputs * (-(-diagonals // babies) - 1)

    chosen = baby_steps(diagonals, outputs)
    assert chosen == power_of_two(chosen)
    assert rotations(chosen) == min(rotations(1 << i) for i in range(11))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PlanError, match=r"frames must be a power of two, got 3"):
        Layout(64, 3, 1)
    with pytest.raises(PlanError, match=r"4 frames x 32 sequences need 128 slots.*has 64.*fewer"):
        Layout(64, 4, 32)
    with pytest.raises(PlanError, match=r"65 features \(padded to 128\).*axis of 64"):
        offset_copies(65, 64, outputs=4)
    with pytest.raises(PlanError, match=r"16 rows.*axis of 8.*fewer sequences"):
        matrix_diagonals(np.ones((16, 4)), np.arange(8))
    with pytest.raises(PlanError, match=r"2 of 4 weights.*every feature must stand"):
        matrix_diagonals(np.ones((2, 2)), np.array([0, 0]))
    with pytest.raises(PlanError, match=r"pattern of 64 features.*axis of 16"):
        Layout(64, 4, 1).spread(np.ones(64))


def test_spread_fills_the_lanes_of_one_frame() -> None:
    layout = Layout(slots=32, frames=2, sequences=4)
    grid = layout.expand(layout.spread(np.array([3.0, 5.0]), frame=1)).reshape(4, 2, 4)
    assert np.all(grid[:, 0] == 0) and np.all(grid[::2, 1] == 3) and np.all(grid[1::2, 1] == 5)


@pytest.mark.parametrize("pattern", ["dense", "single", "alternating"])
def test_encodes_to_zero_agrees_with_seal(pattern: str) -> None:
    context = seal.load_context(CkksParameters(8192, 1, 30, 40, 40))
    slots = context.params.slots
    vector = {
        "dense": np.random.default_rng(0).normal(size=slots),
        "single": np.eye(1, slots, 77)[0],
        "alternating": np.resize([1.0, -1.0, 0.5], slots),
    }[pattern]
    answers = []
    for exponent in range(-8, 14):
        answer = encodes_to_zero(vector, 2.0**exponent)
        assert answer == context.encode(vector, 1, 2.0**exponent).is_zero()
        answers.append(answer)
    assert answers[0] and not answers[-1]
