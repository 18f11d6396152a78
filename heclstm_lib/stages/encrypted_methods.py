"""Competing methods evaluated encrypted on a fold's test patients, beside their scores in clear."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.compiler.planner import Choice, Task, choose_plan
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.agreement import agreement
from heclstm_lib.evaluation.bfv_run import evaluate_bfv
from heclstm_lib.evaluation.cost_model import load_costs
from heclstm_lib.evaluation.encrypted import evaluate_encrypted
from heclstm_lib.evaluation.operating_point import choose_threshold
from heclstm_lib.he.packing import power_of_two
from heclstm_lib.he.params import STANDARD_2018
from heclstm_lib.he.store import write_plan, write_signature
from heclstm_lib.methods.folding import EncryptedForm, encrypted_form, integer_form
from heclstm_lib.methods.registry import METHODS, Fitted, find_method
from heclstm_lib.paths import cache_root, encoded_cache
from heclstm_lib.stages.encryption import evaluation_subset
from heclstm_lib.stages.methods import fold_budget
from heclstm_lib.stages.planning import LEAST_BITS
from heclstm_lib.stages.training import score_table
from heclstm_lib.stages.workspace import Workspace

IN_BFV = "cryptonets"
"""The method that is also evaluated as published, in whole numbers under BFV."""

BFV_NAME = "cryptonets (BFV)"

THROUGHPUT_SHARE = 1 / 8
"""Of the slots: with more values than that, one feature a ciphertext takes less time and memory."""

SIMULATED = 8
"""Validation values on which a plan's precision is simulated."""

PREDICTIONS = ("sequence_id", "patient_id", "label", "score", "threshold", "encrypted", "fold",
               "method")  # fmt: skip

Sets = dict[str, SequenceSet]


def encrypted_names(space: Workspace) -> list[str]:
    """The study's methods that can be evaluated encrypted, in the order of the methods table."""
    kinds = ("image", "classical")
    able = [m.name for m in METHODS.values() if m.encrypted and m.kind in kinds]
    return [name for name in able if name in space.study.methods]


