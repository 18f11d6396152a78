"""Profiles: unknown keys, wrong types and unknown names are errors that say what is known."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from heclstm_lib.config import (
    DataConfig,
    DatasetStudy,
    HEConfig,
    ModelConfig,
    Profile,
    TrainConfig,
    list_profiles,
    load_profile,
    to_dict,
)
from heclstm_lib.errors import ConfigError
from heclstm_lib.typed import build


def write(folder: Path, content: object) -> str:
    path = folder / "mine.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def test_shipped_profiles_load() -> None:
    assert {"default", "reference", "smoke"} <= set(list_profiles())
    for name in list_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.studies


def test_reference_covers_the_real_sets() -> None:
    datasets = {study.dataset for study in load_profile("reference").studies}
    assert {"iarc", "annocerv", "adrenalmnist3d"} <= datasets


def test_profile_from_a_file(tmp_path: Path) -> None:
    content = {
        "name": "mine",
        "studies": [
            {
                "dataset": "embedded",
                "data": {"frames": 3, "sequences": None},
                "model": {"conv_channels": [4, 8]},
                "train": {"learning_rate": 1},
                "folds": [0, 2],
            }
        ],
    }
    study = load_profile(write(tmp_path, content)).study("embedded")
    assert study.data == DataConfig(frames=3)
    assert study.model.conv_channels == (4, 8)
    assert isinstance(study.train.learning_rate, float)
    assert study.folds == (0, 2)
    assert study.he == HEConfig()


def test_round_trip_through_plain_values() -> None:
    profile = load_profile("smoke")
    assert build(Profile, to_dict(profile), "again") == profile


def test_unknown_recurrence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"recurrence: expected lstm, bi_lstm or sru, got 'gru'"):
        ModelConfig(recurrence="gru")


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().hidden = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"datset": "a"}, r"studies\[0\].*unknown key.*datset.*Known keys: dataset, data"),
        ({}, r"studies\[0\].*dataset"),
        ({"dataset": "a", "data": {"frames": "4"}}, r"data\.frames: expected int, got '4'"),
        ({"dataset": "a", "data": {"frames": True}}, r"data\.frames: expected int, got True"),
        ({"dataset": "a", "data": {"frames": 4.0}}, r"data\.frames: expected int, got 4\.0"),
        ({"dataset": "a", "data": {"sequences": "x"}}, r"data\.sequences: expected int"),
        ({"dataset": "a", "train": [1]}, r"train: expected a mapping for TrainConfig"),
        ({"dataset": "a", "folds": 3}, r"folds: expected a list, got 3"),
        ({"dataset": "a", "folds": [0, "b"]}, r"folds\[1\]: expected int, got 'b'"),
        ({"dataset": "a", "model": {"lstm": 1}}, r"model\.lstm: expected bool, got 1"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, study: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_profile(write(tmp_path, {"name": "mine", "studies": [study]}))


@pytest.mark.parametrize(
    ("part", "field", "value", "expected"),
    [
        ("data", "frames", 0, "at least 1"),
        ("data", "image_size", 7, "at least 8"),
        ("model", "conv_channels", [], "at least 1, one or more"),
        ("model", "conv_channels", [4, 0], "at least 1, one or more"),
        ("model", "kernel_size", 0, "at least 1"),
        ("model", "stride", 0, "at least 1"),
        ("model", "pool", -1, "at least 1"),
        ("model", "hidden", 0, "at least 1"),
        ("model", "gate_degree", 4, "at least 2 and at most 3"),
        ("train", "epochs", 0, "at least 1"),
        ("train", "polynomial_epochs", 0, "at least 1"),
        ("train", "patience", 0, "at least 1"),
        ("train", "batch_size", 1, "at least 2"),
        ("train", "learning_rate", 0.0, "above 0"),
        ("train", "polynomial_learning_rate", float("nan"), "above 0"),
        ("train", "learning_rate", float("inf"), "above 0"),
        ("train", "weight_decay", -0.1, "at least 0"),
        ("train", "range_penalty", -1.0, "at least 0"),
        ("train", "target_sensitivity", 0.0, "above 0 and at most 1"),
        ("train", "target_sensitivity", 1.1, "above 0 and at most 1"),
        ("he", "sequences", 0, "at least 1"),
        ("he", "workers", 0, "at least 1"),
        ("he", "evaluate_at_most", 0, "at least 1"),
        ("he", "scale_bits", 61, "at least 1 and at most 60"),
        ("he", "first_bits", 0, "at least 1 and at most 60"),
        ("he", "special_bits", 61, "at least 1 and at most 60"),
        (None, "folds", [], "at least 0, one or more"),
        (None, "folds", [0, -1], "at least 0, one or more"),
        (None, "bootstrap", 9, "at least 10"),
    ],
)
def test_values_out_of_range(
    tmp_path: Path, part: str | None, field: str, value: object, expected: str
) -> None:
    study = {"dataset": "a"} | ({part: {field: value}} if part else {field: value})
    shown = re.escape(repr(tuple(value) if isinstance(value, list) else value))
    place = rf"studies\[0\]{'.' + part if part else ''}: \w+\.{field}"
    with pytest.raises(ConfigError, match=rf"{place}: expected {expected}.*, got {shown}\.$"):
        load_profile(write(tmp_path, {"name": "mine", "studies": [study]}))


def test_the_edges_of_the_ranges_are_inside() -> None:
    DataConfig(frames=1, image_size=8)
    ModelConfig((1,), 1, 1, 1, 1, 3)
    TrainConfig(1, 1, 2, 1e-300, 1e-300, 0.0, 0.0, 1, 1.0)
    HEConfig(32768, 60, 1, 60, 1, 1, 1)
    DatasetStudy("a", folds=(0,), bootstrap=10)


def test_unknown_profile_and_data_set() -> None:
    with pytest.raises(ConfigError, match=r"unknown profile 'smok'; shipped: .*smoke"):
        load_profile("smok")
    with pytest.raises(ConfigError, match=r"no data set 'iarc'; it has: embedded"):
        load_profile("smoke").study("iarc")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read profile"):
        load_profile(str(tmp_path / "absent.yml"))
    (tmp_path / "bad.yml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot read profile"):
        load_profile(str(tmp_path / "bad.yml"))
    with pytest.raises(ConfigError, match="expected a mapping"):
        load_profile(write(tmp_path, ["a"]))
