"""Test scores of the plan on rounded numbers: what the scales cost, apart from encryption."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.he.quantised import evaluate_quantised
from heclstm_lib.he.store import load_plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.stages.conversion import float64_scores, normalised
from heclstm_lib.stages.training import score_table
from heclstm_lib.stages.workspace import Workspace


def quantised_scores(space: Workspace) -> pd.DataFrame:
    """Scores of all test sequences by each fold's plan on encoded, unencrypted numbers.

    Columns as `score_table` (score: the network in float64), fold and `quantised`. Needs the
    models of notebook 02 and the plans of notebook 03.
    """
    tables = []
    for fold in space.study.folds:
        folder, test = space.fold(fold), space.sets(fold)["test"]
        trained = load_bundle(folder / "polynomial.pt")
        scores = evaluate_quantised(load_plan(folder / "plan.npz"), normalised(trained, test))
        clear = float64_scores(trained, test)
        table = score_table(test, clear, trained.threshold)
        tables.append(table.assign(fold=fold, quantised=np.asarray(scores[:, 0])))
    return pd.concat(tables, ignore_index=True)
