"""The ensemble of a study's folds under one key: a request a batch, and its mean score back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from heclstm_lib.batch.workers import make_executor
from heclstm_lib.compiler.share import divide_score
from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.encrypted import EncryptedRun, evaluate_encrypted
from heclstm_lib.he.ensemble import add_plans
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.signature import Signature
from heclstm_lib.he.simulate import Simulation, evaluate_simulated
from heclstm_lib.he.store import load_plan, load_signature, write_plan, write_signature
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.fold import fold_network
from heclstm_lib.paths import encoded_cache
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.conversion import SIMULATED, normalised
from heclstm_lib.stages.encryption import encrypted_ensemble, evaluation_subset
from heclstm_lib.stages.planning import LEAST_BITS, plan_like
from heclstm_lib.stages.workspace import Workspace

CONVERSION = "03_he_conversion.conversion"


@dataclass(frozen=True)
class JointEvaluation:
    """What came back of an ensemble that stayed encrypted.

    `table` has the columns of `encrypted_ensemble`, score being the one decrypted mean;
    `separate` [n] are the means of scores that were decrypted one by one, in the same order.
    """

    table: pd.DataFrame
    separate: Vector
    run: EncryptedRun
    plan: Plan
    simulation: Simulation


def evaluate_ensemble_encrypted(
    space: Workspace, store: ResultStore, scores: pd.DataFrame
) -> JointEvaluation | None:
    """Evaluate the mean of all folds' networks on the sequences of `evaluate_fold_encrypted`.

    `scores` are its rows of every fold. None where folds test different patients, so that there is
    no ensemble, and for plans with refreshes, which cannot be added. Finished batches are kept.
    """
    together = encrypted_ensemble(store, scores)
    if together.empty or space.study.he.refresh:
        return None
    first = space.study.folds[0]
    plan, simulation = plan_ensemble(space, store)
    trained, test = load_bundle(space.fold(first) / "polynomial.pt"), space.sets(first)["test"]
    test = test.subset(evaluation_subset(test.labels, space.study.he.evaluate_at_most))
    folder, workers = space.folder / "ensemble", space.study.he.workers
    with make_executor(workers) as executor:
        run = evaluate_encrypted(
            folder / "plan.npz", normalised(trained, test), folder / "encrypted", executor,
            in_flight=workers + 1, cache=encoded_cache(),
        )  # fmt: skip
    decrypted = dict(zip(test.sequence_ids, run.scores, strict=True))
    table = together.assign(score=together.sequence_id.map(decrypted))
    return JointEvaluation(table, together.score.to_numpy(), run, plan, simulation)


def plan_ensemble(space: Workspace, store: ResultStore) -> tuple[Plan, Simulation]:
    """The plan of the mean of all folds' scores, checked without keys; plan and signature are kept.

    Every fold's network is planned in the form that notebook 03 chose for the first fold: folds may
    have been given different ones. The mean is simulated on validation sequences. Raises PlanError
    where frames are normalised differently, the plans cannot be added, or too few bits are left.
    """
    study, folds = space.study, space.study.folds
    signature = shared_signature([load_signature(space.fold(f) / "signature.json") for f in folds])
    conversion = store.load_table(CONVERSION)
    name = str(conversion[conversion.fold == folds[0]].plan.item())
    sequences = load_plan(space.fold(folds[0]) / "plan.npz").layout.sequences
    trained = [load_bundle(space.fold(fold) / "polynomial.pt") for fold in folds]
    shares = (divide_score(fold_network(one.model), len(folds)) for one in trained)
    plan = add_plans([plan_like(share, study, name, sequences) for share in shares])
    frames = normalised(trained[0], space.sets(folds[0])["val"])[: min(SIMULATED, sequences)]
    simulation = evaluate_simulated(plan, frames)
    if simulation.precision_bits < LEAST_BITS:
        raise PlanError(
            f"ensemble planned as '{name}': {simulation.precision_bits:.1f} bits are predicted, "
            f"at least {LEAST_BITS:g} are wanted. Give the plan a larger scale (fewer frames, "
            "quadratic gates, larger N)."
        )
    seen, pairs = signature.input_range, signature.normalisation
    signature = replace(plan.signature, input_range=seen, normalisation=pairs)
    write_plan(plan, space.folder / "ensemble" / "plan.npz")
    write_signature(signature, space.folder / "ensemble" / "signature.json")
    return plan, simulation


def shared_signature(signatures: list[Signature]) -> Signature:
    """The first signature; PlanError unless all normalise frames alike and expect one range.

    They do where the networks trained on the same patients.
    """
    first = signatures[0]
    for number, one in enumerate(signatures):
        for name in ("normalisation", "input_range"):
            found, wanted = getattr(one, name), getattr(first, name)
            if found != wanted:
                raise PlanError(
                    f"ensemble, network {number}: {name} is {found}, expected {wanted} as of "
                    "network 0. One encrypted input serves only networks that were trained on the "
                    "same patients."
                )
    return first


def ensemble_costs(joint: JointEvaluation, runs: Iterable[EncryptedRun]) -> pd.DataFrame:
    """What the ensemble takes together, and its members' own evaluations one after the other.

    Columns: what, together, separately; medians over batches, MB = 10^6 bytes.
    """
    apart = list(runs)
    rows = [_row("key sets", 1.0, float(len(apart)))]
    bundle = sum(run.bundle_bytes for run in apart) / 1e6
    rows.append(_row("public bundle, MB", joint.run.bundle_bytes / 1e6, bundle))
    for what, column, unit in (
        ("request, MB a batch", "request_bytes", 1e6),
        ("response, MB a batch", "response_bytes", 1e6),
        ("client encrypts, s a batch", "encrypt_s", 1.0),
        ("server, s a batch", "server_s", 1.0),
        ("server processor, s a batch", "server_cpu_s", 1.0),
        ("client decrypts, s a batch", "decrypt_s", 1.0),
    ):
        one, *others = (float(r.batches[column].median()) / unit for r in (joint.run, *apart))
        rows.append(_row(what, one, sum(others)))
    return pd.DataFrame(rows)


def _row(what: str, together: float, separately: float) -> dict[str, str | float]:
    return {"what": what, "together": together, "separately": separately}
