"""The notebooks' steps on a tiny study, each on what the one before left behind."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import small_study

from heclstm_lib.capacity.layout import Layout
from heclstm_lib.he.plan import Plan
from heclstm_lib.he.sequence_files import normalise
from heclstm_lib.he.store import load_plan, load_signature
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.capacity import Capacity, measured_here
from heclstm_lib.stages.conversion import convert_folds, normalised
from heclstm_lib.stages.encrypted_tables import OURS, with_ours
from heclstm_lib.stages.encryption import evaluation_subset
from heclstm_lib.stages.evidence import Evidence
from heclstm_lib.stages.notebook import number_text, open_stage
from heclstm_lib.stages.row_facts import plan_row
from heclstm_lib.stages.training import (
    Training,
    kept_epochs,
    prediction_table,
    run_baselines,
    train_folds,
)
from heclstm_lib.stages.workspace import Workspace, open_workspace

FOLDS = (0, 2)
TEST_ROWS = ["sequence_id", "patient_id", "label", "score", "threshold", "fold"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The smoke study with 60 sequences, two folds, two epochs a twin."""
    study = small_study(2, 2, folds=FOLDS)
    return open_workspace(study, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def training(space: Workspace) -> Training:
    return train_folds(space, progress=False)


def test_every_fold_predicts_its_own_patients(space: Workspace, training: Training) -> None:
    predictions = training.predictions
    assert set(TEST_ROWS) <= set(predictions.columns)
    for (fold, _, part), rows in predictions.groupby(["fold", "twin", "part"]):
        assert rows.sequence_id.tolist() == list(space.sets(fold)[part].sequence_ids)
        assert rows.label.tolist() == space.sets(fold)[part].labels.tolist()
    assert predictions.groupby(["fold", "twin", "part"]).ngroups == 2 * 2 * 2
    tested = predictions.query("part == 'test' and twin == 'exact'")
    assert tested.patient_id.is_unique  # a patient is tested in one fold


def test_folds_train_from_seeds_of_their_own(space: Workspace) -> None:
    seed = space.study.train.seed
    assert [space.train(fold).seed for fold in FOLDS] == [seed + fold for fold in FOLDS]
    assert dataclasses.replace(space.train(2), seed=seed) == space.study.train


def test_thresholds_reach_the_target_on_validation_patients(
    space: Workspace, training: Training
) -> None:
    ill = training.predictions.query("part == 'val' and label == 1")
    for _, rows in ill.groupby(["fold", "twin"]):
        assert (rows.score >= rows.threshold).mean() >= space.study.train.target_sensitivity
    per_model = training.predictions.groupby(["fold", "twin"]).threshold.nunique()
    assert (per_model == 1).all()


def test_bundles_score_as_the_table_says(space: Workspace, training: Training) -> None:
    for twin in ("exact", "polynomial"):
        trained = load_bundle(space.fold(2) / f"{twin}.pt")
        again = prediction_table(trained, space.sets(2)["test"])
        rows = training.predictions.query("fold == 2 and twin == @twin and part == 'test'")
        np.testing.assert_array_equal(again.score, rows.score)
        np.testing.assert_array_equal(again.threshold, rows.threshold)


def test_curves_fits_and_ranges_of_every_fold(training: Training) -> None:
    epochs = training.history.groupby(["fold", "twin"]).epoch.apply(list)
    assert epochs.tolist() == [[1, 2]] * 4
    for table in (training.fits, training.ranges):
        assert table.groupby("fold").layer.apply(list).map(len).to_dict() == dict.fromkeys(FOLDS, 5)
    assert training.ranges.fraction_outside.between(0, 1).all()


def test_the_kept_epoch_of_every_training_is_marked(training: Training) -> None:
    for _, rows in training.history.groupby(["fold", "twin"]):
        best = max(rows.itertuples(), key=lambda row: (row.val_auc, -row.val_loss))
        assert rows.epoch[rows.kept].tolist() == [best.epoch]  # no score here is out of bounds
    kept = training.history[training.history.kept]
    table = kept_epochs(training.history)
    assert table.index.tolist() == ["exact", "polynomial"] and (table.folds == len(FOLDS)).all()
    for twin, row in table.iterrows():
        own = kept.epoch[kept.twin == twin]
        assert row.first_kept == (own == 1).sum() and row["median"] == own.median()
        assert (row.earliest, row.latest, row.epochs_run) == (own.min(), own.max(), 2)


def test_training_again_takes_up_the_checkpoints(space: Workspace, training: Training) -> None:
    again = train_folds(space, progress=False)
    pd.testing.assert_frame_equal(again.predictions, training.predictions)
    assert (space.fold(0) / "exact.ckpt").is_file()


@pytest.mark.usefixtures("training")
def test_conversion_is_exact_in_clear(space: Workspace) -> None:
    table, candidates = convert_folds(space)
    assert table.fold.tolist() == list(FOLDS)
    assert (table.clear_error < 1e-9).all()
    chosen = candidates[candidates.verdict == "chosen"]
    assert chosen.fold.tolist() == list(FOLDS) and chosen.plan.tolist() == table.plan.tolist()
    assert (table.predicted_bits > 5).all() and (table.headroom_bits > 0).all()
    for row in table.itertuples():
        plan = load_plan(space.fold(row.fold) / "plan.npz")
        assert (len(plan.ops), plan.depth) == (row.operations, row.levels)
        assert plan.params.poly_degree == row.poly_degree == 16384
        assert len(plan.rotations) == row.galois_keys
        signature = load_signature(space.fold(row.fold) / "signature.json")
        assert signature.normalisation is not None
        bare = dataclasses.replace(signature, input_range=None, normalisation=None)
        assert bare == plan.signature
        trained = load_bundle(space.fold(row.fold) / "polynomial.pt")
        seen = normalised(trained, space.sets(row.fold)["train"])
        assert signature.input_range == tuple((c.min(), c.max()) for c in np.moveaxis(seen, 2, 0))
        raw = space.sets(row.fold)["train"].frames.astype(np.float64)
        np.testing.assert_array_equal(normalise(raw, signature), seen)


def test_baselines_stand_on_the_same_test_sequences(space: Workspace, training: Training) -> None:
    table = run_baselines(space)
    tested = training.predictions.query("part == 'test' and twin == 'exact'")
    assert table.method.nunique() == 5
    for _, rows in table.groupby("method"):
        assert rows.sequence_id.tolist() == tested.sequence_id.tolist()
        assert rows.label.tolist() == tested.label.tolist()
    prior = table[table.method == "class prior"]
    assert (prior.groupby("fold").score.nunique() == 1).all()
    assert set(TEST_ROWS) <= set(table.columns)


@pytest.mark.usefixtures("training")
def test_plan_row_of_what_fits(space: Workspace) -> None:
    row, plan = plan_row(space), load_plan_of(space)
    assert row["fits"] == "yes"
    assert row["levels"] == plan.depth and row["galois_keys"] == len(plan.rotations)
    assert row["rotations"] == sum(op.kind == "rotate" for op in plan.ops)


@pytest.mark.usefixtures("training")
def test_plan_row_of_what_does_not_fit(space: Workspace) -> None:
    small = dataclasses.replace(space.study.he, poly_degree=8192)
    study = dataclasses.replace(space.study, he=small)
    row = plan_row(open_workspace(study, space.folder))
    assert set(row) == {"fits"}
    assert "the network needs 11 levels" in row["fits"] and "Use a larger N" in row["fits"]


@pytest.mark.usefixtures("training")
def test_own_batches_stand_beside_the_layout_of_their_size(
    space: Workspace, tmp_path: Path
) -> None:
    together = load_plan_of(space).layout.sequences
    layout = Layout(
        "of this size", together, batch_s=3.0, load_s=1.0, memory_bytes=1e9, request_bytes=1e6,
        response_bytes=1e5, bundle_bytes=1e8,
    )  # fmt: skip
    other = dataclasses.replace(layout, together=2 * together, batch_s=9.0)
    store, capacity = ResultStore(tmp_path), Capacity((other, layout), "by hand")
    assert measured_here(space, Evidence(store), capacity).empty  # notebook 04 was not run
    store.write_result("04_encrypted_evaluation", {"numbers": {"server_s_per_batch": 4.0}})
    row = measured_here(space, Evidence(store), capacity).iloc[0]
    assert (row.together, row.predicted_s, row.measured_s) == (together, 3.0, 4.0)
    assert row.error == pytest.approx(-0.25) and row.workers == space.study.he.workers
    assert measured_here(space, Evidence(store), Capacity((other,), "by hand")).empty


def test_our_row_of_costs_is_what_notebook_04_measured(
    space: Workspace, training: Training, tmp_path: Path
) -> None:
    load_plan_of(space)
    store = ResultStore(tmp_path)
    test = training.predictions.query("part == 'test' and twin == 'polynomial'")
    scores = test.assign(encrypted=test.score).reset_index(drop=True)
    store.write_table("04_encrypted_evaluation.scores", scores)
    seconds = {"server_s": 2.0, "server_cpu_s": 1.5, "encrypt_s": 0.5, "decrypt_s": 0.1}
    batches = pd.DataFrame([{"fold": fold, "sequences": 4} | seconds for fold in FOLDS])
    batches = batches.assign(request_bytes=8e6, bundle_bytes=[700, 900])
    store.write_table("04_encrypted_evaluation.batches", batches)
    none = pd.DataFrame(columns=[*TEST_ROWS, "encrypted", "method"])
    predictions, costs = with_ours(space, store, none, pd.DataFrame(columns=["method", "fold"]))
    assert (predictions.method == OURS).all() and len(predictions) == len(scores)
    assert costs.key_bytes.tolist() == [700, 900]  # as sent, of each fold
    assert costs.server_s.tolist() == [0.5] * len(FOLDS) and costs.upload_MB.tolist() == [2.0, 2.0]


def load_plan_of(space: Workspace) -> Plan:
    path = space.fold(0) / "plan.npz"
    if not path.is_file():
        convert_folds(space)
    return load_plan(path)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=30), st.integers(1, 35))
