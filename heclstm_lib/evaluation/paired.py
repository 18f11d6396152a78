"""Decisions of two methods on the same patients: McNemar's test, differences, effect sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.evaluation.agreement import flip_rate
from heclstm_lib.evaluation.clustered import delong_by_fold
from heclstm_lib.evaluation.comparison import (
    Family,
    corrected,
    one_family,
    paired_difference,
    split_methods,
)
from heclstm_lib.evaluation.decision import equal_referral
from heclstm_lib.evaluation.effect import auc_to_d, cohens_g
from heclstm_lib.evaluation.metrics import (
    Decisions,
    auc,
    missed_diagnosis_rate,
    specificity,
)
from heclstm_lib.evaluation.statistics import mcnemar_test

CONTRIBUTIONS = {
    "auc": auc,
    "missed_diagnosis_rate": missed_diagnosis_rate,
    "specificity": specificity,
}
"""Metrics in which a part's contribution is told, beside the one at equal referral."""


def compare_decisions(
    rows: pd.DataFrame, reference: str, family: Family = one_family
) -> pd.DataFrame:
    """Every method's decisions against the reference's, one row a method and class.

    Columns method, among ("ill", "well"), n, reference_only and method_only (cases that only one
    has right), flips (all disagreements), p (exact McNemar), p_holm (over the rows of a
    `family` of methods), g (Cohen).
    A sequence scored in several folds counts once, with its first fold. McNemar's test takes
    sequences as independent; the bootstrap over patients (`contribution_table`) does not.
    """
    methods = {
        name: part.drop_duplicates("sequence_id")
        for name, part in split_methods(rows, reference).items()
    }
    ours = Decisions.of(methods.pop(reference))
    table = []
    for name, part in methods.items():
        theirs = Decisions.of(part)
        for among, label in (("ill", 1), ("well", 0)):
            own = ours.label == label
            first, second = _right(ours)[own], _right(theirs)[own]
            counts = int(np.sum(first & ~second)), int(np.sum(~first & second))
            table.append(
                {"method": name, "among": among, "n": int(own.sum())}
                | {"reference_only": counts[0], "method_only": counts[1], "flips": sum(counts)}
                | {"p": mcnemar_test(first, second), "g": cohens_g(*counts)}
            )
    columns = ["method", "among", "n", "reference_only", "method_only", "flips", "p", "g"]
    result = pd.DataFrame(table, columns=columns)
    return result.assign(p_holm=corrected(result.p, result.method.map(family)))


def _right(sample: Decisions) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return (sample.relative >= 0) == (sample.label == 1)


def contribution_table(rows: pd.DataFrame, full: str, bootstrap: int) -> pd.DataFrame:
    """What each part contributes: the full network minus the network without it, paired.

    rows: as for `compare_methods`, the variants named in column `method`. One row a variant and
    metric: estimate, ci_low, ci_high (bootstrap over patients), p, p_holm (over the variants, each
    metric being a family of its own), n. For `missed_at_equal_referral` both refer the share of
    patients that the full network refers, so that neither looks better by referring more. Raises
    DataError as `split_methods`.
    """
    methods = split_methods(rows, full)
    whole = methods.pop(full)
    metrics = CONTRIBUTIONS | {"missed_at_equal_referral": equal_referral(Decisions.of(whole))}
    table = []
    for name, part in methods.items():
        for label, metric in metrics.items():
            found = paired_difference(part, whole, bootstrap, metric)
            low, high = found["difference_low"], found["difference_high"]
            table.append(
                {"variant": name, "metric": label, "estimate": found["difference"]}
                | {"ci_low": low, "ci_high": high, "p": found["p"]}
                | {"n_patients": whole.patient_id.nunique()}
                | {"n_sequences": whole.sequence_id.nunique()}
            )
    result = pd.DataFrame(table)
    return result.assign(p_holm=corrected(result.p, result.metric))


def auc_tests(rows: pd.DataFrame, reference: str, family: Family = one_family) -> pd.DataFrame:
    """AUC differences by DeLong's test (over patients and folds), with effect sizes.

    Columns method, auc, d (Cohen's d of the AUC), difference (method - reference), d_difference,
    p_delong, p_delong_holm (within `family`).
    """
    methods = split_methods(rows, reference)
    ours = methods[reference]
    own = auc(Decisions.of(ours))
    table = []
    for name, part in methods.items():
        area = auc(Decisions.of(part))
        row: dict[str, Any] = {"method": name, "auc": area, "d": auc_to_d(area)}
        if name != reference:
            difference, p = delong_by_fold(ours, part)
            row |= {"difference": difference, "d_difference": auc_to_d(area) - auc_to_d(own)}
            row |= {"p_delong": p}
        table.append(row)
    columns = ["method", "auc", "d", "difference", "d_difference", "p_delong"]
    result = pd.DataFrame(table, columns=columns)
    return result.assign(p_delong_holm=corrected(result.p_delong, result.method.map(family)))


def flip_table(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """How many decisions of each method differ from the reference's: method and `flip_rate`'s."""
    methods = split_methods(rows, reference)
    names = methods[reference].sequence_id.tolist()
    ours = Decisions.of(methods.pop(reference)).relative
    return pd.DataFrame(
        [
            {"method": name} | flip_rate(ours >= 0, Decisions.of(part).relative >= 0, names)
            for name, part in methods.items()
        ]
    )
