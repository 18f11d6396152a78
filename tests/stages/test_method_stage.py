"""Methods of a study: cached by content, on the same test patients, order told honestly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from heclstm_lib.config import list_profiles, load_profile
from heclstm_lib.errors import ConfigError
from heclstm_lib.evaluation.calibration import platt_scaling
from heclstm_lib.evaluation.metrics import metric_table
from heclstm_lib.methods.registry import METHODS
from heclstm_lib.stages import methods as stage
from heclstm_lib.stages.method_tables import counts_text, epochs_text, fit_table
from heclstm_lib.stages.methods import (
    COLUMNS,
    fit_methods,
    fold_budget,
    order_evidence,
    run_methods,
)
from heclstm_lib.stages.workspace import Workspace, open_workspace

NAMES = ("gaussian_nb", "class_prior")


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    study = load_profile("smoke").study("embedded")
    data = dataclasses.replace(study.data, sequences=60)
    return open_workspace(dataclasses.replace(study, data=data, folds=(0, 2)), tmp_path)


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: Any) -> Any:
        raise AssertionError("fitted again")

    monkeypatch.setattr(stage, "fit_method", fail)


def test_every_fold_scores_its_test_patients_and_is_kept(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, fits = fit_methods(space, NAMES)
    assert list(table.columns) == [*COLUMNS, "probability"]
    for (fold, _), rows in table.groupby(["fold", "method"]):
        assert rows.sequence_id.tolist() == list(space.sets(fold)["test"].sequence_ids)
        assert rows.threshold.nunique() == 1
    assert fits.groupby(["fold", "method"]).ngroups == 4 == len(fits)
    assert fit_table(fits).index.tolist() == list(NAMES)
    forbid(monkeypatch)
    pd.testing.assert_frame_equal(run_methods(space, NAMES), table)
    pd.testing.assert_frame_equal(fit_methods(space, NAMES)[1], fits)


def test_another_budget_or_other_sequences_are_fitted_anew(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_methods(space, NAMES)
    forbid(monkeypatch)
    train = dataclasses.replace(space.study.train, target_sensitivity=0.5)
    other = dataclasses.replace(space, study=dataclasses.replace(space.study, train=train))
    with pytest.raises(AssertionError, match="fitted again"):
        run_methods(other, NAMES)
    fewer = dataclasses.replace(space, sequences=space.sequences.subset(np.arange(50)))
    with pytest.raises(AssertionError, match="fitted again"):
        run_methods(fewer, NAMES)


def test_a_fit_cut_off_is_fitted_again(space: Workspace) -> None:
    table = run_methods(space, NAMES)
    for path in (space.folder / "methods" / "gaussian_nb").glob("*.parquet"):
        path.unlink()
    pd.testing.assert_frame_equal(run_methods(space, NAMES), table)


@pytest.mark.parametrize("name", ["linear_svm", "gaussian_nb"])
def test_every_method_has_the_probabilities_of_its_validation_patients(
    space: Workspace, name: str
) -> None:
    """Margins and log odds alike are Platt's of their own fold's validation scores."""
    table, fits = fit_methods(space, (name,))
    for fold, rows in table.groupby("fold"):
        sets = space.sets(int(fold))
        fitted = METHODS[name].fit(sets, fold_budget(space, int(fold)))
        val = pd.DataFrame({"fold": fold, "score": fitted.scores(sets["val"])})
        val["label"] = sets["val"].labels
        np.testing.assert_allclose(rows.probability, platt_scaling(val, rows))
        assert np.ptp(rows.probability - expit(rows.score)) > 1e-3
        kept = fits[fits.fold == fold].iloc[0]
        logit = kept.platt_intercept + kept.platt_slope * rows.score
        np.testing.assert_allclose(rows.probability, expit(logit))
    scaled = metric_table(table, 20).set_index("metric").estimate
    raw = metric_table(table.drop(columns="probability"), 20).set_index("metric").estimate
    assert scaled["brier"] == pytest.approx(((table.probability - table.label) ** 2).mean())
    assert scaled["brier"] != raw["brier"] and scaled.drop("brier").equals(raw.drop("brier"))


def test_a_kept_fit_whose_probability_meant_something_else_is_not_taken_up(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PROBABILITY", "sigmoid of the score")
    run_methods(space, NAMES)
    monkeypatch.undo()
    forbid(monkeypatch)
    with pytest.raises(AssertionError, match="fitted again"):
        run_methods(space, NAMES)


def test_none_and_unknown_methods(space: Workspace) -> None:
    table, fits = fit_methods(space, ())
    assert table.empty and list(table.columns) == [*COLUMNS, "probability"]
    assert fit_table(fits).empty
    with pytest.raises(ConfigError, match="unknown method 'resnet'"):
        run_methods(space, ("gaussian_nb", "resnet"))
    assert not (space.folder / "methods").exists()


def make_rows(**scores: np.ndarray) -> pd.DataFrame:
    count = len(next(iter(scores.values())))
    names = [f"p{i}" for i in range(count)]
    own = {"sequence_id": names, "patient_id": names, "label": np.arange(count) % 2}
    tables = [
        pd.DataFrame(own | {"score": value, "threshold": 0.0, "fold": 0, "method": name})
        for name, value in scores.items()
    ]
    return pd.concat(tables, ignore_index=True)


def test_order_is_claimed_only_where_every_control_is_worse() -> None:
    rng = np.random.default_rng(0)
    label, noise = np.arange(80) % 2, rng.standard_normal(80)
    good, other = 3 * label + 0.1 * noise, rng.standard_normal(80)
    said = order_evidence(make_rows(exact=good, shuffled_order=noise, mean_logit=other), 200)[1]
    assert said.startswith("Order carries a signal here")
    said = order_evidence(make_rows(exact=good, shuffled_order=good + noise / 9), 200)[1]
    assert said.startswith("This data set does not show that temporal order")
    said = order_evidence(make_rows(exact=good, shuffled_order=noise, mean_logit=good), 200)[1]
    assert said.startswith("The controls disagree: only shuffled_order")
    table, said = order_evidence(make_rows(exact=good), 200)
    assert table.empty and "nothing is said" in said


def test_profiles_name_methods_that_exist() -> None:
    for name in list_profiles():
        for study in load_profile(name).studies:
            assert set(study.methods) <= set(METHODS), (name, study.dataset)
    assert set(load_profile("reference").study("iarc").methods) == set(METHODS)


def test_what_folds_chose_is_told_briefly() -> None:
    assert counts_text(["C 1"]) == "C 1"
    assert counts_text(["C 10", "C 1", "C 1"]) == "C 1 (2); C 10 (1)"
    assert epochs_text([]) == ""
    assert epochs_text(["4 of 60", "4 of 60"]) == "4 of 60"
    kept = ["58 of 60", "3 of 60", "12 of 300"]
    assert epochs_text(kept) == "3 to 58 of 60 or 300, median 12"