def run_encrypted_methods(space: Workspace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit, fold, plan and evaluate every method that can be encrypted, on every fold.

    The first table has one row a method, fold and test sequence (at most the study's limit):
    ids, label, score (clear, float64), threshold (validation patients'), encrypted. The second one
    row a method and fold: scheme, ring, levels, seconds and bytes. Finished batches are kept.
    CryptoNets is evaluated under BFV too where the study asks for it.
    """
    tables, rows = [], []
    names = encrypted_names(space)
    with make_executor(1) as executor:
        for fold in space.study.folds:
            sets = space.sets(fold)
            at_most = space.study.he.evaluate_at_most
            test = sets["test"].subset(evaluation_subset(sets["test"].labels, at_most))
            for name in names:
                fitted = find_method(name).fit(sets, fold_budget(space, fold))
                found = [_run_ckks(space, fold, name, fitted, sets | {"test": test}, executor)]
                if name == IN_BFV and space.study.he.bfv:
                    found.append(_run_bfv(space, fold, fitted, sets | {"test": test}))
                for table, row in found:
                    tables.append(table)
                    rows.append(row)
    if not tables:
        return pd.DataFrame(columns=PREDICTIONS), pd.DataFrame(columns=["method", "fold"])
    return pd.concat(tables, ignore_index=True), pd.DataFrame(rows)


def _run_ckks(
    space: Workspace, fold: int, name: str, fitted: Fitted, sets: Sets, executor: Executor
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """One method and fold through client and server on bytes."""
    form, test = encrypted_form(fitted, sets), sets["test"]
    values = form.inputs(test)
    choice = _plan(space, form, form.inputs(sets["val"])[:SIMULATED], len(values))
    plan = choice.chosen.plan
    folder = space.fold(fold) / "encrypted_methods" / name
    write_plan(plan, folder / "plan.npz")
    write_signature(plan.signature, folder / "signature.json")
    run = evaluate_encrypted(
        folder / "plan.npz", values, folder / "encrypted", executor, 2, cache=encoded_cache()
    )
    batches, clear = run.batches, form.clear(test)
    row = {
        "scheme": "CKKS",
        "poly_degree": plan.params.poly_degree,
        "modulus_bits": plan.params.total_bits,
        "levels": plan.depth,
        "batch": plan.layout.sequences // form.votes,
        "bits_predicted": choice.simulation.precision_bits - math.log2(form.factor),
        "fold_error": float(np.abs(clear - fitted.scores(test)).max()),
        "key_bytes": run.bundle_bytes,
    }
    row |= _costs(
        len(test),
        max(plan.layout.sequences / form.votes, 1.0),
        server_s=(float(batches.server_s.sum()), float(batches.server_s.median())),
        server_cpu_s=float(batches.server_cpu_s.sum()),
        client_s=float(batches.encrypt_s.sum() + batches.decrypt_s.sum()),
        upload=(float(batches.request_bytes.sum()), float(batches.request_bytes.median())),
    )
    val = form.clear(sets["val"])
    return _finish(space, fold, name, sets, val, clear, form.voted(run.scores), row)


def _plan(space: Workspace, form: EncryptedForm, frames: np.ndarray, count: int) -> Choice:
    """The plan of least time in the smallest ring, up to the study's, that keeps LEAST_BITS.

    All values go into one batch where it has room for them. Raises PlanError when nothing fits.
    """
    he = space.study.he
    degrees = [degree for degree in STANDARD_2018 if degree <= he.poly_degree]
    cost = load_costs(cache_root()).seconds
    reasons = []
    for degree in degrees:
        slots = degree // 2
        batch = slots if count > slots * THROUGHPUT_SHARE else power_of_two(count)
        task = Task(count, batch, 1, he.memory_gb * 1e9, he.latency_s or math.inf, LEAST_BITS)
        try:
            return choose_plan(form.network, task, cost, (degree,), frames)
        except PlanError as error:
            reasons.append(f"N={degree}: {error}")
    raise PlanError("no ring degree serves this method. " + " ".join(reasons))


def _run_bfv(
    space: Workspace, fold: int, fitted: Fitted, sets: Sets
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """CryptoNets in whole numbers: `score` is the integer network's, in clear."""
    form, test = integer_form(fitted, sets), sets["test"]
    images = form.inputs(test)
    folder = space.fold(fold) / "encrypted_methods" / "bfv"
    run, params = evaluate_bfv(form.network, images, folder)
    scored = {}
    for part in ("val", "test"):
        exact = form.network.exact(form.inputs(sets[part]))
        scored[part] = form.voted(form.network.scores(exact))
    rounding = agreement(fitted.scores(test), scored["test"], 0.0)
    row = {
        "scheme": f"BFV, {len(params.plain_moduli)} plain moduli",
        "poly_degree": params.poly_degree,
        "modulus_bits": params.total_bits,
        "levels": 2 * len(form.network.dense) + 1,
        "batch": params.poly_degree // form.votes,
        "budget_bits": run.budget_bits,
        "fold_error": rounding["max_error"],
        "key_bytes": run.bundle_bytes,
    }
    row |= _costs(
        len(test),
        params.poly_degree / form.votes,
        server_s=(run.server_s, run.server_s),
        server_cpu_s=run.server_cpu_s,
        client_s=run.encrypt_s + run.decrypt_s,
        upload=(run.request_bytes, run.request_bytes),
    )
    decrypted = form.voted(form.network.scores(run.values))
    return _finish(space, fold, BFV_NAME, sets, scored["val"], scored["test"], decrypted, row)


def _costs(
    sequences: int,
    batch: float,
    server_s: tuple[float, float],
    server_cpu_s: float,
    client_s: float,
    upload: tuple[float, float],
) -> dict[str, float]:
    """Seconds and bytes a sequence as measured on these, and in a full batch of `batch`.

    `server_s` and `upload` are (all batches, one batch).
    """
    return {
        "server_s": server_s[0] / sequences,
        "server_cpu_s": server_cpu_s / sequences,
        "server_s_full": server_s[1] / batch,
        "client_s": client_s / sequences,
        "upload_MB": upload[0] / sequences / 1e6,
        "upload_MB_full": upload[1] / batch / 1e6,
    }


def _finish(
    space: Workspace,
    fold: int,
    name: str,
    sets: Sets,
    val: np.ndarray,
    clear: np.ndarray,
    encrypted: np.ndarray,
    row: dict[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions with the threshold of validation patients, and the row with its name."""
    target = space.study.train.target_sensitivity
    threshold = choose_threshold(val, sets["val"].labels, target)
    table = score_table(sets["test"], clear, threshold)
    table = table.assign(encrypted=encrypted, fold=fold, method=name)
    return table, {"method": name, "fold": fold} | row
