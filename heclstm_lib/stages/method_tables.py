"""Our own rows of notebook 06's tables, with probabilities made as every other method's are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from heclstm_lib.evaluation.calibration import fit_platt, platt_scaling
from heclstm_lib.evaluation.ensemble import ENSEMBLE
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.stages.evidence import OUR_ENCRYPTED, OUR_ENSEMBLE, OURS, Evidence

COLUMNS = ("sequence_id", "patient_id", "label", "score", "threshold", "fold", "method")
VARIANTS = ("cubic_gates", "sru")  # rows of notebook 05 that stand beside the main results


def our_rows(evidence: Evidence) -> pd.DataFrame:
    """Test rows of our networks: COLUMNS and probability, Platt-scaled on validation patients.

    Methods: HE-friendly, the same evaluated encrypted (only where every test sequence of every fold
    was), exact, the ensemble where there is one, and the VARIANTS that notebook 05 trained. Of
    those no validation scores are kept: their probability is NaN (`method_metrics`).
    """
    known = evidence.twin("polynomial", "val")
    tables = {OURS: _scaled(known, evidence.twin("polynomial"))}
    if (decrypted := evidence.encrypted_twin) is not None:
        tables[OUR_ENCRYPTED] = _scaled(known, decrypted)  # of the same network, in clear
    tables["exact"] = _scaled(evidence.twin("exact", "val"), evidence.twin("exact"))
    if len(evidence.ensemble):
        val = evidence.twin(ENSEMBLE, "val")
        intercept, slope = fit_platt(val.score.to_numpy(), val.label.to_numpy())
        rows = evidence.ensemble
        tables[OUR_ENSEMBLE] = rows.assign(probability=expit(intercept + slope * rows.score))
    if evidence.ablations is not None:
        for name in VARIANTS:
            rows = evidence.ablations[evidence.ablations.method == name]
            if len(rows):
                tables[name] = rows.assign(probability=np.nan)
    joined = [rows.assign(method=name) for name, rows in tables.items()]
    return pd.concat([rows[[*COLUMNS, "probability"]] for rows in joined], ignore_index=True)


def _scaled(validation: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    return test.assign(probability=platt_scaling(validation, test))


def method_metrics(rows: pd.DataFrame, bootstrap: int) -> pd.DataFrame:
    """`metrics_by` method; the Brier score is NaN for a method without probabilities of its own.

    A sigmoid of its scores would stand in there, which is not comparable with scaled ones.
    """
    table = metrics_by(rows, "method", bootstrap)
    unknown = rows.probability.isna().groupby(rows.method).any()
    hidden = (table.metric == "brier") & table.method.map(unknown)
    table.loc[hidden, ["estimate", "ci_low", "ci_high"]] = np.nan
    return table
