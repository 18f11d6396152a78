"""Ablations: one declared change each."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from heclstm_lib.config import DataConfig, DatasetStudy, ModelConfig, list_profiles, load_profile
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import ConfigError
from heclstm_lib.models.variants import VARIANTS, apply_variant, describe_variants


def changes(before: Any, after: Any, path: str = "") -> dict[str, Any]:
    """Fields that differ, by dotted name."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(before):
        one, two = getattr(before, field.name), getattr(after, field.name)
        if dataclasses.is_dataclass(one):
            found |= changes(one, two, f"{path}{field.name}.")
        elif one != two:
            found[path + field.name] = two
    return found


EXPECTED = {
    "no_weighted_unit": {"model.weighted_unit": False},
    "no_voting": {"model.voting": False},
    "no_lstm": {"model.lstm": False},
    "sru": {"model.recurrence": "sru"},
    "cubic_gates": {"model.gate_degree": 3},
    "two_blocks": {"model.conv_channels": (8, 16)},
    "frames_2": {"data.frames": 2},
    "single_frame": {"data.frames": 1},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_one_thing(name: str) -> None:
    study = DatasetStudy("embedded")
    assert changes(study, apply_variant(study, name)) == EXPECTED[name]
    assert study == DatasetStudy("embedded")


def test_a_second_block_keeps_the_first() -> None:
    study = DatasetStudy("embedded", model=ModelConfig(conv_channels=(4,)))
    assert apply_variant(study, "two_blocks").model.conv_channels == (4, 16)


def test_fewer_frames_are_the_first_and_the_last() -> None:
    """The description of frames_2 and single_frame holds for the reader."""
    study = DatasetStudy("embedded", DataConfig(frames=4, sequences=4))
    labels = {
        name: load_sequences("embedded", changed.data).frame_labels[0]
        for name, changed in [("all", study)]
        + [(name, apply_variant(study, name)) for name in ("frames_2", "single_frame")]
    }
    assert len(labels["all"]) == 4
    assert labels["frames_2"] == (labels["all"][0], labels["all"][-1])
    assert labels["single_frame"] == (labels["all"][-1],)


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown ablation 'nosuch'; there are: no_weighted_unit"):
        apply_variant(DatasetStudy("embedded"), "nosuch")
    with pytest.raises(ConfigError, match=r"unknown ablation\(s\) \['nosuch'\]"):
        describe_variants(("no_lstm", "nosuch"))


def test_descriptions_come_in_the_order_asked_for() -> None:
    table = describe_variants(("no_voting", "no_lstm"))
    assert table.variant.tolist() == ["no_voting", "no_lstm"]
    assert "last frame" in table["what it changes"][0]


@pytest.mark.parametrize("profile", list_profiles())
def test_shipped_profiles_name_known_variants(profile: str) -> None:
    for study in load_profile(profile).studies:
        assert len(describe_variants(study.ablations)) == len(study.ablations)
