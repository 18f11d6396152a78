"""Train both twins on every fold, and the baselines beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import TrainingError
from heclstm_lib.evaluation.ensemble import ensemble_rows
from heclstm_lib.evaluation.operating_point import choose_threshold
from heclstm_lib.models.baselines import baseline_scores
from heclstm_lib.models.calibrate import measure_ranges
from heclstm_lib.models.checkpoint import TrainedModel, write_bundle
from heclstm_lib.models.normalise import fit_normaliser, predict
from heclstm_lib.models.train import TrainResult
from heclstm_lib.stages.search import search_setting, train_twins
from heclstm_lib.stages.workspace import Workspace


@dataclass(frozen=True)
class Training:
    """Predictions of every fold and twin, learning curves (of the one epoch whose model stays,
    `kept` is true), polynomial fits, test ranges, and the candidates of a search (or no row)."""

    predictions: pd.DataFrame
    history: pd.DataFrame
    fits: pd.DataFrame
    ranges: pd.DataFrame
    search: pd.DataFrame


def train_folds(space: Workspace, progress: bool = True) -> Training:
    """Train both twins on every fold; setting and threshold are chosen on its validation patients.

    Where every fold tests the same patients (an official split: folds are seeds), the predictions
    also have a third twin, "ensemble": the mean score of the polynomial twins.
    """
    names = ("pred", "hist", "fits", "ranges", "search")
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in names}
    for fold in space.study.folds:
        sets = space.sets(fold)
        if space.study.search:
            results, candidates = search_setting(space, fold, sets, progress)
            parts["search"].append(candidates)
        else:
            results = train_twins(space, space.train(fold), sets, space.fold(fold), progress)
        for twin, result in results.items():
            trained = _finish(space, fold, twin, result, sets)
            kept = result.history.epoch == result.best_epoch
            parts["hist"].append(result.history.assign(fold=fold, twin=twin, kept=kept))
            for part in ("val", "test"):
                table = prediction_table(trained, sets[part])
                parts["pred"].append(table.assign(fold=fold, twin=twin, part=part))
        fits, network = results["polynomial"].fits, results["polynomial"].model
        if fits is None:
            raise TrainingError("the polynomial twin was trained without a fit; see calibrate.")
        parts["fits"].append(fits.assign(fold=fold))
        test = fit_normaliser(sets["train"]).apply(sets["test"].frames)
        parts["ranges"].append(measure_ranges(network, test).assign(fold=fold))
    joined = {
        name: pd.concat(tables or [pd.DataFrame()], ignore_index=True)
        for name, tables in parts.items()
    }
    together = ensemble_rows(joined["pred"], space.study.train.target_sensitivity)
    joined["pred"] = pd.concat([joined["pred"], together], ignore_index=True)
    return Training(*(joined[name] for name in names))


def kept_epochs(history: pd.DataFrame) -> pd.DataFrame:
    """Which epochs stay, of a `Training.history`: one row a twin.

    Columns folds, first_kept (folds that keep epoch 1), earliest, median, latest, epochs_run (the
    most that a fold took).
    """
    kept = history[history.kept].groupby("twin", sort=False).epoch
    table = kept.agg(
        folds="size",
        first_kept=lambda epochs: int((epochs == 1).sum()),
        earliest="min",
        median="median",
        latest="max",
    )
    return table.assign(epochs_run=history.groupby("twin", sort=False).epoch.max())


def _finish(
    space: Workspace, fold: int, twin: str, result: TrainResult, sets: dict[str, SequenceSet]
) -> TrainedModel:
    normaliser = fit_normaliser(sets["train"])
    scores, _ = predict(result.model, normaliser, sets["val"])
    threshold = choose_threshold(scores, sets["val"].labels, space.study.train.target_sensitivity)
    trained = TrainedModel(result.model, normaliser, threshold)
    write_bundle(trained, space.fold(fold) / f"{twin}.pt")
    return trained


def prediction_table(trained: TrainedModel, sequences: SequenceSet) -> pd.DataFrame:
    """One row a sequence: ids, label, score and the model's threshold (both logits)."""
    scores, _ = predict(trained.model, trained.normaliser, sequences)
    return score_table(sequences, scores, trained.threshold)


def score_table(sequences: SequenceSet, scores: np.ndarray, threshold: float) -> pd.DataFrame:
    """One row a sequence: sequence_id, patient_id, label, score, threshold."""
    return pd.DataFrame(
        {
            "sequence_id": sequences.sequence_ids,
            "patient_id": sequences.patient_ids,
            "label": sequences.labels,
            "score": scores,
            "threshold": threshold,
        }
    )


def run_baselines(space: Workspace) -> pd.DataFrame:
    """Test predictions of the trivial baselines on every fold; column `method` names them."""
    tables = []
    for fold in space.study.folds:
        sets = space.sets(fold)
        for name, (val, test) in baseline_scores(sets).items():
            threshold = choose_threshold(
                val, sets["val"].labels, space.study.train.target_sensitivity
            )
            table = score_table(sets["test"], test, threshold)
            tables.append(table.assign(fold=fold, method=name))
    return pd.concat(tables, ignore_index=True)
