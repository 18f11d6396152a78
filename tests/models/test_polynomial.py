"""Polynomials: floors of the leading coefficient, gradients through them, range records."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from heclstm_lib.config import ModelConfig
from heclstm_lib.errors import ConfigError
from heclstm_lib.models.polynomial import (
    CUBIC_FLOOR,
    CURVATURE_FLOOR,
    GATE_RANGE,
    ExactGate,
    Polynomial,
    Share,
    make_activations,
    range_records,
)

FLOORS = {2: CURVATURE_FLOOR, 3: CUBIC_FLOOR}
numbers = st.floats(-3, 3, width=32)


def make_polynomial(coefficients: list[float], low: float = -1, high: float = 1) -> Polynomial:
    polynomial = Polynomial(len(coefficients) - 1)
    polynomial.initialise(coefficients, (low, high))
    return polynomial


@given(st.lists(numbers, min_size=3, max_size=4), st.lists(numbers, min_size=1, max_size=5))
def test_value_is_the_polynomial_with_its_leading_coefficient_held(
    coefficients: list[float], points: list[float]
) -> None:
    degree = len(coefficients) - 1
    polynomial = make_polynomial(coefficients).double()
    expected = list(coefficients)
    if abs(expected[-1]) < FLOORS[degree]:
        expected[-1] = -FLOORS[degree] if coefficients[-1] < 0 else FLOORS[degree]
    if degree == 3:
        expected[2] = 0.0
    values = polynomial(torch.tensor(points, dtype=torch.float64)).detach().numpy()
    wanted = np.polynomial.polynomial.polyval(np.array(points), expected)
    np.testing.assert_allclose(values, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("lead", [0.0, 0.001, -0.001, 0.5, -0.5])
def test_floor_passes_the_gradient(degree: int, lead: float) -> None:
    polynomial = make_polynomial([*[0.1, 0.2, 0.3][:degree], lead])
    x = torch.tensor([2.0])
    polynomial(x).sum().backward()
    gradient = polynomial.coefficients.grad
    assert gradient is not None
    expected = [1.0, 2.0, 4.0] if degree == 2 else [1.0, 2.0, 0.0, 8.0]
    assert gradient.tolist() == pytest.approx(expected)


def test_training_leaves_the_floor() -> None:
    polynomial = make_polynomial([0.0, 0.0, 0.0])
    optimizer = torch.optim.SGD(polynomial.parameters(), lr=0.5)
    x = torch.linspace(-1, 1, 21)
    for _ in range(60):
        optimizer.zero_grad()
        (polynomial(x) + x.square()).square().mean().backward()  # target -x^2
        optimizer.step()
    assert polynomial.effective_coefficients()[-1] < -0.5


def make_share(coefficients: list[float], low: float, high: float) -> Share:
    share = Share(len(coefficients) - 1)
    share.initialise(coefficients, (low, high))
    return share


@given(
    c0=st.floats(-3, 3), c1=st.floats(-3, 3), lead=st.floats(-2, 2), degree=st.sampled_from([2, 3]),
    low=st.floats(-5, 4), width=st.floats(0.1, 10),
)  # fmt: skip
def test_shares_are_shares_on_their_interval(
    c0: float, c1: float, lead: float, degree: int, low: float, width: float
) -> None:
    coefficients = [c0, c1, lead] if degree == 2 else [c0, c1, 0.0, lead]
    share = make_share(coefficients, low, low + width)
    with torch.no_grad():
        values = share(torch.linspace(low, low + width, 301))
    assert values.min() > -1e-4 and values.max() < 1 + 1e-4
    assert values.abs().pow(32).max() < 1.01  # a product of 32 does not grow


def test_a_polynomial_already_inside_is_left_alone_and_one_outside_is_mapped() -> None:
    inside = make_share([0.5, 0.1, 0.05], -2, 2)
    assert torch.equal(inside.effective_coefficients(), inside.coefficients)
    outside = make_share([0.5, 0.0, 0.5], -1, 2)  # 0.5 .. 2.5 on the interval: divided by 2.5
    assert outside.effective_coefficients().tolist() == pytest.approx([0.2, 0.0, 0.2])
    below = make_share([0.0, 1.0, 0.5], -1, 0)  # -0.5 .. 0
    assert below.effective_coefficients().tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    assert make_share([2.0, 1.0, 0.0, 1.0], -1, 1)(torch.tensor([-1.0, 1.0])).tolist() == (
        pytest.approx([0.0, 1.0])
    )


@pytest.mark.parametrize("coefficients", [[0.5, 1.0, 0.4], [0.5, -2.0, 0.0, 0.5]])
def test_gradient_of_a_share_is_that_of_its_mapping(coefficients: list[float]) -> None:
    share = make_share(coefficients, -2, 2).double()
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)
    weights = torch.arange(1.0, 8.0, dtype=torch.float64)
    (share(x) @ weights).backward()
    gradient = share.coefficients.grad
    assert gradient is not None
    for index in (0, 1, len(coefficients) - 1):
        values = []
        for step in (1e-6, -1e-6):
            moved = make_share(coefficients, -2, 2).double()
            with torch.no_grad():
                moved.coefficients[index] += step
                values.append((moved(x) @ weights).item())
        assert gradient[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("degree", [1, 4, "2"])
def test_other_degrees_are_refused(degree: int) -> None:
    with pytest.raises(ConfigError, match="gate_degree 2 or 3"):
        Polynomial(degree)


def test_range_record_is_the_mean_squared_excess() -> None:
    polynomial = make_polynomial([0.0, 1.0, 0.5], low=-1, high=2)
    polynomial(torch.tensor([-4.0, -1.0, 0.0, 2.0, 4.0]))
    [(penalty, outside)] = polynomial.take_records()
    assert penalty.item() == pytest.approx((3**2 + 2**2) / 5)
    assert outside.item() == pytest.approx(2 / 5)
    assert polynomial.take_records() == []


def test_range_penalty_pulls_arguments_back() -> None:
    polynomial = make_polynomial([0.0, 1.0, 0.5])
    x = torch.tensor([-2.0, 0.5, 3.0], requires_grad=True)
    polynomial(x)
    range_records(polynomial, x)[0].backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([2 * -1 / 3, 0.0, 2 * 2 / 3])


def test_records_are_averaged_over_calls_and_summed_over_layers() -> None:
    gate, other = make_polynomial([0.0, 1.0, 1.0]), make_polynomial([0.0, 1.0, 1.0])
    model = nn.ModuleList([gate, nn.Linear(1, 1), other])
    gate(torch.tensor([2.0]))  # excess 1
    gate(torch.tensor([4.0]))  # excess 3
    other(torch.tensor([0.0]))
    penalty, outside = range_records(model, torch.zeros(2))
    assert penalty.item() == pytest.approx((1 + 9) / 2 + 0)
    assert outside.item() == pytest.approx((1 + 0) / 2)
    assert [value.item() for value in range_records(model, torch.zeros(2))] == [0, 0]


def test_exact_gate_is_its_function_and_records() -> None:
    gate, x = ExactGate(nn.Tanh()), torch.tensor([-6.0, 0.3, 5.0])
    assert torch.equal(gate(x), torch.tanh(x))
    [(penalty, outside)] = gate.take_records()
    assert penalty.item() == pytest.approx(((6 - GATE_RANGE) ** 2 + (5 - GATE_RANGE) ** 2) / 3)
    assert outside.item() == pytest.approx(2 / 3)


def test_a_model_can_be_copied_after_its_records_are_taken() -> None:
    polynomial = make_polynomial([0.0, 1.0, 0.5])
    polynomial(torch.ones(3, requires_grad=True) * 3)
    polynomial.take_records()
    twin = copy.deepcopy(polynomial)
    assert torch.equal(twin.coefficients, polynomial.coefficients)


def test_activations_of_both_twins() -> None:
    _, gates, cell = make_activations("exact", ModelConfig())
    functions = {name: type(gate.function).__name__ for name, gate in gates.items()}
    assert functions == {"i": "Sigmoid", "f": "Sigmoid", "g": "Tanh", "o": "Sigmoid"}
    assert isinstance(cell, nn.Tanh)
    _, gates, _ = make_activations("polynomial", ModelConfig(recurrence="sru"))
    assert {name: type(gate) for name, gate in gates.items()} == {"f": Share, "o": Polynomial}
    act, gates, cell = make_activations("polynomial", ModelConfig(gate_degree=3))
    assert [gate.degree for gate in gates.values()] == [3] * 4
    assert act().degree == 2
    assert isinstance(cell, nn.Identity)
    with pytest.raises(ConfigError, match="'relu' is unknown"):
        make_activations("relu", ModelConfig())
