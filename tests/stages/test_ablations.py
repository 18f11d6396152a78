"""Rows of the grid are run once, taken up, resumed, and say what they could not do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from small_study import small_study

from heclstm_lib.cli import main
from heclstm_lib.config import to_dict
from heclstm_lib.errors import ConfigError
from heclstm_lib.figures.ablations import plot_axes
from heclstm_lib.grid import Row, load_grid
from heclstm_lib.models.checkpoint import load_bundle
from heclstm_lib.models.training_run import Run
from heclstm_lib.results import ResultStore
from heclstm_lib.stages.ablation_tables import (
    comparison_by_axis,
    encrypted_table,
    full_encrypted,
    joined_predictions,
    plan_table,
)
from heclstm_lib.stages.ablations import RowResult, rows_folder, run_row, run_rows
from heclstm_lib.stages.row_facts import plan_row
from heclstm_lib.stages.training import train_folds
from heclstm_lib.stages.workspace import Workspace, open_workspace

GRID = load_grid()
TRAINED = ("no_lstm", "cubic_gates", "frames_8")
EPOCHS = 2  # of each twin


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The smoke study with 60 sequences and two epochs a twin."""
    study = small_study(EPOCHS, EPOCHS, ablations=())
    return open_workspace(study, tmp_path_factory.mktemp("study") / "work" / "embedded")


@pytest.fixture(scope="module")
def folder(space: Workspace) -> Path:
    return rows_folder(space.folder.parents[1], "embedded")


