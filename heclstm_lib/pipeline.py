"""The study's stages for one data set: train every fold, convert, evaluate encrypted, ablate.

Each stage leaves its artefacts in the work folder, where the next one finds them:
fold<k>/exact.pt, polynomial.pt (models), plan.npz, encrypted/ (finished batches).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heclstm_lib.config import DatasetStudy
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import apply_split
from heclstm_lib.errors import TrainingError
from heclstm_lib.evaluation.encrypted import EncryptedRun, evaluate_encrypted
from heclstm_lib.evaluation.fanout import make_executor
from heclstm_lib.evaluation.operating_point import choose_threshold
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.compile import choose_parameters, plan_network
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.he.store import load_plan, write_plan
from heclstm_lib.models.calibrate import measure_ranges
from heclstm_lib.models.checkpoint import TrainedModel, load_bundle, write_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.models.normalise import fit_normaliser, predict
from heclstm_lib.models.train import TrainResult, train_exact, train_polynomial

TWINS = ("exact", "polynomial")


@dataclass(frozen=True)
class Workspace:
    """One data set's study, its sequences, and the folder of its artefacts."""

    study: DatasetStudy
    sequences: SequenceSet
    folder: Path

    def fold(self, number: int) -> Path:
        """The folder of one fold's artefacts."""
        return self.folder / f"fold{number}"

    def sets(self, fold: int) -> dict[str, SequenceSet]:
        """The fold's train, val and test sequences, split by patient."""
        return apply_split(self.sequences, fold)


def open_workspace(study: DatasetStudy, folder: Path, data: Path | None = None) -> Workspace:
    """Load the sequences of a study; `data` is the folder of fetched data (or a mirror)."""
    return Workspace(study, load_sequences(study.dataset, study.data, data), folder)


@dataclass(frozen=True)
class Training:
    """Predictions of every fold and twin, learning curves, polynomial fits, test ranges."""

    predictions: pd.DataFrame
    history: pd.DataFrame
    fits: pd.DataFrame
    ranges: pd.DataFrame


def train_folds(space: Workspace, progress: bool = True) -> Training:
    """Train both twins on every fold; choose each threshold on the fold's validation patients."""
    parts: dict[str, list[pd.DataFrame]] = {"pred": [], "hist": [], "fits": [], "ranges": []}
    for fold in space.study.folds:
        sets = space.sets(fold)
        results = _train_twins(space, fold, sets, progress)
        for twin, result in results.items():
            trained = _finish(space, fold, twin, result, sets)
            parts["hist"].append(result.history.assign(fold=fold, twin=twin))
            for part in ("val", "test"):
                table = prediction_table(trained, sets[part])
                parts["pred"].append(table.assign(fold=fold, twin=twin, part=part))
        fits, network = results["polynomial"].fits, results["polynomial"].model
        if fits is None:
            raise TrainingError("the polynomial twin was trained without a fit; see calibrate.")
        parts["fits"].append(fits.assign(fold=fold))
        test = fit_normaliser(sets["train"]).apply(sets["test"].frames)
        parts["ranges"].append(measure_ranges(network, test).assign(fold=fold))
    return Training(*(pd.concat(tables, ignore_index=True) for tables in parts.values()))


def _train_twins(
    space: Workspace, fold: int, sets: dict[str, SequenceSet], progress: bool
) -> dict[str, TrainResult]:
    folder, train = space.fold(fold), space.study.train
    exact = train_exact(
        sets, space.study.model, train, checkpoint=folder / "exact.ckpt", progress=progress
    )
    polynomial = train_polynomial(
        exact.model, sets, train, checkpoint=folder / "polynomial.ckpt", progress=progress
    )
    return {"exact": exact, "polynomial": polynomial}


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
    return pd.DataFrame(
        {
            "sequence_id": sequences.sequence_ids,
            "patient_id": sequences.patient_ids,
            "label": sequences.labels,
            "score": scores,
            "threshold": trained.threshold,
        }
    )


def convert_folds(space: Workspace) -> pd.DataFrame:
    """Fold and plan every fold's polynomial twin; check it without any key.

    One row a fold: levels, scale, keys, bytes; `clear_error`, the largest difference between the
    plan in clear and torch in float64; `predicted_bits`, the simulated precision; `headroom_bits`.
    """
    rows = []
    for fold in space.study.folds:
        trained = load_bundle(space.fold(fold) / "polynomial.pt")
        plan = plan_model(trained, space.study)
        write_plan(plan, space.fold(fold) / "plan.npz")
        validation = space.sets(fold)["val"]
        count = min(plan.layout.sequences, len(validation.labels))
        frames = normalised(trained, validation)[:count]
        torch_scores = float64_scores(trained, validation)[:count]
        simulation = evaluate_simulated(plan, frames)
        summary = plan.summary()
        rows.append(
            {
                "fold": fold,
                "poly_degree": plan.params.poly_degree,
                "levels": summary["levels"],
                "scale_bits": summary["scale_bits"],
                "total_bits": plan.params.total_bits,
                "galois_keys": summary["galois_keys"],
                "operations": len(plan.ops),
                "clear_error": float(np.abs(evaluate_clear(plan, frames) - torch_scores).max()),
                "predicted_bits": simulation.precision_bits,
                "headroom_bits": simulation.headroom_bits,
            }
        )
    return pd.DataFrame(rows)


def plan_model(trained: TrainedModel, study: DatasetStudy) -> Plan:
    """The plan of a trained polynomial twin under the study's HE configuration."""
    return plan_network_of(fold_network(trained.model), study)


def plan_network_of(network: FoldedNetwork, study: DatasetStudy) -> Plan:
    """The plan of a folded network under the study's HE configuration."""
    he = study.he
    params = choose_parameters(
        network, he.poly_degree, he.scale_bits, he.first_bits, he.special_bits
    )
    return plan_network(network, params, he.sequences)


def normalised(trained: TrainedModel, sequences: SequenceSet) -> np.ndarray:
    """Frames [B, T, C, H, W] as the client encrypts them, float64."""
    return trained.normaliser.apply(sequences.frames).astype(np.float64)


def float64_scores(trained: TrainedModel, sequences: SequenceSet) -> np.ndarray:
    """Scores [B] of the same polynomial network in float64: the reference of every agreement."""
    scores, _ = predict(trained.model.double(), trained.normaliser, sequences)
    return scores


def evaluate_fold_encrypted(
    space: Workspace, fold: int
) -> tuple[pd.DataFrame, EncryptedRun, Plan]:
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
            in_flight=workers + 1,
        )  # fmt: skip
    table["encrypted"] = run.scores
    return table, run, load_plan(folder / "plan.npz")


def evaluation_subset(labels: np.ndarray, at_most: int | None) -> np.ndarray:
    """Indices of the first `at_most` sequences, classes in turn; all of them for None."""
    if at_most is None or at_most >= len(labels):
        return np.arange(len(labels))
    order = np.argsort([np.sum(labels[:i] == label) for i, label in enumerate(labels)], kind="stable")
    return np.sort(order[:at_most])
