"""Fold and plan the polynomial twin of every fold; everything here is checked without a key."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heclstm_lib.config import DatasetStudy
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.chain import choose_parameters
from heclstm_lib.he.compile import plan_network
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.simulate import evaluate_simulated
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.models.checkpoint import TrainedModel, load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.models.normalise import predict
from heclstm_lib.stages.workspace import Workspace


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
        write_signature(plan.signature, space.fold(fold) / "signature.json")
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
                "clear_error": float(
                    np.abs(evaluate_clear(plan, frames)[:, 0] - torch_scores).max()
                ),
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
