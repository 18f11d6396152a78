"""Fold and plan the polynomial twin of every fold; everything here is checked without a key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.input_range import measure_input_range
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.models.checkpoint import TrainedModel, load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.normalise import predict
from heclstm_lib.stages.planning import candidate_table, choose_study_plan
from heclstm_lib.stages.workspace import Workspace

SIMULATED = 8
"""Validation sequences on which a plan's precision is simulated."""


def convert_folds(space: Workspace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fold and plan every fold's polynomial twin; check it without any key.

    One row a fold: levels, scale, keys, bytes; `clear_error`, the largest difference between the
    plan in clear and torch in float64; `predicted_bits`, the simulated precision; `headroom_bits`.
    The second table holds the planner's candidates of every fold.
    """
    rows, candidates = [], []
    for fold in space.study.folds:
        folder, sets = space.fold(fold), space.sets(fold)
        trained, validation = load_bundle(folder / "polynomial.pt"), sets["val"]
        frames = normalised(trained, validation)[:SIMULATED]
        choice = choose_study_plan(
            fold_network(trained.model), space.study, len(sets["test"].labels), frames
        )
        plan, simulation = choice.chosen.plan, choice.simulation
        write_plan(plan, folder / "plan.npz")
        seen = measure_input_range(normalised(trained, sets["train"]))
        known = trained.normaliser
        pairs = tuple(zip(known.mean.tolist(), known.std.tolist(), strict=True))
        signature = replace(plan.signature, input_range=seen, normalisation=pairs)
        write_signature(signature, folder / "signature.json")
        frames = frames[: len(simulation.outputs)]
        torch_scores = float64_scores(trained, validation)[: len(frames)]
        summary = plan.summary()
        candidates.append(candidate_table(choice).assign(fold=fold))
        rows.append(
            {
                "fold": fold,
                "plan": choice.chosen.name,
                "poly_degree": plan.params.poly_degree,
                "levels": summary["levels"],
                "scale_bits": summary["scale_bits"],
                "total_bits": plan.params.total_bits,
                "galois_keys": summary["galois_keys"],
                "operations": len(plan.ops),
                "clear_error": float(
                    np.abs(evaluate_clear(plan, frames)[:, 0] - torch_scores).max()
                ),
                "predicted_bits": simulation.precision_bits,
                "headroom_bits": simulation.headroom_bits,
            }
        )
    return pd.DataFrame(rows), pd.concat(candidates, ignore_index=True)


def normalised(trained: TrainedModel, sequences: SequenceSet) -> np.ndarray:
    """Frames [B, T, C, H, W] as the client encrypts them, float64."""
    return trained.normaliser.apply(sequences.frames).astype(np.float64)


def float64_scores(trained: TrainedModel, sequences: SequenceSet) -> np.ndarray:
    """Scores [B] of the same polynomial network in float64: the reference of every agreement."""
    scores, _ = predict(trained.model.double(), trained.normaliser, sequences)
    return scores
