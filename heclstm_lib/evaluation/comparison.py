"""Methods side by side on the same test patients.

Holm's correction is over a *family* of hypotheses: those that one claim is made of. "Better than
competing methods" is one family, "better than controls" another; correcting them together would let
the number of controls decide what is said of competitors. A `Family` names each method's; without
one all rows are corrected together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.errors import DataError
from heclstm_lib.evaluation.metrics import Decisions, auc, metric_draws, metric_row
from heclstm_lib.evaluation.statistics import holm

Family = Callable[[str], str]
"""Method -> name of the family that its p value is corrected in."""

LEVEL = 0.05
"""Corrected p values below it are called significant."""

PAIRED = ("difference", "difference_low", "difference_high", "p")


def one_family(_method: str) -> str:
    """All methods in one family."""
    return "all"


def compare_methods(
    rows: pd.DataFrame, reference: str, bootstrap: int, family: Family = one_family
) -> pd.DataFrame:
    """AUC of every method with its interval, and its paired difference from the reference.

    rows: columns method, sequence_id, patient_id, label, score, threshold; every method must have
    scored the same sequences. One row a method, in order of appearance: estimate, ci_low, ci_high,
    n_patients, n_sequences; difference, difference_low, difference_high (method - reference,
    paired bootstrap over patients), p (two-sided, from the same bootstrap), p_holm (in `family`).
    Raises DataError: no such reference, one class only, different sequences.
    """
    methods = split_methods(rows, reference)
    _check_classes(methods[reference])
    table = []
    for name, part in methods.items():
        row: dict[str, Any] = {"method": name, **metric_row(auc, part, bootstrap)}
        del row["resamples"]
        if name != reference:
            row |= paired_difference(methods[reference], part, bootstrap)
        table.append(row)
    # the reference has no difference; alone in the table it would leave these columns out
    columns = [*table[0], *(name for name in PAIRED if name not in table[0])]
    result = pd.DataFrame(table, columns=columns)
    return result.assign(p_holm=corrected(result.p, result.method.map(family)))


def corrected(p_values: pd.Series, families: pd.Series | None = None) -> pd.Series:
    """After Holm's correction within each of `families` (without: one); NaN, no test, stays NaN."""
    result = pd.Series(np.nan, index=p_values.index, dtype=np.float64)
    known = p_values.dropna()
    groups = known.groupby(families) if families is not None else [("all", known)]
    for _, part in groups:
        result[part.index] = holm(part.tolist())
    return result


def split_methods(rows: pd.DataFrame, reference: str) -> dict[str, pd.DataFrame]:
    """Each method's rows in one order of sequences: name -> table, in order of appearance.

    Raises DataError when the reference is missing or a method scored other sequences than it.
    """
    methods = {str(name): _sorted(part) for name, part in rows.groupby("method", sort=False)}
    if reference not in methods:
        raise DataError(f"compare_methods: no '{reference}' among {', '.join(methods)}.")
    for name, part in methods.items():
        _check_same(methods[reference], part, reference, name)
    return methods


def paired_difference(
    reference: pd.DataFrame,
    other: pd.DataFrame,
    repeats: int,
    metric: Callable[[Decisions], float] = auc,
) -> dict[str, float]:
    """metric(other) - metric(reference) on the same sequences, with bootstrap interval and p.

    Rows of the two tables must be in one order (`split_methods`). p is twice the smaller share of
    resamples on either side of zero, plus one in each (Davison and Hinkley 1997, section 4.4). All
    but the difference is NaN where no resample defines the metric.
    """
    ours, theirs = Decisions.of(reference), Decisions.of(other)
    difference = metric(theirs) - metric(ours)
    patients = reference.patient_id.to_numpy()
    first, second = (metric_draws(metric, each, patients, repeats) for each in (ours, theirs))
    draws = (second - first)[np.isfinite(second - first)]
    if not len(draws):
        return dict(zip(PAIRED, (difference, np.nan, np.nan, np.nan), strict=True))
    low, high = np.quantile(draws, [0.025, 0.975])
    side = min(np.sum(draws <= 0), np.sum(draws >= 0))
    return {
        "difference": difference,
        "difference_low": float(low),
        "difference_high": float(high),
        "p": float(min(1.0, 2 * (side + 1) / (len(draws) + 1))),
    }


def _check_classes(part: pd.DataFrame) -> None:
    if part.label.nunique() < 2:
        raise DataError(
            f"compare_methods: all {len(part)} sequences have label {part.label.iloc[0]}; an AUC "
            "needs both classes. Evaluate more folds or more patients."
        )


def _sorted(part: pd.DataFrame) -> pd.DataFrame:
    keys = ["sequence_id", "fold"] if "fold" in part else ["sequence_id"]  # folds may repeat
    return part.sort_values(keys).reset_index(drop=True)


def _check_same(reference: pd.DataFrame, part: pd.DataFrame, wanted: str, name: str) -> None:
    if list(reference.sequence_id) != list(part.sequence_id):
        raise DataError(
            f"compare_methods: '{name}' scored {len(part)} sequences, '{wanted}' "
            f"{len(reference)}, and they are not the same ones; a paired comparison needs that."
        )
