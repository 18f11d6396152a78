"""Fit competing methods and controls on every fold, and keep each fit's test predictions.

<work>/methods/<method>/fold<k>-<digest>.parquet and .json. The digest covers the sequences, the
budget, a weights file and the source of the methods: a changed one is fitted anew, the others are
taken up from where they lie.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.evaluation.calibration import fit_platt
from heclstm_lib.evaluation.comparison import compare_methods
from heclstm_lib.evaluation.operating_point import choose_threshold
from heclstm_lib.files import replacing
from heclstm_lib.methods.budget import MethodBudget, budget_of
from heclstm_lib.methods.interface import Array, Method
from heclstm_lib.methods.registry import ORDERLESS, find_method
from heclstm_lib.methods.weights import weights_file
from heclstm_lib.models.checkpoint import config_digest
from heclstm_lib.provenance import source_digest
from heclstm_lib.stages.training import score_table
from heclstm_lib.stages.workspace import Workspace

COLUMNS = ("sequence_id", "patient_id", "label", "score", "threshold", "fold", "method")
"""What tables of our own networks and of other methods have in common."""

PROBABILITY = "Platt scaling on validation patients"  # of a kept fit; part of its digest
FIT_SOURCE = ("methods", "models", "evaluation/calibration.py", "evaluation/operating_point.py")
WEIGHTS = "weights"  # folder of local weights files, inside the data folder


def run_methods(space: Workspace, names: Sequence[str]) -> pd.DataFrame:
    """Test predictions of methods on every fold: COLUMNS and probability (Platt-scaled).

    Raises ConfigError for an unknown method, TrainingError where one cannot be trained.
    """
    return fit_methods(space, names)[0]


def fit_methods(space: Workspace, names: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`run_methods`, and one row a method and fold on its fit.

    The second table: method, fold, setting, val_auc, parameters, platt_intercept, platt_slope,
    seconds, and what else a method notes. Thresholds and Platt scaling (`fit_platt`) are of
    validation patients, as ours are.
    """
    methods = [find_method(name) for name in names]  # a wrong name ends it before any training
    predictions, fits = [pd.DataFrame(columns=[*COLUMNS, "probability"])], []
    for fold in space.study.folds if methods else ():
        sets, budget = space.sets(fold), fold_budget(space, fold)
        for method in methods:
            table, notes = _fit_or_load(space, fold, method, sets, budget)
            predictions.append(table.assign(fold=fold, method=method.name))
            fits.append({"method": method.name, "fold": fold} | notes)
    joined = pd.concat(predictions[1:] or predictions, ignore_index=True)
    return joined[[*COLUMNS, "probability"]], pd.DataFrame(fits)


def fold_budget(space: Workspace, fold: int) -> MethodBudget:
    """The budget of one fold: the fold's own seed, and weights files where the data folder has any.

    Weights are looked for in the folder `weights` of the data folder.
    """
    study = dataclasses.replace(space.study, train=space.train(fold))
    return budget_of(study, space.data / WEIGHTS if space.data is not None else None)


def _fit_or_load(
    space: Workspace,
    fold: int,
    method: Method,
    sets: dict[str, SequenceSet],
    budget: MethodBudget,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    digest = fit_digest(method.name, sets, budget)
    target = space.folder / "methods" / method.name / f"fold{fold}-{digest[:16]}.parquet"
    beside = target.with_suffix(".json")
    if target.is_file() and beside.is_file():
        notes: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        return pd.read_parquet(target), notes
    table, notes = fit_method(method, sets, budget)
    with replacing(beside) as part:
        part.write_text(json.dumps(notes), encoding="utf-8")
    with replacing(target) as part:
        table.to_parquet(part)
    return table, notes


def fit_method(
    method: Method, sets: dict[str, SequenceSet], budget: MethodBudget
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit on the train and val sets alone; test predictions and notes with the seconds it took."""
    started = time.monotonic()
    fitted = method.fit({part: sets[part] for part in ("train", "val")}, budget)
    seconds = round(time.monotonic() - started, 1)
    val, test = sets["val"], sets["test"]
    known, asked = fitted.scores(val), fitted.scores(test)
    threshold = choose_threshold(known, val.labels, budget.train.target_sensitivity)
    # every method alike: margins have no scale, and logits of class-weighted training are those of
    # a population with as many ill as well, so that raw sigmoids could not be set side by side
    intercept, slope = fit_platt(known, val.labels)
    table = score_table(test, asked, threshold)
    table["probability"] = probabilities(intercept, slope, asked)
    platt = {"platt_intercept": intercept, "platt_slope": slope}
    return table, {**fitted.notes, **platt, "seconds": seconds}


def probabilities(intercept: float, slope: float, scores: Array) -> Array:
    """Probabilities [n] of scores [n] by Platt scaling, for the Brier score and calibration."""
    return np.asarray(expit(intercept + slope * scores))


def order_evidence(rows: pd.DataFrame, bootstrap: int) -> tuple[pd.DataFrame, str]:
    """Whether the order of the frames carries a signal: our exact twin against orderless controls.

    rows: predictions with method "exact" and some of ORDERLESS. Returns `compare_methods` with
    "exact" as reference, empty without controls, and a sentence on it.
    """
    wanted = ["exact", *(name for name in ORDERLESS if name in set(rows.method))]
    if len(wanted) == 1:
        return pd.DataFrame(), "No control without order was run: nothing is said about order."
    table = compare_methods(rows[rows.method.isin(wanted)], "exact", bootstrap)
    others = table[table.method != "exact"]
    worse = others[others.difference_high < 0].method.tolist()
    if len(worse) == len(others):
        said = (
            "Order carries a signal here: without it our exact network is worse, interval below 0"
        )
    elif worse:
        said = f"The controls disagree: only {', '.join(worse)} is worse than our exact network"
    else:
        said = (
            "This data set does not show that temporal order carries a signal: no control is worse"
        )
    ends = zip(
        others.method, others.difference, others.difference_low, others.difference_high, strict=True
    )
    parts = ", ".join(f"{name} {d:+.3f} ({low:+.3f} to {high:+.3f})" for name, d, low, high in ends)
    return table, f"{said}. AUC, control minus exact: {parts}."


def fit_digest(name: str, sets: dict[str, SequenceSet], budget: MethodBudget) -> str:
    """sha256 of all that decides a fit, its threshold and what its column `probability` means."""
    path = weights_file(name, budget.weights)
    return config_digest(
        method=name,
        probability=PROBABILITY,
        train=budget.train,
        model=budget.model,
        settings=[str(setting) for setting in budget.settings],
        strengths=budget.strengths,
        data={part: sequences.digest for part, sequences in sets.items()},
        weights=hashlib.sha256(path.read_bytes()).hexdigest() if path else "",
        source=source_digest(*FIT_SOURCE),
    )