@pytest.fixture(scope="module")
def results(space: Workspace, folder: Path) -> list[RowResult]:
    """Rows that train, and one that evaluates encrypted."""
    return run_rows(space, [GRID.row(name) for name in (*TRAINED, "scale_30")], folder)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that are trained from here on."""
    seen: list[int] = []
    step = Run.step

    def counted(run: Run) -> dict[str, float]:
        seen.append(run.epoch + 1)
        return step(run)

    monkeypatch.setattr(Run, "step", counted)
    return seen


def trained(results: list[RowResult]) -> list[RowResult]:
    return [one for one in results if one.row.name in TRAINED]


def test_rows_train_networks_of_their_own(space: Workspace, results: list[RowResult]) -> None:
    test = space.sets(0)["test"]
    scores = [one.predictions.score.to_numpy() for one in trained(results)]
    for one in trained(results):
        assert one.predictions.sequence_id.tolist() == list(test.sequence_ids)
        assert one.predictions.method.unique().tolist() == [one.row.name]
    assert not np.allclose(scores[0], scores[1]) and not np.allclose(scores[1], scores[2])


def test_rows_are_planned(results: list[RowResult]) -> None:
    without, cubic, long = (one.record["plan"] for one in trained(results))
    assert (without["fits"], without["levels"], without["poly_degree"]) == ("yes", 2, 16384)
    assert (cubic["fits"], cubic["levels"]) == ("yes", 11 + 2)  # degree 3: a level in each step
    assert without["predicted_batch_s"] < cubic["predicted_batch_s"]
    assert set(long) == {"fits"} and "levels" in long["fits"]  # eight frames do not fit


def test_files_are_those_that_a_workflow_names(folder: Path, results: list[RowResult]) -> None:
    for one in results:
        record = json.loads((folder / one.row.name / "row.json").read_text(encoding="utf-8"))
        assert record["name"] == one.row.name and record["axis"] == one.row.axis
        assert record["provenance"]["config"]["dataset"] == "embedded"
        assert len(record["provenance"]["data_digests"]["embedded"]) == 64
        stored = pd.read_parquet(folder / one.row.name / "predictions.parquet")
        pd.testing.assert_frame_equal(stored, one.predictions)
    assert folder.parts[-3:] == ("embedded", "work", "ablations")


def test_encryption_rows_take_the_studys_network(
    space: Workspace, folder: Path, results: list[RowResult]
) -> None:
    own = next((folder / "scale_30").glob("run-*")) / "fold0" / "polynomial.pt"
    assert own.read_bytes() == (space.fold(0) / "polynomial.pt").read_bytes()
    record, table = results[-1].record, results[-1].predictions
    found, plan = record["encrypted"], record["plan"]
    assert plan["scale_bits"] == 30 and plan["fits"] == "yes"
    limit, tested = space.study.he.evaluate_at_most, len(space.sets(0)["test"].labels)
    assert limit is not None and found["n"] == len(table) == min(limit, tested)
    error = np.abs(table.encrypted - table.score)
    assert found["precision_bits"] == pytest.approx(-np.log2(error.mean())) and error.max() > 0
    assert found["precision_bits"] >= 10 and found["flips"] == 0
    assert found["batch_s"] > found["sequence_s"] > 0 and found["request_bytes"] > 1e5
    trained = load_bundle(own)
    assert np.allclose(table.threshold, trained.threshold)


def test_a_row_that_trains_and_is_encrypted_keeps_every_prediction(
    space: Workspace, results: list[RowResult]
) -> None:
    one = next(one for one in results if one.row.name == "cubic_gates")
    found, tested = one.record["encrypted"], len(space.sets(0)["test"].labels)
    assert one.row.trains and one.row.encrypts and len(one.predictions) == tested
    limit = space.study.he.evaluate_at_most
    assert limit is not None and found["n"] == min(limit, tested)
    assert found["precision_bits"] > 9 and found["flips"] == 0


def test_finished_rows_are_taken_up(
    space: Workspace, folder: Path, results: list[RowResult], steps: list[int]
) -> None:
    again = run_rows(space, [one.row for one in results], folder)
    assert steps == []
    for one, two in zip(results, again, strict=True):
        assert one.record["digest"] == two.record["digest"]
        pd.testing.assert_frame_equal(one.predictions, two.predictions)


def test_a_base_trained_by_the_row_is_the_studys_own(
    space: Workspace, results: list[RowResult], steps: list[int]
) -> None:
    table = train_folds(space, progress=False).predictions
    assert steps == []  # what the encryption row trained is what notebook 02 would
    tested = table.query("part == 'test' and twin == 'polynomial'").set_index("sequence_id").score
    scores = results[-1].predictions.set_index("sequence_id").score
    np.testing.assert_allclose(scores, tested[scores.index], rtol=1e-4, atol=1e-4)  # float32, 64


def test_another_configuration_is_trained_anew(
    space: Workspace, tmp_path: Path, steps: list[int]
) -> None:
    row = GRID.row("no_lstm")
    first = run_row(space, row, tmp_path, progress=False)
    assert steps == [1, 2, 1, 2]
    train = dataclasses.replace(space.study.train, seed=7)
    other = dataclasses.replace(space, study=dataclasses.replace(space.study, train=train))
    second = run_row(other, row, tmp_path, progress=False)
    assert len(steps) == 8 and not first.predictions.score.equals(second.predictions.score)
    assert len(list((tmp_path / "no_lstm").glob("run-*"))) == 1  # the first one's files are gone
    assert run_row(other, row, tmp_path).record == json.loads(
        (tmp_path / "no_lstm" / "row.json").read_text(encoding="utf-8")
    )


def test_an_interrupted_row_goes_on_from_its_checkpoint(
    space: Workspace, tmp_path: Path, results: list[RowResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    step = Run.step

    def stopped(run: Run) -> dict[str, float]:
        seen.append(run.epoch + 1)
        if len(seen) == 4:  # before the last epoch of the second twin
            raise KeyboardInterrupt
        return step(run)

    monkeypatch.setattr(Run, "step", stopped)
    row = GRID.row("no_lstm")
    with pytest.raises(KeyboardInterrupt):
        run_row(space, row, tmp_path, progress=False)
    assert not (tmp_path / row.name / "row.json").exists()
    resumed = run_row(space, row, tmp_path, progress=False)
    assert seen == [1, 2, 1, 2, 2]
    pd.testing.assert_frame_equal(resumed.predictions, results[0].predictions, check_exact=True)


def test_what_cannot_be_done_is_told(space: Workspace, tmp_path: Path) -> None:
    rate = Row("wild", "", "rate", {"train": {"polynomial_learning_rate": 1e30}})
    wild = run_row(space, rate, tmp_path, progress=False)
    assert "the loss became" in wild.record["diverged"] and wild.predictions.empty
    ring = Row("ring_8192", "", "scheme", {"he": {"poly_degree": 8192}})
    small = run_row(space, ring, tmp_path, progress=False)
    assert "needs 11 levels" in small.record["plan"]["fits"]
    assert small.predictions.empty and small.record["encrypted"] == {}
    again = run_row(space, ring, tmp_path, progress=False)  # taken up all the same
    assert again.record["digest"] == small.record["digest"]
    table = plan_table({"fits": "yes"}, [wild, small])
    assert table.row.tolist() == ["full", "wild", "ring_8192"]
    assert "no network" in table.fits[1] and "needs 11 levels" in table.fits[2]


def test_rows_that_change_nothing_and_no_rows_are_refused(space: Workspace, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"'frames_2' changes nothing"):
        run_row(space, GRID.row("frames_2"), folder)
    with pytest.raises(ConfigError, match=r"'embedded' lists no ablations.*`ablations`"):
        run_rows(space, [], folder)


def test_tables_of_the_notebook(space: Workspace, results: list[RowResult]) -> None:
    full = train_folds(space, progress=False).predictions
    full = full.query("part == 'test' and twin == 'polynomial'")
    joined = joined_predictions(full, results)
    assert joined.method.unique().tolist() == ["full", *TRAINED]
    plans = plan_table(plan_row(space), results)
    assert plans.row.tolist() == ["full", *TRAINED, "scale_30"] and plans.levels[0] == 11
    encrypted = encrypted_table(full_encrypted(ResultStore(space.folder), {}), results)
    assert encrypted.row.tolist() == ["cubic_gates", "scale_30"]
    cubic, scale_30 = encrypted.precision_bits
    assert cubic > 9 and scale_30 > 10  # a study asks for 10, as predicted
    measured = pd.DataFrame(
        {"method": ["full", *TRAINED], "difference": [np.nan, -0.1, 0.0, 0.1]}
        | {"difference_low": [np.nan, -0.2, -0.1, 0.0], "difference_high": [np.nan, 0, 0.1, 0.2]}
        | {"p_holm": [np.nan, 0.01, 0.9, 0.5]}
    )
    by_axis = comparison_by_axis(measured, results)
    assert by_axis.row.tolist() == list(TRAINED)
    labels = plot_axes(by_axis, "AUC").axes[0].get_yticklabels()
    assert labels[0].get_text() == "recurrence: no_lstm"


def test_command_runs_one_row_without_any_notebook(
    space: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "mine.yml"
    study = json.loads(json.dumps(to_dict(space.study)))
    profile.write_text(yaml.safe_dump({"name": "mine", "studies": [study]}), encoding="utf-8")
    out = tmp_path / "out"
    given = ["ablate", "--profile", str(profile), "--dataset", "embedded", "--out", str(out)]
    assert main([*given, "--row", "equal_votes"]) == 0
    said = capsys.readouterr().out
    assert "voting = equal" in said and "levels 11" in said
    place = out / "embedded" / "work" / "ablations" / "equal_votes"
    assert json.loads((place / "row.json").read_text(encoding="utf-8"))["format"] == 1
    assert set(pd.read_parquet(place / "predictions.parquet").method) == {"equal_votes"}
    assert main([*given, "--row", "nosuch"]) == 2
    assert "unknown ablation 'nosuch'" in capsys.readouterr().err
    mine = tmp_path / "grid.yml"
    mine.write_text("r: {says: few, axis: hidden, changes: {model: {hidden: 2}}}", encoding="utf-8")
    assert main([*given, "--list", "--grid", str(mine)]) == 0
    assert "model.hidden = 2" in capsys.readouterr().out
