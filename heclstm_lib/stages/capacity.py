"""What notebook 09 asks of the capacity model, for a study's own network."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from heclstm_lib.capacity.accuracy import committed_folder, contention_table, summary_table
from heclstm_lib.capacity.layout import Layout
from heclstm_lib.capacity.layouts import layouts_of, plan_layouts
from heclstm_lib.capacity.model import machines_for_deadline
from heclstm_lib.capacity.tables import deadline_table, scaling_table, simulation_table
from heclstm_lib.capacity.validate import TABLE, load_validation
from heclstm_lib.capacity.workload import Machine
from heclstm_lib.evaluation.cost_model import load_costs
from heclstm_lib.he.store import load_plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.paths import cache_root
from heclstm_lib.stages.conversion import SIMULATED, normalised
from heclstm_lib.stages.evidence import ENCRYPTED, Evidence
from heclstm_lib.stages.planning import LEAST_BITS, fixed_bits
from heclstm_lib.stages.workspace import Workspace

SEQUENCES = tuple(10**exponent for exponent in range(3, 10))
DEADLINES_H = tuple(24 * days for days in (0.25, 0.5, 1, 2, 4, 7, 14, 30, 90, 180, 365))
FLEETS = (1, 2, 8, 64, 512, 4096, 10_000)
WAVES = (1.0, 2.5, 5.0, 20.0)
LINES = 7
"""Layouts in one figure, at most."""


@dataclass(frozen=True)
class Capacity:
    """A study's layouts, and where their costs come from."""

    layouts: tuple[Layout, ...]
    source: str

    @property
    def shown(self) -> tuple[Layout, ...]:
        """At most LINES of them for a figure, the smallest and the largest among them."""
        last = len(self.layouts) - 1
        if last < LINES:
            return self.layouts
        places = sorted({round(i * last / (LINES - 1)) for i in range(LINES)})
        return tuple(self.layouts[place] for place in places)

    def scaling(self, machine: Machine, machines: int, hospitals: int) -> pd.DataFrame:
        """Every layout from 10^3 to 10^9 sequences."""
        return scaling_table(self.shown, machine, machines, hospitals, SEQUENCES)

    def deadlines(self, machine: Machine, sequences: int, hospitals: int) -> pd.DataFrame:
        """Machines of every layout for deadlines from six hours to a year."""
        return deadline_table(
            machines_for_deadline, self.shown, machine, sequences, hospitals, DEADLINES_H
        )

    def simulated(self, machine: Machine, together: int, hospitals: int) -> pd.DataFrame:
        """The closed formula of the layout nearest to `together`, against simulated fleets."""
        layout = min(self.layouts, key=lambda one: abs(one.together - together))
        return simulation_table(layout, machine, hospitals, FLEETS, WAVES, (0, 1), 50_000)


def plan_study_layouts(space: Workspace) -> Capacity:
    """The fastest plan of the first fold's network for each number of sequences together.

    Precision is simulated on validation patients, as for the study's own plan.
    """
    fold = space.study.folds[0]
    trained = load_bundle(space.fold(fold) / "polynomial.pt")
    frames = normalised(trained, space.sets(fold)["val"])[:SIMULATED]
    costs, he = load_costs(cache_root()), space.study.he
    found = plan_layouts(
        fold_network(trained.model), he.poly_degree, costs.seconds, LEAST_BITS, frames,
        together=None, open_end=he.open_end, **fixed_bits(he),
    )  # fmt: skip
    source = costs.model(found[-1].plan.params).source
    return Capacity(tuple(layouts_of(found, costs.seconds)), source)


def measured_here(space: Workspace, evidence: Evidence, capacity: Capacity) -> pd.DataFrame:
    """The study's own batches of notebook 04 beside the layout of as many sequences: one row.

    Columns together, workers, predicted_s, measured_s (median of a batch), error (predicted over
    measured, minus one). Empty where notebook 04 was not run or no layout has its size.
    """
    found = evidence.numbers(ENCRYPTED).get("server_s_per_batch")
    if found is None:
        return pd.DataFrame()
    together = load_plan(space.fold(space.study.folds[0]) / "plan.npz").layout.sequences
    rows = [
        {
            "together": together,
            "workers": space.study.he.workers,
            "predicted_s": layout.batch_s,
            "measured_s": found,
            "error": layout.batch_s / found - 1,
        }
        for layout in capacity.layouts
        if layout.together == together
    ]
    return pd.DataFrame(rows)


def committed_validation() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame] | None:
    """Runs, their summary and the slowdown of two workers; None where none were kept."""
    folder = committed_folder()
    if not (folder / TABLE).is_file():
        return None
    runs = load_validation(folder)
    return runs, summary_table(runs), contention_table(runs)
