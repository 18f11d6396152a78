"""Evaluate a fold's test sequences encrypted, through client, server processes and bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.evaluation.encrypted import EncryptedRun, evaluate_encrypted
from heclstm_lib.evaluation.ensemble import ENSEMBLE, mean_over_folds
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.store import load_plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.paths import encoded_cache
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.conversion import float64_scores, normalised
from heclstm_lib.stages.evidence import Evidence
from heclstm_lib.stages.training import prediction_table
from heclstm_lib.stages.workspace import Workspace


def evaluate_fold_encrypted(space: Workspace, fold: int) -> tuple[pd.DataFrame, EncryptedRun, Plan]:
    """Evaluate a fold's test sequences encrypted (at most the study's limit, evenly over labels).

    The table has one row a sequence: ids, label, threshold, score (float64, clear), encrypted.
    """
    folder = space.fold(fold)
    trained, test = load_bundle(folder / "polynomial.pt"), space.sets(fold)["test"]
    test = test.subset(evaluation_subset(test.labels, space.study.he.evaluate_at_most))
    table = prediction_table(trained, test).assign(fold=fold)
    table["score"] = float64_scores(trained, test)
    workers = space.study.he.workers
    with make_executor(workers) as executor:
        run = evaluate_encrypted(
            folder / "plan.npz", normalised(trained, test), folder / "encrypted", executor,
            in_flight=workers + 1, cache=encoded_cache(),
        )  # fmt: skip
    table["encrypted"] = run.scores
    return table, run, load_plan(folder / "plan.npz")


def encrypted_ensemble(store: ResultStore, scores: pd.DataFrame) -> pd.DataFrame:
    """Mean decrypted scores over folds that differ by their seed: one row a sequence, or no row.

    `scores` are the rows of `evaluate_fold_encrypted` of every fold. Columns: ids, label, fold (0),
    threshold (of notebook 02's ensemble), clear (mean float64 score), score (mean decrypted score).
    """
    together = mean_over_folds(scores, ("score", "encrypted"))
    if together.empty:
        return together
    threshold = Evidence(store).twin(ENSEMBLE).threshold.iloc[0]
    named = together.rename(columns={"score": "clear", "encrypted": "score"})
    return named.assign(threshold=threshold)


def evaluation_subset(labels: np.ndarray, at_most: int | None) -> np.ndarray:
    """Indices of the first `at_most` sequences, classes in turn; all of them for None."""
    if at_most is None or at_most >= len(labels):
        return np.arange(len(labels))
    order = np.argsort(
        [np.sum(labels[:i] == label) for i, label in enumerate(labels)], kind="stable"
    )
    return np.sort(order[:at_most])
