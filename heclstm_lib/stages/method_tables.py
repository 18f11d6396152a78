"""Notebook 06's tables: what each method's folds chose, and our own rows beside the others'.

Our probabilities are made as every other method's are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

import numpy as np
import pandas as pd
from scipy.special import expit

from heclstm_lib.evaluation.calibration import fit_platt, platt_scaling
from heclstm_lib.evaluation.ensemble import ENSEMBLE
from heclstm_lib.evaluation.metrics import metrics_by
from heclstm_lib.stages.evidence import OUR_ENCRYPTED, OUR_ENSEMBLE, OURS, Evidence
from heclstm_lib.stages.methods import COLUMNS

VARIANTS = {"cubic_gates": "cubic_gates", "sru": "sru", "bi_lstm": "bi_lstm, HE-friendly"}
"""Rows of notebook 05 -> their names beside the main results, whose method `bi_lstm` is exact."""


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
        for row, name in VARIANTS.items():
            rows = evidence.ablations[evidence.ablations.method == row]
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


def fit_table(fits: pd.DataFrame) -> pd.DataFrame:
    """One row a method: what its folds chose and when (epochs), mean validation AUC, size, seconds
    of all folds.
    """
    if fits.empty:
        return fits
    epochs = fits.epoch if "epoch" in fits else pd.Series(None, index=fits.index, dtype=object)
    groups = fits.assign(epoch=epochs.fillna("")).groupby("method", sort=False)
    return groups.agg(
        chosen=("setting", lambda values: counts_text(list(values))),
        epochs=("epoch", lambda values: epochs_text([text for text in values if text])),
        validation_auc=("val_auc", "mean"),
        parameters=("parameters", "max"),
        seconds=("seconds", "sum"),
    )


def counts_text(values: Sequence[str]) -> str:
    """Each different text and how often it occurs, the most frequent first: "C 1 (7); C 10 (3)"."""
    counts = Counter(values).most_common()
    return counts[0][0] if len(counts) == 1 else "; ".join(f"{text} ({n})" for text, n in counts)


def epochs_text(kept: Sequence[str]) -> str:
    """Kept epochs of all folds, each "12 of 60": "3 to 58 of 60, median 12"; empty without any."""
    if not kept:
        return ""
    chosen, totals = zip(*(map(int, text.split(" of ")) for text in kept), strict=True)
    low, high, total = min(chosen), max(chosen), " or ".join(map(str, sorted(set(totals))))
    if low == high:
        return f"{low} of {total}"
    return f"{low} to {high} of {total}, median {median(chosen):g}"
