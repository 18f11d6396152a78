"""The ablation grid: one declared change a row, strictly read; every row folds and plans."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from heclstm_lib.compiler.chain import choose_parameters
from heclstm_lib.compiler.network import plan_network
from heclstm_lib.config import DataConfig, DatasetStudy, ModelConfig, list_profiles, load_profile
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import ConfigError, DepthBudgetExceeded
from heclstm_lib.grid import load_grid
from heclstm_lib.he.clear import evaluate_clear
from heclstm_lib.he.plan import Plan
from heclstm_lib.models.convlstm import ConvLSTM
from heclstm_lib.models.fold import fold_network
from heclstm_lib.models.folded import FoldedNetwork
from heclstm_lib.stages.ablation_tables import list_rows
from heclstm_lib.stages.planning import choose_study_plan

GRID = load_grid()
SMALL = DatasetStudy(
    "embedded", DataConfig(frames=2, colour="gray"), ModelConfig(conv_channels=(4,), hidden=4)
)
EXPECTED = {
    "no_weighted_unit": {"model.weighted_unit": "off"},
    "no_voting": {"model.voting": "last"},
    "no_lstm": {"model.lstm": False},
    "bi_lstm": {"model.recurrence": "bi_lstm"},
    "sru": {"model.recurrence": "sru"},
    "cubic_gates": {"model.gate_degree": 3},
    "two_blocks": {"model.conv_channels": (8, 16)},
    "frames_2": {"data.frames": 2},
    "single_frame": {"data.frames": 1},
    "fit_minimax": {"model.fit": "minimax"},
    "packing_1": {"he.sequences": 1, "he.evaluate_at_most": 16},
    "closed_end": {"he.open_end": False},
}


def differences(before: Any, after: Any, path: str = "") -> dict[str, Any]:
    """Fields that differ, by dotted name."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(before):
        one, two = getattr(before, field.name), getattr(after, field.name)
        if dataclasses.is_dataclass(one):
            found |= differences(one, two, f"{path}{field.name}.")
        elif one != two:
            found[path + field.name] = two
    return found


