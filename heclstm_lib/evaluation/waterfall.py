"""Where accuracy is lost: from the best other method to the encrypted network, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.agreement import flip_rate
from heclstm_lib.evaluation.comparison import corrected, paired_difference, split_methods
from heclstm_lib.evaluation.metrics import Decisions, auc, metric_row, missed_diagnosis_rate


def common_sequences(steps: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every step's rows of the sequences (and folds) that all steps scored.

    Encrypted evaluation may be limited to some test sequences; a step may not differ from the one
    before it by the choice of sequences. Raises DataError when nothing is common.
    """
    keys = [set(zip(rows.sequence_id, rows.fold, strict=True)) for rows in steps.values()]
    common = set.intersection(*keys) if keys else set()
    if not common:
        sizes = ", ".join(f"{name}: {len(rows)}" for name, rows in steps.items()) or "no step"
        raise DataError(
            f"waterfall: the steps have no test sequence in common ({sizes}). "
            "Run notebooks 02 to 04 of one study, with the same folds."
        )
    return {
        name: rows[[key in common for key in zip(rows.sequence_id, rows.fold, strict=True)]]
        for name, rows in steps.items()
    }


def waterfall_table(steps: dict[str, pd.DataFrame], bootstrap: int) -> pd.DataFrame:
    """AUC of every step, and what changes from each step to the next, on the same sequences.

    steps: name -> rows (sequence_id, patient_id, label, score, threshold, fold), in order. Columns
    step; estimate, ci_low, ci_high (AUC); missed; change, change_low, change_high, p, p_holm
    (paired bootstrap of the AUC against the step before); flips, flip_rate, flip_rate_low,
    flip_rate_high (decisions that differ from the step before, each at its own threshold; Wilson's
    interval for distinct sequences); score_change (mean absolute, where both steps are one
    network); n_patients, n_sequences (distinct ones), n_decisions (of all folds).
    Raises DataError when the steps have no sequence in common.
    """
    named = [rows.assign(method=name) for name, rows in common_sequences(steps).items()]
    joined = pd.concat(named, ignore_index=True)
    parts = split_methods(joined, next(iter(steps)))
    table: list[dict[str, Any]] = []
    for name, part in parts.items():
        row = {"step": name, **metric_row(auc, part, bootstrap)}
        del row["resamples"]
        row["n_decisions"] = len(part)
        table.append(row | {"missed": missed_diagnosis_rate(Decisions.of(part))})
    for row, (before, after) in zip(table[1:], pairwise(parts.values()), strict=True):
        row |= _change(before, after, bootstrap)
    result = pd.DataFrame(table)
    return result.assign(p_holm=corrected(result.p))


def _change(before: pd.DataFrame, after: pd.DataFrame, bootstrap: int) -> dict[str, float]:
    found = paired_difference(before, after, bootstrap)
    renamed = {key.replace("difference", "change"): value for key, value in found.items()}
    first, second = Decisions.of(before), Decisions.of(after)
    names = before.sequence_id.tolist()
    flips = flip_rate(first.relative >= 0, second.relative >= 0, names)
    del flips["n"], flips["n_sequences"]  # in the row already
    same = np.array_equal(before.threshold, after.threshold)
    shift = float(np.abs(second.logit - first.logit).mean()) if same else float("nan")
    return renamed | flips | {"score_change": shift}
