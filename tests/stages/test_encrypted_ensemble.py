"""Folds that are seeds of one split: their mean is evaluated encrypted, under one key."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor, Future

import numpy as np
import pandas as pd
import pytest
from small_study import small_study

from heclstm_lib.compiler.planner import Choice
from heclstm_lib.config import DatasetStudy
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import PlanError
from heclstm_lib.evaluation.agreement import agreement
from heclstm_lib.he.packing import Vector
from heclstm_lib.he.store import load_plan, load_signature
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.results import ResultStore
from heclstm_lib.stages import conversion
from heclstm_lib.stages.conversion import convert_folds
from heclstm_lib.stages.encrypted_ensemble import (
    ensemble_costs,
    evaluate_ensemble_encrypted,
    plan_ensemble,
    shared_signature,
)
from heclstm_lib.stages.encryption import evaluate_fold_encrypted
from heclstm_lib.stages.planning import choose_study_plan, plan_like
from heclstm_lib.stages.training import train_folds
from heclstm_lib.stages.workspace import Workspace, open_workspace

FOLDS = (0, 1)


class OneSplit(Workspace):
    """Every fold has the first one's patients, as under an official split."""

    def sets(self, fold: int) -> dict[str, SequenceSet]:
        return super().sets(0 * fold)


class Inline(Executor):
    """Runs a task at once in this process: no worker has to start."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future[object] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("encryption", "encrypted_ensemble"):
        monkeypatch.setattr(f"heclstm_lib.stages.{module}.make_executor", lambda _: Inline())


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    study = small_study(2, 2, folds=FOLDS)
    study = dataclasses.replace(study, he=dataclasses.replace(study.he, evaluate_at_most=10))
    opened = open_workspace(study, tmp_path_factory.mktemp("work"))
    return OneSplit(opened.study, opened.sequences, opened.folder)


@pytest.fixture(scope="module")
def store(space: Workspace) -> ResultStore:
    """What notebooks 02 and 03 leave behind; the second fold was given a plan of another form."""
    results = ResultStore(space.folder / "results")
    results.write_table("02_plaintext_training.predictions", train_folds(space, False).predictions)
    calls = iter(FOLDS)

    def choose(
        network: FoldedNetwork, study: DatasetStudy, count: int, frames: Vector | None = None
    ) -> Choice:
        choice = choose_study_plan(network, study, count, frames)
        others = [one for one in choice.runners_up if not one.why_not]
        return dataclasses.replace(choice, chosen=others[0]) if next(calls) else choice

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "choose_study_plan", choose)
        results.write_table("03_he_conversion.conversion", convert_folds(space)[0])
    return results


def test_the_mean_of_two_seeds(space: Workspace, store: ResultStore) -> None:
    assert store.load_table("03_he_conversion.conversion").plan.nunique() == 2
    found = [evaluate_fold_encrypted(space, fold) for fold in FOLDS]
    scores = pd.concat([table for table, _, _ in found], ignore_index=True)
    joint = evaluate_ensemble_encrypted(space, store, scores)
    assert joint is not None
    table = joint.table
    columns = ["sequence_id", "patient_id", "label", "clear", "score", "fold", "threshold"]
    assert table.columns.tolist() == columns and set(table.fold) == {0}
    assert table.sequence_id.tolist() == found[0][0].sequence_id.tolist() and len(table) == 10
    agreed = agreement(table.clear.to_numpy(), table.score.to_numpy(), table.threshold.iloc[0])
    assert agreed["precision_bits"] > 10
    np.testing.assert_allclose(joint.separate, table.score, atol=2**-8)
    costs = ensemble_costs(joint, [run for _, run, _ in found]).set_index("what")
    assert costs.loc["key sets"].tolist() == [1, 2]
    share = costs.together / costs.separately
    assert share["response, MB a batch"] == pytest.approx(0.5, abs=0.01)
    assert 0 < share["public bundle, MB"] < 1
    again = evaluate_ensemble_encrypted(space, store, scores)  # from finished batches
    assert again is not None
    pd.testing.assert_frame_equal(again.table, table)
    client = load_signature(space.folder / "ensemble" / "signature.json")
    assert client == dataclasses.replace(
        load_signature(space.fold(0) / "signature.json"),
        rotations=joint.plan.rotations, inputs=joint.plan.inputs, digest=joint.plan.digest,
    )  # fmt: skip
    refreshing = dataclasses.replace(space.study.he, refresh=True)
    asked = dataclasses.replace(space, study=dataclasses.replace(space.study, he=refreshing))
    assert evaluate_ensemble_encrypted(asked, store, scores) is None
    assert evaluate_ensemble_encrypted(space, store, found[0][0]) is None  # one fold: no ensemble


def test_the_form_is_that_of_the_first_fold(space: Workspace, store: ResultStore) -> None:
    plan, simulation = plan_ensemble(space, store)
    first = load_plan(space.fold(0) / "plan.npz")
    assert (plan.params, plan.layout) == (first.params, first.layout)
    assert plan.inputs == first.inputs and plan.rotations == first.rotations
    assert simulation.headroom_bits > 0


def test_an_unknown_form_is_named(space: Workspace, store: ResultStore) -> None:
    network = conversion.fold_network(conversion.load_bundle(space.fold(0) / "polynomial.pt").model)
    name = store.load_table("03_he_conversion.conversion").plan[0]
    first = load_plan(space.fold(0) / "plan.npz")
    assert plan_like(network, space.study, name, 8).layout == first.layout
    with pytest.raises(PlanError, match=r"'N=1 x1, by hand': got no such form .*gates apart"):
        plan_like(network, space.study, "N=1 x1, by hand", 8)


@pytest.mark.usefixtures("store")
def test_one_input_needs_one_normalisation(space: Workspace) -> None:
    one, other = (load_signature(space.fold(fold) / "signature.json") for fold in FOLDS)
    assert shared_signature([one, other]) == one
    moved = dataclasses.replace(other, normalisation=((0.0, 1.0),))
    with pytest.raises(PlanError, match=r"network 1: normalisation is .*same patients"):
        shared_signature([one, moved])
