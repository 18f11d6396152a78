"""Competing methods through client and server: decrypted scores are the methods' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.config import DatasetStudy, load_profile
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.errors import PlanError
from heclstm_lib.figures.encrypted_methods import plot_method_costs, plot_method_errors
from heclstm_lib.methods.folding import LARGEST_SCORE, encrypted_form, integer_form
from heclstm_lib.methods.registry import Fitted, budget_of, find_method
from heclstm_lib.stages.encrypted_methods import (
    BFV_NAME,
    encrypted_names,
    run_encrypted_methods,
)
from heclstm_lib.stages.encrypted_tables import agreement_by_method, auc_by_method, cost_table
from heclstm_lib.stages.workspace import Workspace, open_workspace

NAMES = ("gaussian_nb", "linear_svm", "class_prior")


@pytest.fixture(scope="module")
def study() -> DatasetStudy:
    smoke = load_profile("smoke").studies[0]
    data = replace(smoke.data, image_size=12, sequences=60)
    train = replace(smoke.train, epochs=1, patience=1)
    he = replace(smoke.he, evaluate_at_most=6)
    return replace(smoke, data=data, train=train, he=he, methods=NAMES)


@pytest.fixture(scope="module")
def space(study: DatasetStudy, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(study, tmp_path_factory.mktemp("methods"))


@pytest.fixture(scope="module")
def sets(space: Workspace) -> dict[str, SequenceSet]:
    return space.sets(0)


@pytest.fixture(scope="module")
def cryptonets(space: Workspace, sets: dict[str, SequenceSet]) -> Fitted:
    return find_method("cryptonets").fit(sets, budget_of(space.study))


def test_classical_methods_agree_encrypted(space: Workspace) -> None:
    assert encrypted_names(space) == ["linear_svm", "gaussian_nb"]
    predictions, costs = run_encrypted_methods(space)
    assert list(costs.method) == ["linear_svm", "gaussian_nb"]
    agreed = agreement_by_method(predictions)
    assert (agreed.relative_bits > 12).all()
    assert list(agreed.n) == [6, 6] and not agreed.flips.any()
    areas = auc_by_method(predictions, 50)
    assert list(areas.scores) == ["clear", "encrypted"] * 2
    assert areas.estimate.nunique() == areas.groupby("method").estimate.first().nunique()
    table = cost_table(costs)
    assert (table[["server_s", "upload_MB", "keys_MB"]] > 0).all().all()
    assert len(plot_method_costs(costs).axes) == 2
    assert len(plot_method_errors(predictions).axes) == 1
    again, _ = run_encrypted_methods(space)  # finished batches are kept: no new noise
    pd.testing.assert_frame_equal(again, predictions)


@pytest.mark.slow
def test_cryptonets_in_whole_numbers_on_every_fold(study: DatasetStudy, tmp_path: Path) -> None:
    he, folds = replace(study.he, bfv=True, evaluate_at_most=2), (0, 1)
    both = replace(study, he=he, folds=folds, methods=("cryptonets",))
    predictions, costs = run_encrypted_methods(open_workspace(both, tmp_path))
    whole = predictions[predictions.method == BFV_NAME]
    assert costs[costs.method == BFV_NAME].fold.tolist() == list(folds)
    assert len(whole) == len(predictions) / 2 == 4
    pd.testing.assert_series_equal(whole.encrypted, whole.score, check_names=False)  # exactly
    assert (costs[costs.method == BFV_NAME].budget_bits > 0).all()


def test_a_study_without_such_methods_gives_empty_tables(space: Workspace) -> None:
    none = replace(space, study=replace(space.study, methods=()))
    predictions, costs = run_encrypted_methods(none)
    assert len(predictions) == len(costs) == 0


def test_an_image_method_folds_to_its_own_votes(
    sets: dict[str, SequenceSet], cryptonets: Fitted
) -> None:
    form = encrypted_form(cryptonets, sets)
    np.testing.assert_allclose(form.clear(sets["test"]), cryptonets.scores(sets["test"]), atol=1e-5)
    largest = max(
        np.abs(form.network.outputs(form.inputs(sets[part])[:, 0])).max()
        for part in ("train", "val")
    )
    assert largest == pytest.approx(LARGEST_SCORE)
    assert form.votes == sets["test"].frames.shape[1]


def test_whole_numbers_stay_near_the_method_padding_included(
    sets: dict[str, SequenceSet], cryptonets: Fitted
) -> None:
    form, test = integer_form(cryptonets, sets), sets["test"]
    images = form.inputs(test)
    assert images.shape[-1] == test.frames.shape[-1] + 2
    found = form.voted(form.network.scores(form.network.exact(images)))
    wanted = cryptonets.scores(test)
    assert np.abs(found - wanted).max() < 0.5 * wanted.std()


def test_other_methods_are_refused(sets: dict[str, SequenceSet]) -> None:
    class Other:
        notes: dict[str, object] = {}  # noqa: RUF012

        def scores(self, sequences: SequenceSet) -> np.ndarray:
            return np.zeros(len(sequences))

    with pytest.raises(PlanError, match="cannot be evaluated encrypted"):
        encrypted_form(Other(), sets)
    with pytest.raises(PlanError, match="no network on single frames"):
        integer_form(Other(), sets)
