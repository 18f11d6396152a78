"""What earlier notebooks of one data set left behind, for the notebook that weighs it all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from heclstm_lib.evaluation.metrics import Decisions, auc
from heclstm_lib.methods.registry import METHODS
from heclstm_lib.results import ResultStore

TRAINING, ENCRYPTED = "02_plaintext_training", "04_encrypted_evaluation"
ABLATIONS, METHOD_STAGE = "05_ablations", "06_competing_methods"
FULL = "full"
OURS = "HE-friendly"
VARIANTS_OF_OURS = ("bi_lstm",)  # among the methods of notebook 06, but no competitor


@dataclass(frozen=True)
class Evidence:
    """Stored tables and results of one data set; what is absent is None."""

    store: ResultStore

    def table(self, stage: str, name: str) -> pd.DataFrame | None:
        """A stored table, or None where its notebook did not write one."""
        path = self.store.folder / f"{stage}.{name}.parquet"
        return self.store.load_table(f"{stage}.{name}") if path.is_file() else None

    def numbers(self, stage: str) -> dict[str, Any]:
        """What a notebook put beside its headline; empty where it was not run."""
        return dict(self.store.load_results().get(stage, {}).get("numbers", {}))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Both twins' scores of validation and test patients (notebook 02 is needed)."""
        return self.store.load_table(f"{TRAINING}.predictions")

    def twin(self, twin: str, part: str = "test") -> pd.DataFrame:
        """One twin's rows, "exact" or "polynomial", of "test" or "val" patients."""
        rows = self.predictions
        return rows[(rows.twin == twin) & (rows.part == part)].reset_index(drop=True)

    @cached_property
    def methods(self) -> pd.DataFrame | None:
        """Test scores of the competing methods and controls of notebook 06."""
        rows = self.table(METHOD_STAGE, "predictions")
        return rows if rows is None or "part" not in rows else rows[rows.part == "test"]

    @cached_property
    def competitors(self) -> pd.DataFrame | None:
        """The rows of `methods` without controls and without our own network."""
        if self.methods is None:
            return None
        rivals = {name for name, method in METHODS.items() if method.kind != "control"}
        rows = self.methods[self.methods.method.isin(rivals - set(VARIANTS_OF_OURS))]
        return None if rows.empty else rows

    @property
    def ablations(self) -> pd.DataFrame | None:
        """Test scores of the full network and its variants of notebook 05, if there are any."""
        rows = self.table(ABLATIONS, "predictions")
        return None if rows is None or set(rows.method) <= {FULL} else rows

    @cached_property
    def scores(self) -> pd.DataFrame | None:
        """Encrypted and float64 scores of the same sequences, of notebook 04."""
        return self.table(ENCRYPTED, "scores")


def strongest_competitor(evidence: Evidence) -> tuple[str, pd.DataFrame] | None:
    """The other method with the highest test AUC, and its rows: a choice in its favour.

    Choosing on test patients flatters it, so that no difference is made to look good for us.
    """
    rows = evidence.competitors
    if rows is None:
        return None
    areas = {str(name): auc(Decisions.of(part)) for name, part in rows.groupby("method")}
    best = max(areas, key=lambda name: areas[name])
    return best, rows[rows.method == best].reset_index(drop=True)


def waterfall_steps(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """The steps at hand, in order: best other method, exact, HE-friendly, quantised, encrypted."""
    steps: dict[str, pd.DataFrame] = {}
    best = strongest_competitor(evidence)
    if best is not None:
        steps[f"best other: {best[0]}"] = best[1]
    steps["exact"] = evidence.twin("exact")
    quantised = evidence.table(ENCRYPTED, "quantised")
    if quantised is not None:
        steps[OURS] = quantised
        steps["quantised"] = quantised.assign(score=quantised.quantised)
    elif evidence.scores is not None:
        steps[OURS] = evidence.scores
    else:
        steps[OURS] = evidence.twin("polynomial")
    if evidence.scores is not None:
        steps["encrypted"] = evidence.scores.assign(score=evidence.scores.encrypted)
    columns = ["sequence_id", "patient_id", "label", "score", "threshold", "fold"]
    return {name: rows[columns] for name, rows in steps.items()}


def decision_rows(evidence: Evidence) -> pd.DataFrame:
    """Both twins and, where there are any, the competing methods, named in column `method`."""
    columns = ["method", "sequence_id", "patient_id", "label", "score", "threshold", "fold"]
    tables = [evidence.twin("polynomial").assign(method=OURS)]
    tables.append(evidence.twin("exact").assign(method="exact"))
    if evidence.competitors is not None:
        tables.append(evidence.competitors)
    return pd.concat([table[columns] for table in tables], ignore_index=True)
