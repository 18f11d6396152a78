"""Fits of a function by a polynomial of degree 2 or 3 on an interval, in the forms CKKS evaluates.

Degree 3 has no quadratic term. A leading coefficient under its floor is set to +floor or -floor,
whichever fits better by the method's own measure, and the others are fitted again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from heclstm_lib.errors import TrainingError
from heclstm_lib.models.polynomial import CUBIC_FLOOR, CURVATURE_FLOOR

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Interval = tuple[float, float]
Solve = Callable[[Sequence[int], Function], tuple[Array, float]]
"""Coefficients of some powers for a function, and the measure of their error."""

UNIFORM_SHARE = 0.3  # weight of the uniform distribution in least squares, the rest is empirical
GRID = 513  # points of the uniform part, and of the intervals where errors are measured
SAMPLES = 20_000  # at most so many empirical points enter a fit


def fit_least_squares(function: Function, values: Array, interval: Interval, degree: int) -> Array:
    """Ascending coefficients [degree + 1] of the weighted least squares fit.

    The weight is 0.7 x the empirical distribution of `values` + 0.3 x uniform over the interval:
    accurate where activations are, and bounded where they seldom go.
    """
    inside = values[(values >= interval[0]) & (values <= interval[1])]
    step = max(1, len(inside) // SAMPLES)
    points = np.concatenate([inside[::step], np.linspace(*interval, GRID)])
    weights = np.full(len(points), UNIFORM_SHARE / GRID)
    weights[:-GRID] = (1 - UNIFORM_SHARE) / max(1, len(points) - GRID)
    root = np.sqrt(weights)

    def solve(powers: Sequence[int], wanted: Function) -> tuple[Array, float]:
        matrix, target = points[:, None] ** np.array(powers), wanted(points)
        solution = np.linalg.lstsq(matrix * root[:, None], target * root, rcond=None)[0]
        return solution, float(np.sum(weights * (matrix @ solution - target) ** 2))

    return _held_off_zero(solve, function, degree)


def fit_chebyshev(function: Function, _values: Array, interval: Interval, degree: int) -> Array:
    """Ascending coefficients [degree + 1] of the interpolant at Chebyshev's nodes.

    Degree 3 interpolates on the interval made symmetric about 0: sigmoid and tanh are odd up to a
    constant, so that no quadratic term arises there.
    """
    reach = max(map(abs, interval))
    domain = interval if degree == 2 else (-reach, reach)
    grid = np.linspace(*interval, GRID)

    def solve(powers: Sequence[int], wanted: Function) -> tuple[Array, float]:
        found = np.polynomial.Chebyshev.interpolate(wanted, powers[-1], domain)
        series = found.convert(kind=np.polynomial.Polynomial).coef
        solution = np.asarray(series, dtype=np.float64)[list(powers)]
        error = grid[:, None] ** np.array(powers) @ solution - wanted(grid)
        return solution, float(np.abs(error).max())

    return _held_off_zero(solve, function, degree)


def fit_minimax(function: Function, _values: Array, interval: Interval, degree: int) -> Array:
    """Ascending coefficients [degree + 1] with the least largest error on the interval.

    The linear programme min e, -e <= p(x) - f(x) <= e on a grid (Cheney 1966, chapter 2). Raises
    TrainingError should the solver fail.
    """
    grid, reach = np.linspace(*interval, GRID), max(map(abs, interval))

    def solve(powers: Sequence[int], wanted: Function) -> tuple[Array, float]:
        matrix, target = (grid[:, None] / reach) ** np.array(powers), wanted(grid)
        ones = np.ones((GRID, 1))
        found = linprog(
            [0.0] * len(powers) + [1.0],
            A_ub=np.block([[matrix, -ones], [-matrix, -ones]]),
            b_ub=np.concatenate([target, -target]),
            bounds=[(None, None)] * (len(powers) + 1),
        )
        if not found.success:
            raise TrainingError(
                f"fit_minimax: no fit on [{interval[0]:.3g}, {interval[1]:.3g}]: {found.message} "
                "Use the fit least_squares."
            )
        return found.x[:-1] / reach ** np.array(powers), float(found.x[-1])

    return _held_off_zero(solve, function, degree)


FITS: dict[str, Callable[[Function, Array, Interval, int], Array]] = {
    "learned": fit_least_squares,  # a start; training goes on with the coefficients
    "least_squares": fit_least_squares,
    "chebyshev": fit_chebyshev,
    "minimax": fit_minimax,
}
"""A function for every `fit` of a ModelConfig: (function, values seen, interval, degree)."""


def _held_off_zero(solve: Solve, function: Function, degree: int) -> Array:
    """Coefficients [degree + 1] by `solve`, the leading one held off zero."""
    coefficients = np.zeros(degree + 1)
    coefficients[[0, 1, degree]], _ = solve([0, 1, degree], function)
    floor = CURVATURE_FLOOR if degree == 2 else CUBIC_FLOOR
    if abs(coefficients[degree]) < floor:
        held = [(lead, *solve([0, 1], _less(function, lead, degree))) for lead in (floor, -floor)]
        lead, rest, _ = min(held, key=lambda fit: fit[2])
        coefficients[[0, 1]], coefficients[degree] = rest, lead
    return coefficients


def _less(function: Function, lead: float, degree: int) -> Function:
    return lambda points: function(points) - lead * points**degree
