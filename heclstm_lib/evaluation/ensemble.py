"""The mean score of networks that differ by their seed: linear, so it can stay encrypted.

Each network's logit is decrypted, or the server adds ciphertexts up; either way nothing but a sum
stands between the members and the ensemble, and no level is needed for it.
"""

from __future__ import annotations

import pandas as pd

from heclstm_lib.evaluation.operating_point import choose_threshold

ENSEMBLE = "ensemble"


def mean_over_folds(rows: pd.DataFrame, scores: tuple[str, ...] = ("score",)) -> pd.DataFrame:
    """One row a sequence: the mean of its scores over folds; fold is 0, threshold left out.

    Columns of rows: sequence_id, patient_id, label, fold and `scores`. The table is empty unless
    there are two folds or more and every sequence stands in each of them: only then do the folds
    differ by nothing but their seed.
    """
    keys = ["sequence_id", "patient_id", "label"]
    folds = rows.fold.nunique()
    if folds < 2 or not (rows.groupby("sequence_id").fold.nunique() == folds).all():
        return pd.DataFrame(columns=[*keys, *scores, "fold"])
    return rows.groupby(keys, sort=False)[list(scores)].mean().reset_index().assign(fold=0)


def ensemble_rows(predictions: pd.DataFrame, target_sensitivity: float) -> pd.DataFrame:
    """The polynomial twins' mean scores as rows of the twin "ensemble", of both parts.

    Columns as `predictions` (of `stages.training.train_folds`); the threshold is chosen on the
    ensemble's own scores of validation patients. Empty where `mean_over_folds` is.
    """
    members = predictions[predictions.twin == "polynomial"]
    parts = {name: mean_over_folds(rows) for name, rows in members.groupby("part")}
    if any(rows.empty for rows in parts.values()):
        return predictions.iloc[:0]
    val = parts["val"]
    threshold = choose_threshold(val.score.to_numpy(), val.label.to_numpy(), target_sensitivity)
    tables = [rows.assign(part=name, twin=ENSEMBLE) for name, rows in parts.items()]
    together = pd.concat(tables, ignore_index=True).assign(threshold=threshold)
    return together[list(predictions.columns)]