def test_subset_takes_the_classes_in_turn(labels: list[int], at_most: int) -> None:
    values = np.array(labels)
    chosen = evaluation_subset(values, at_most)
    assert len(chosen) == min(at_most, len(values))
    assert (np.diff(chosen) > 0).all()
    for label in (0, 1):
        own = np.flatnonzero(values == label)
        taken = np.intersect1d(own, chosen)
        assert taken.tolist() == own[: len(taken)].tolist()  # the first of each class
        other = np.sum(values[chosen] != label)
        if len(taken) < len(own):  # a class is short only where the other is as long
            assert len(taken) >= other - 1


def test_subset_without_a_limit_is_everything() -> None:
    assert evaluation_subset(np.array([0, 1, 1]), None).tolist() == [0, 1, 2]
    assert evaluation_subset(np.array([0, 0, 0, 1, 0, 1]), 4).tolist() == [0, 1, 3, 5]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"), (1.0, "1.0000"), (-0.05123, "-0.0512"), (2.94e-6, "2.9e-06"),
        (12.3456, "12.35"), (98765.4, "98,765"), (1e20, "1.0e+20"),
    ],
)  # fmt: skip
def test_numbers_in_reports(value: float, text: str) -> None:
    assert number_text(value) == text


def test_warnings_in_reports_name_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
    open_stage("02_plaintext_training", "smoke", "embedded", str(tmp_path))
    text = warnings.formatwarning("few patients", UserWarning, __file__, 7)
    assert text == "UserWarning: few patients\n"
