"""Settings chosen in every fold on validation patients, and ensembles of seeds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_study import small_study

from heclstm_lib.config import Setting
from heclstm_lib.errors import DivergenceError, TrainingError
from heclstm_lib.evaluation.ensemble import ensemble_rows, mean_over_folds
from heclstm_lib.evaluation.operating_point import choose_threshold
from heclstm_lib.methods.budget import budget_of
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.encryption import encrypted_ensemble
from heclstm_lib.stages.training import Training, prediction_table, train_folds
from heclstm_lib.stages.workspace import Workspace, open_workspace

USELESS, USEFUL = Setting(1e-9, 0.0, 1e-9), Setting(1e-2, 1e-3)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study that tries a rate which cannot learn and one that can."""
    study = small_study(6, 2, train={"learning_rate": 0.5}, search=(USELESS, USEFUL))
    return open_workspace(study, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def training(space: Workspace) -> Training:
    with pytest.raises(TrainingError, match="notebook 02"):
        space.train(0)
    return train_folds(space, progress=False)


def test_the_better_setting_on_validation_patients_is_kept(
    space: Workspace, training: Training
) -> None:
    table = training.search
    assert table.setting.tolist() == [str(USELESS), str(USEFUL)]
    chosen = table[table.chosen]
    assert chosen.val_auc_polynomial.tolist() == [table.val_auc_polynomial.max()]
    kept = next(s for s in (USELESS, USEFUL) if str(s) == chosen.setting.item())
    train = space.train(0)  # what later stages train with
    assert (train.learning_rate, train.weight_decay) == (kept.learning_rate, kept.weight_decay)
    open_rate = kept.polynomial_learning_rate or space.study.train.polynomial_learning_rate
    assert train.polynomial_learning_rate == open_rate


def test_the_stored_model_is_the_chosen_one(space: Workspace, training: Training) -> None:
    rows = training.predictions.query("twin == 'polynomial' and part == 'test'")
    trained = load_bundle(space.fold(0) / "polynomial.pt")
    again = prediction_table(trained, space.sets(0)["test"])
    np.testing.assert_array_equal(again.score, rows.score)


def test_competing_methods_try_the_same_settings_for_as_long(space: Workspace) -> None:
    budget = budget_of(space.study)
    assert budget.settings == space.study.search
    ours = len(budget.settings) * space.study.train.epochs
    assert len(budget.settings) * budget.epochs(10_000) == ours
    alone = budget_of(dataclasses.replace(space.study, search=()))
    assert len(alone.settings) * alone.epochs(10_000) == space.study.train.epochs


def test_a_candidate_that_diverges_is_not_chosen(tmp_path: Path) -> None:
    wild = Setting(1e-2, 1e-3, 6400.0)  # four quarters of it are too fast too
    study = small_study(2, 2, search=(wild, USEFUL))
    space = open_workspace(study, tmp_path)
    table = train_folds(space, progress=False).search
    assert table.chosen.tolist() == [False, True] and np.isnan(table.val_auc_polynomial[0])
    alone = dataclasses.replace(space, study=dataclasses.replace(study, search=(wild,)))
    with pytest.raises(DivergenceError, match="all 1 candidates"):
        train_folds(alone, progress=False)


def rows_of(folds: dict[int, list[float]], part: str = "test") -> pd.DataFrame:
    tables = [
        pd.DataFrame(
            {"sequence_id": ["a", "b", "c", "d"], "patient_id": ["p", "q", "r", "s"],
             "label": [0, 1, 0, 1], "score": scores, "threshold": 9.0, "fold": fold,
             "twin": "polynomial", "part": part}
        )
        for fold, scores in folds.items()
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def test_an_ensemble_is_the_mean_of_seeds_with_a_threshold_of_its_own() -> None:
    test = rows_of({0: [0.0, 1.0, 2.0, 3.0], 1: [4.0, 1.0, 0.0, 5.0]})
    val = rows_of({0: [0.0, 1.0, 0.0, 2.0], 1: [0.0, 3.0, 0.0, 2.0]}, "val")
    together = ensemble_rows(pd.concat([test, val], ignore_index=True), 1.0)
    found = together[together.part == "test"]
    assert found.score.tolist() == [2.0, 1.0, 1.0, 4.0] and set(found.twin) == {"ensemble"}
    expected = choose_threshold(np.array([0.0, 2.0, 0.0, 2.0]), np.array([0, 1, 0, 1]), 1.0)
    assert set(together.threshold) == {expected} == {2.0}


def test_folds_that_test_different_patients_are_no_ensemble() -> None:
    one = rows_of({0: [0.0, 1.0, 2.0, 3.0]})
    other = rows_of({1: [0.0, 1.0, 2.0, 3.0]}).assign(sequence_id=["e", "f", "g", "h"])
    assert mean_over_folds(one).empty  # one seed
    assert mean_over_folds(pd.concat([one, other])).empty
    assert (
        mean_over_folds(pd.concat([one, other.assign(sequence_id=one.sequence_id)]))
        .fold.eq(0)
        .all()
    )


def test_the_encrypted_ensemble_averages_what_was_decrypted(tmp_path: Path) -> None:
    members = rows_of({0: [0.0, 1.0, 2.0, 3.0], 1: [4.0, 1.0, 0.0, 5.0]})
    val = rows_of({0: [0.0, 1.0, 0.0, 2.0], 1: [0.0, 3.0, 0.0, 2.0]}, "val")
    predictions = pd.concat([members, val], ignore_index=True)
    store = ResultStore(tmp_path)
    together = pd.concat([predictions, ensemble_rows(predictions, 1.0)], ignore_index=True)
    store.write_table("02_plaintext_training.predictions", together)
    found = encrypted_ensemble(store, members.assign(encrypted=members.score + 0.25))
    assert found.clear.tolist() == [2.0, 1.0, 1.0, 4.0]
    assert found.score.tolist() == [2.25, 1.25, 1.25, 4.25]
    assert set(found.threshold) == {2.0} and set(found.fold) == {0}
    assert encrypted_ensemble(store, members[members.fold == 0].assign(encrypted=0.0)).empty
