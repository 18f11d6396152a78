"""Seconds of every primitive for any parameters: measured where possible, else from a model.

SEAL does a primitive at level L on L + 1 primes, whatever the length of the chain above: a table
measured at one ring degree serves every chain of that degree that is not longer. The rest comes
from operation counts, n = L + 1 primes: a rotation or relinearisation transforms n digits to n + 1
primes each, and the result down again, (n + 1)(n + 2) transforms of N log2 N steps; rescaling 2 n
of them; encoding one FFT and n transforms; everything else touches N n words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.primitive_calls import MEASURED
from heclstm_lib.evaluation.primitives import measured_tables
from heclstm_lib.evaluation.reference_costs import REFERENCE, REFERENCE_CPU
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.params import CkksParameters
from heclstm_lib.provenance import cpu_model

UNIT_DEGREE = 16384
"""Terms are counted in units of this ring degree, so that coefficients are seconds."""

ALIASES = {"input": "load"}
"""A plan's kinds under the name of what they cost."""


def cost_terms(kind: str, poly_degree: int, level: int) -> Vector:
    """Steps of a primitive at a level, [4]: the terms whose weighted sum is its time."""
    ring, n = poly_degree / UNIT_DEGREE, level + 1
    depth = ring * np.log2(poly_degree)
    if kind in ("rotate", "relinearise"):
        return np.array([1.0, ring * n, ring * (n + 1) * (n + 2), depth * (n + 1) * (n + 2)])
    if kind == "rescale":
        return np.array([1.0, ring, ring * n, depth * n])
    if kind == "encode":
        return np.array([1.0, ring * n, depth, depth * n])
    return np.array([1.0, ring, ring * n, 0.0])


def fit_coefficients(table: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Non-negative coefficients of the terms per kind, least squares of the relative error.

    `table` has columns kind, level, seconds, poly_degree; kinds with fewer than two rows are
    left out.
    """
    coefficients = {}
    for kind, rows in table.groupby("kind"):
        if len(rows) > 1:
            places = zip(rows["poly_degree"], rows["level"], strict=True)
            terms = np.array([cost_terms(str(kind), degree, level) for degree, level in places])
            relative = terms / rows["seconds"].to_numpy()[:, None]
            found, _ = nnls(relative, np.ones(len(rows)))
            coefficients[str(kind)] = tuple(float(f"{value:.4g}") for value in found)
    return coefficients


@dataclass(frozen=True)
class CostModel:
    """Costs under some parameters; `source` says where they come from."""

    params: CkksParameters
    source: str
    lookup: Callable[[str, int, CkksParameters], float]

    def seconds(self, kind: str, level: int) -> float:
        """Seconds of one unit of a primitive at a level; PlanError for an unknown kind."""
        return self.lookup(kind, level, self.params)

    def table(self) -> pd.DataFrame:
        """Columns kind, level, seconds, as `measure_primitives` has them."""
        top = self.params.levels
        rows = [
            (kind, level, self.seconds(kind, level))
            for level in range(top, -1, -1)
            for kind, lowest in MEASURED.items()
            if level >= (top if lowest is None else lowest)
        ]
        return pd.DataFrame(rows, columns=["kind", "level", "seconds"])


class CostLibrary:
    """All that is known of this processor: `seconds` is what a planner takes."""

    def __init__(self, measured: pd.DataFrame) -> None:
        self._measured: dict[tuple[str, int, int], float] = (
            measured.groupby(["kind", "poly_degree", "level"])["seconds"].median().to_dict()
        )
        self._deepest: dict[int, int] = measured.groupby("poly_degree")["level"].max().to_dict()
        if len(self._deepest) > 1:
            self._model = REFERENCE | fit_coefficients(measured)
            self._speed = 1.0
            self._origin = f"a model of operation counts fitted to measurements on {cpu_model()}"
        else:
            self._model, self._speed = REFERENCE, self._relative_speed()
            self._origin = f"a model of operation counts on {REFERENCE_CPU}"
            if self._deepest:
                self._origin += f", scaled by {self._speed:.2f} to measurements on {cpu_model()}"

    def _relative_speed(self) -> float:
        """Median ratio of measured to reference costs, 1 when nothing was measured."""
        ratios = [
            seconds / self._formula(kind, level, degree, REFERENCE)
            for (kind, degree, level), seconds in self._measured.items()
            if kind in REFERENCE
        ]
        return float(np.median(ratios)) if ratios else 1.0

    @staticmethod
    def _formula(kind: str, level: int, degree: int, model: dict[str, tuple[float, ...]]) -> float:
        return float(cost_terms(kind, degree, level) @ np.array(model[kind]))

    def seconds(self, kind: str, level: int, params: CkksParameters) -> float:
        """Seconds of one unit of a primitive at a level of some parameters.

        Measured at this ring degree, or by the model. PlanError names the known kinds.
        """
        kind, degree = ALIASES.get(kind, kind), params.poly_degree
        if kind not in MEASURED:
            raise PlanError(
                f"cost of '{kind}': unknown primitive; there are: {', '.join(MEASURED)}."
            )
        found = self._measured.get((kind, degree, level))
        return found or self._speed * self._formula(kind, level, degree, self._model)

    def model(self, params: CkksParameters) -> CostModel:
        """The costs under some parameters, with their source."""
        measured = self._deepest.get(params.poly_degree, -1)
        source = f"measured on {cpu_model()}"
        if measured < params.levels:
            upper = f" for levels above {measured}" if measured >= 0 else ""
            source = f"{source};{upper} {self._origin}" if upper else self._origin
        return CostModel(params, source, self.seconds)


def load_costs(cache: Path) -> CostLibrary:
    """The library of everything measured on this processor and kept in `cache`."""
    return CostLibrary(measured_tables(cache))


def estimate_primitives(params: CkksParameters, cache: Path) -> pd.DataFrame:
    """A table like `measure_primitives`, without measuring: what is known, the rest modelled."""
    return load_costs(cache).model(params).table()
