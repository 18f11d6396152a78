"""What a row of the ablation grid costs: its plan, and its encrypted evaluation."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.agreement import agreement
from heclstm_lib.evaluation.encrypted import EncryptedRun
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.stages.conversion import convert_folds
from heclstm_lib.stages.encryption import evaluate_fold_encrypted
from heclstm_lib.stages.planning import choose_study_plan
from heclstm_lib.stages.workspace import Workspace

SCORES = ("sequence_id", "patient_id", "label", "score", "encrypted", "threshold", "fold")


def first_fold(space: Workspace) -> Workspace:
    """The workspace with its first fold alone."""
    study = dataclasses.replace(space.study, folds=space.study.folds[:1])
    return dataclasses.replace(space, study=study)


def plan_row(space: Workspace) -> dict[str, object]:
    """What the first fold's plan says of depth, size and cost, or why there is none (`fits`)."""
    fold = space.study.folds[0]
    trained = load_bundle(space.fold(fold) / "polynomial.pt")
    tested = len(space.sets(fold)["test"].labels)
    try:
        chosen = choose_study_plan(fold_network(trained.model), space.study, tested).chosen
    except PlanError as error:
        return {"fits": str(error)}
    return plan_facts(chosen.plan, chosen.seconds)


def plan_facts(plan: Plan, batch_s: float) -> dict[str, object]:
    """What a plan whose batch is predicted to take `batch_s` seconds asks for."""
    return {
        "fits": "yes",
        "poly_degree": plan.params.poly_degree,
        "sequences": plan.layout.sequences,
        "levels": plan.depth,
        "scale_bits": plan.params.scale_bits,
        "total_bits": plan.params.total_bits,
        "galois_keys": len(plan.rotations),
        "rotations": sum(op.kind == "rotate" for op in plan.ops),
        "key_GB": round(plan.key_bytes() / 1e9, 2),
        "upload_MB": round(plan.upload_bytes() / 1e6, 1),
        "predicted_batch_s": round(batch_s, 2),
    }


def encrypt_row(space: Workspace) -> tuple[pd.DataFrame, dict[str, object], dict[str, Any]]:
    """Plan the first fold and evaluate some test sequences encrypted.

    Returns the scores (none where no plan fits), `plan_facts` and `_encrypted_facts`.
    """
    space = first_fold(space)
    fold = space.study.folds[0]
    try:
        _, candidates = convert_folds(space)
    except PlanError as error:
        return pd.DataFrame(columns=list(SCORES)), {"fits": str(error)}, {}
    table, run, plan = evaluate_fold_encrypted(space, fold)
    batch_s = float(candidates[candidates.verdict == "chosen"].batch_s.iloc[0])
    return table, plan_facts(plan, batch_s), _encrypted_facts(table, run)


def _encrypted_facts(table: pd.DataFrame, run: EncryptedRun) -> dict[str, Any]:
    """Agreement (`evaluation.agreement`), seconds and bytes of a batch (medians).

    `sequence_s` is all batches' server seconds over all sequences.
    """
    clear, encrypted = ((table[name] - table.threshold).to_numpy() for name in SCORES[3:5])
    batches = run.batches
    facts: dict[str, Any] = agreement(clear, encrypted, 0.0, table.sequence_id.tolist())
    facts |= {
        "batch_s": float(batches.server_s.median()),
        "sequence_s": float(batches.server_s.sum() / batches.sequences.sum()),
        "load_s": float(batches.load_s.max()),
        "key_s": run.key_s,
        "encrypt_s": float(batches.encrypt_s.median()),
        "decrypt_s": float(batches.decrypt_s.median()),
        "round_trips": int(batches.round_trips.median()),
        "key_bytes": run.bundle_bytes,
    }
    for name in ("request_bytes", "refresh_bytes", "response_bytes"):
        facts[name] = int(batches[name].median())
    return facts
