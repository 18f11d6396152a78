"""What earlier notebooks of one data set left behind, for the notebook that weighs it all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from heclstm_lib.evaluation.ensemble import ENSEMBLE
from heclstm_lib.evaluation.metrics import Decisions, auc, metric_row
from heclstm_lib.methods.registry import METHODS
from heclstm_lib.results import ResultStore

TRAINING, ENCRYPTED = "02_plaintext_training", "04_encrypted_evaluation"
ABLATIONS, METHOD_STAGE = "05_ablations", "06_competing_methods"
ENCRYPTED_METHODS = "07_encrypted_competitors"
FULL = "full"
OURS = "HE-friendly"
OUR_ENSEMBLE = "HE-friendly ensemble"
OUR_ENCRYPTED = "HE-friendly, evaluated encrypted"
ENCRYPTED_ROWS = ("ours, one network evaluated encrypted", "ours, the ensemble evaluated encrypted")
"""Names of rows beside published numbers (`beside_published`) that are of decrypted scores."""
VARIANTS_OF_OURS = ("bi_lstm",)  # among the methods of notebook 06, but no competitor


def family_of(method: str) -> str:
    """Which family of hypotheses a method belongs to: "competing", "control" or "ours".

    p values are corrected (Holm) within a family: the claim on competing methods does not depend on
    how many controls or variants of our own network stand in the same table.
    """
    known = METHODS.get(method)
    if known is None or method in VARIANTS_OF_OURS:
        return "ours"
    return "control" if known.kind == "control" else "competing"


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
    def ensemble(self) -> pd.DataFrame:
        """The ensemble's test scores, once for each fold, so that they pair with any method's rows.

        Empty where folds test different patients.
        """
        rows = self.twin(ENSEMBLE).drop(columns="fold")
        return rows.merge(
            pd.DataFrame({"fold": self.twin("polynomial").fold.unique()}), how="cross"
        )

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
        rows = self.methods[self.methods.method.map(family_of) == "competing"]
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

    @cached_property
    def encrypted_twin(self) -> pd.DataFrame | None:
        """The polynomial twin's test rows with decrypted scores; None unless they are complete.

        A limited encrypted evaluation does not cover the sequences that other methods scored, so
        that nothing could be paired with it.
        """
        if self.scores is None:
            return None
        rows = self.scores.assign(score=self.scores.encrypted).drop(columns="encrypted")
        keys = [
            set(zip(t.fold, t.sequence_id, strict=True)) for t in (rows, self.twin("polynomial"))
        ]
        return rows if keys[0] == keys[1] else None


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


def beside_published(evidence: Evidence, bootstrap: int) -> pd.DataFrame:
    """Our rows of the table of published numbers.

    Columns method, auc, ci_low, ci_high, n_sequences, source.
    One network (mean over seeds or folds), and where there is one the ensemble, in clear and from
    decrypted scores (ENCRYPTED_ROWS; of one network only where all test sequences were evaluated).
    """
    shown = {"ours, HE-friendly, one network": evidence.twin("polynomial")}
    if evidence.encrypted_twin is not None:
        shown[ENCRYPTED_ROWS[0]] = evidence.encrypted_twin
    if len(evidence.ensemble):
        shown["ours, HE-friendly ensemble"] = evidence.twin(ENSEMBLE)
    decrypted = evidence.table(ENCRYPTED, "ensemble")
    if decrypted is not None and len(decrypted):
        shown[ENCRYPTED_ROWS[1]] = decrypted
    rows = []
    for name, part in shown.items():
        found = metric_row(auc, part, bootstrap)
        interval = {key: found[key] for key in ("ci_low", "ci_high", "n_sequences")}
        source = f"this study, {found['n_patients']} test patients"
        rows.append({"method": name, "auc": found["estimate"]} | interval | {"source": source})
    return pd.DataFrame(rows)


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
