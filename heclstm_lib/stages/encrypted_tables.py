"""Tables of encrypted methods, ours beside them: agreement, AUC, differences, cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.evaluation.agreement import agreement
from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.metrics import auc, metric_row
from heclstm_lib.he.store import load_plan
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.workspace import Workspace

OURS = "HE-CLSTM (ours)"
FROM = "04_encrypted_evaluation"


def with_ours(
    space: Workspace, store: ResultStore, predictions: pd.DataFrame, costs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of `run_encrypted_methods` with our network's rows first, from notebook 04.

    Raises ReportError when notebook 04 has not run.
    """
    scores = store.load_table(f"{FROM}.scores").assign(method=OURS)
    batches = store.load_table(f"{FROM}.batches")
    rows = [_our_row(space, int(fold), part) for fold, part in batches.groupby("fold", sort=False)]
    ours = scores[list(predictions.columns)]
    joined = [table for table in (ours, predictions) if len(table)]
    return pd.concat(joined, ignore_index=True), pd.DataFrame([*rows, *costs.to_dict("records")])


def _our_row(space: Workspace, fold: int, batches: pd.DataFrame) -> dict[str, object]:
    plan = load_plan(space.fold(fold) / "plan.npz")
    count, batch = int(batches.sequences.sum()), plan.layout.sequences
    return {
        "method": OURS,
        "fold": fold,
        "scheme": "CKKS",
        "poly_degree": plan.params.poly_degree,
        "modulus_bits": plan.params.total_bits,
        "levels": plan.depth,
        "batch": batch,
        "key_bytes": int(batches.bundle_bytes.iloc[0]),
        "server_s": batches.server_s.sum() / count,
        "server_cpu_s": batches.server_cpu_s.sum() / count,
        "server_s_full": batches.server_s.median() / batch,
        "client_s": (batches.encrypt_s.sum() + batches.decrypt_s.sum()) / count,
        "upload_MB": batches.request_bytes.sum() / count / 1e6,
        "upload_MB_full": batches.request_bytes.median() / batch / 1e6,
    }


def agreement_by_method(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a method: n (decisions), n_sequences, bits, worst bits, flips with their interval.

    Bits are those of notebook 04, -log2 of the mean error of a score; `relative_bits` are of the
    error relative to the scores' standard deviation, since methods score on different scales. Both
    are infinite where decryption gives the very same numbers.
    """
    rows = []
    for name, part in predictions.groupby("method", sort=False):
        clear = (part.score - part.threshold).to_numpy()
        with np.errstate(divide="ignore"):
            encrypted = (part.encrypted - part.threshold).to_numpy()
            found = agreement(clear, encrypted, 0.0, part.sequence_id.tolist())
            deviation = np.log2(float(part.score.std()))
        rows.append({"method": name, "relative_bits": found["precision_bits"] + deviation} | found)
    return pd.DataFrame(rows)


def auc_by_method(predictions: pd.DataFrame, bootstrap: int) -> pd.DataFrame:
    """AUC with its interval, clear and encrypted: columns method, scores, then `metric_row`'s."""
    rows = []
    for name, part in predictions.groupby("method", sort=False):
        for scores, column in (("clear", "score"), ("encrypted", "encrypted")):
            chosen = part.assign(score=part[column])
            rows.append({"method": name, "scores": scores, **metric_row(auc, chosen, bootstrap)})
    return pd.DataFrame(rows)


def compare_encrypted(predictions: pd.DataFrame, bootstrap: int) -> pd.DataFrame:
    """AUC of decrypted scores against ours on the same sequences: `compare_methods`, p by Holm.

    Left out is a method that was not evaluated on all our sequences.
    Empty when there is none left, or the evaluated sequences are of one class.
    """
    rows = predictions.assign(score=predictions.encrypted)
    ours = _evaluated(rows[rows.method == OURS])
    same = [name for name, part in rows.groupby("method", sort=False) if _evaluated(part) == ours]
    rows = rows[rows.method.isin(same)]
    if not ours or len(same) < 2 or rows.label.nunique() < 2:
        return pd.DataFrame()
    return compare_methods(rows, OURS, bootstrap)


def _evaluated(rows: pd.DataFrame) -> list[tuple[int, str]]:
    return sorted(zip(rows.fold, rows.sequence_id, strict=True))


def cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """One row a method: medians over folds of seconds and bytes; ring and levels are largest."""
    kept = {"scheme": "first", "poly_degree": "max", "modulus_bits": "max", "levels": "max"}
    measured = ("batch", "server_s", "server_cpu_s", "server_s_full", "client_s", "upload_MB",
                "upload_MB_full", "key_bytes")  # fmt: skip
    grouped = costs.groupby("method", sort=False)
    table = grouped.agg(kept | dict.fromkeys(measured, "median")).reset_index()
    table["keys_MB"] = table.pop("key_bytes") / 1e6
    return table