def write(folder: Path, content: object) -> Path:
    path = folder / "mine.yml"
    path.write_text(
        content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_a_row_changes_what_its_name_says(name: str) -> None:
    study = DatasetStudy("embedded")
    assert differences(study, GRID.row(name).apply(study)) == EXPECTED[name]
    assert study == DatasetStudy("embedded")


def test_rows_that_are_evaluated_encrypted(tmp_path: Path) -> None:
    assert {name for name, row in GRID.rows.items() if row.encrypts and row.trains} == {
        "bi_lstm", "sru", "cubic_gates"
    }  # fmt: skip
    assert GRID.row("scale_30").encrypts and not GRID.row("no_lstm").encrypts
    row = {"says": "few", "axis": "hidden", "changes": {"model": {"hidden": 2}}}
    assert load_grid(write(tmp_path, {"r": row | {"also_encrypted": True}})).row("r").encrypts
    with pytest.raises(ConfigError, match="also_encrypted"):
        load_grid(write(tmp_path, {"r": row | {"also_encrypted": "maybe"}}))


def test_the_grid_has_the_axes_of_the_study() -> None:
    assert set(GRID.axes) >= {
        "gate_degree", "fit", "activation", "frames", "hidden", "image_size", "weighted_unit",
        "voting", "scale_bits", "scheme", "packing",
    }  # fmt: skip
    table = list_rows(tuple(GRID.rows.values()))
    assert table.axis.nunique() == (table.axis != table.axis.shift()).sum()  # each axis together
    assert sorted(table.row) == sorted(GRID.rows)


@pytest.mark.parametrize("name", [row.name for row in GRID.rows.values()])
def test_every_row_folds_and_its_clear_plan_is_the_network(name: str) -> None:
    row, study = GRID.row(name), GRID.row(name).apply(SMALL)
    torch.manual_seed(1)
    model = ConvLSTM(study.model, 1, study.data.image_size, study.data.frames, "polynomial")
    model = model.double().eval()
    network = fold_network(model)
    shape = (2, study.data.frames, 1, study.data.image_size, study.data.image_size)
    frames = np.random.default_rng(2).normal(size=shape)
    with torch.no_grad():
        expected = model(torch.from_numpy(frames)).score.numpy()
    assert np.ptp(expected) > 1e-6
    np.testing.assert_allclose(network.scores(frames), expected, rtol=1e-9, atol=1e-9)
    if name == "frames_8":  # an LSTM this long is for the plan with refreshes
        with pytest.raises(DepthBudgetExceeded, match="needs 36 levels"):
            make_plan(network, study, row.encrypts)
        return
    plan = make_plan(network, study, row.encrypts)
    count = min(2, plan.layout.sequences)
    found = evaluate_clear(plan, frames[:count])[:, 0]
    np.testing.assert_allclose(found, expected[:count], rtol=1e-9, atol=1e-9)


def make_plan(network: FoldedNetwork, study: DatasetStudy, encrypts: bool) -> Plan:
    if encrypts:
        return choose_study_plan(network, study, 2).chosen.plan
    return plan_network(network, choose_parameters(network, study.he.poly_degree), sequences=2)


def test_fewer_frames_are_the_first_and_the_last() -> None:
    """What frames_2 and single_frame say holds for the reader."""
    study = DatasetStudy("embedded", DataConfig(frames=4, sequences=4))
    labels = {
        name: load_sequences("embedded", changed.data).frame_labels[0]
        for name, changed in [("all", study)]
        + [(name, GRID.row(name).apply(study)) for name in ("frames_2", "single_frame")]
    }
    assert len(labels["all"]) == 4
    assert labels["frames_2"] == (labels["all"][0], labels["all"][-1])
    assert labels["single_frame"] == (labels["all"][-1],)


def listing(*ablations: str, **changes: Any) -> DatasetStudy:
    return dataclasses.replace(SMALL, ablations=ablations, **changes)


def test_rows_are_listed_by_name_or_axis_once_each() -> None:
    chosen = GRID.chosen(listing("no_lstm", "axis:fit", "fit_minimax", "no_voting"))
    names = [row.name for row in chosen]
    assert names[0] == "no_lstm" and names[-1] == "no_voting"
    assert set(names[1:-1]) == {name for name, row in GRID.rows.items() if row.axis == "fit"}
    assert len(names) == len(set(names))


def test_rows_that_change_nothing() -> None:
    axis = [row.name for row in GRID.chosen(listing("axis:frames"))]
    assert "frames_2" not in axis and "single_frame" in axis  # SMALL has two frames
    with pytest.raises(ConfigError, match=r"'frames_2' changes nothing .*data\.frames = 2 already"):
        GRID.chosen(listing("frames_2"))


def test_unknown_rows_and_axes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown ablation 'nosuch'; ablations\.yml has: no_wei"):
        GRID.chosen(listing("nosuch"))
    with pytest.raises(ConfigError, match=r"unknown axis 'fits'; .* has: weighted_unit, voting"):
        GRID.chosen(listing("axis:fits"))


@pytest.mark.parametrize("profile", list_profiles())
def test_shipped_profiles_list_rows_of_the_grid(profile: str) -> None:
    for study in load_profile(profile).studies:
        assert len(GRID.chosen(study)) == len(study.ablations) or "axis:" in str(study.ablations)


GOOD = {"says": "a", "axis": "frames", "changes": {"data": {"frames": 3}}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"r": GOOD | {"chnages": {}}}, r"r: unknown key\(s\) chnages.*Known keys: says, axis"),
        ({"r": {"says": "a", "axis": "b"}}, r"mine\.yml: r: .*missing.*changes"),
        ({"r": GOOD | {"says": 1}}, r"r\.says: expected str, got 1"),
        ({"r": GOOD | {"axis": "a b"}}, r"r: the axis may have a-z.*got 'a b'"),
        ({"../r": GOOD}, r"the name may have a-z, 0-9 and _.*got '\.\./r'"),
        ({"full": GOOD}, r"the name may .*not be 'full'"),
        ({3: GOOD}, r"the name may .*got 3"),
        ({"r": GOOD | {"changes": {}}}, r"changes: expected some of data, model, train, he"),
        ({"r": GOOD | {"changes": {"modle": {}}}}, r"changes: expected some of.*\['modle'\]"),
        ({"r": GOOD | {"changes": {"model": {}}}}, r"changes\.model: nothing is changed"),
        ({"r": GOOD | {"changes": {"data": {"frame": 1}}}}, r"changes\.data: unknown key.*frame "),
        ({"r": GOOD | {"changes": {"data": {"frames": "2"}}}}, r"frames: expected int, got '2'"),
        ({"r": GOOD | {"changes": {"data": {"frames": 0}}}}, r"frames: expected at least 1"),
        ({"r": GOOD | {"changes": {"model": {"fit": "best"}}}}, r"fit: expected learned, least_sq"),
        ({"r": [1]}, r"r: expected a mapping"),
        ([1], r"expected rows NAME"),
        ("", r"expected rows NAME"),
        ("a: {b", r"cannot read grid"),
        ("r: {}\nr: {}\n", r"cannot read grid.*key\(s\) given twice: r"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){message}"):
        load_grid(write(tmp_path, content))


def test_a_profile_names_a_grid_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"r": GOOD})
    profile = tmp_path / "profile.yml"
    study = {"dataset": "embedded", "grid": "mine.yml", "ablations": ["r"]}
    profile.write_text(yaml.safe_dump({"name": "p", "studies": [study]}), encoding="utf-8")
    loaded = load_profile(str(profile)).studies[0]
    rows = load_grid(loaded.grid).chosen(loaded)
    assert [(row.name, row.told()) for row in rows] == [("r", "data.frames = 3")]
    with pytest.raises(ConfigError, match="cannot read grid"):
        load_grid(tmp_path / "absent.yml")


@pytest.mark.parametrize(
    ("written", "read"),
    [(True, ("per_feature", "learned")), (False, ("off", "last")), ("off", ("off", None))],
)
def test_switches_of_earlier_profiles_are_read(
    tmp_path: Path, written: object, read: tuple[str, str | None]
) -> None:
    model = {"weighted_unit": written} | ({"voting": written} if read[1] else {})
    study = {"dataset": "a", "model": model}
    path = write(tmp_path, {"name": "mine", "studies": [study]})
    found = load_profile(str(path)).studies[0].model
    assert (found.weighted_unit, found.voting) == (read[0], read[1] or "learned")
