"""Splits: committed tables, leakage, patients the tables do not name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib import paths
from heclstm_lib.config import DataConfig
from heclstm_lib.data.make_splits import METHODS, fit_parts, make_splits, render_table
from heclstm_lib.data.manifest import list_manifests, load_manifest
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.data.splits import (
    SplitRow,
    apply_split,
    check_leakage,
    hashed_part,
    load_split,
    load_table,
)
from heclstm_lib.data.synthetic import make_labels
from heclstm_lib.errors import DataError, LeakageError


@pytest.mark.parametrize("name", sorted(METHODS))
def test_committed_table_can_be_made_again(name: str) -> None:
    committed = (paths.manifests_dir() / "splits" / f"{name}.csv").read_text(encoding="utf-8")
    assert committed == render_table(name, make_splits(name))


def test_every_data_set_has_a_split() -> None:
    assert sorted(METHODS) == list_manifests()


@pytest.mark.parametrize(
    ("name", "repeats"), [("iarc", 5), ("annocerv", 5), ("breakhis", 1), ("embedded", 1)]
)
def test_every_patient_is_tested_once_in_each_repeat(name: str, repeats: int) -> None:
    rows = load_table(name)
    assert {row.fold for row in rows} == set(range(5 * repeats))
    for repeat in range(repeats):
        own = [row for row in rows if row.fold // 5 == repeat]
        tested = Counter(row.patient_id for row in own if row.split == "test")
        assert set(tested.values()) == {1}
        assert set(tested) == {row.patient_id for row in rows}


def test_repeats_are_partitions_of_their_own() -> None:
    rows = load_table("iarc")
    tested = {
        fold: frozenset(r.patient_id for r in rows if r.fold == fold and r.split == "test")
        for fold in range(25)
    }
    assert len(set(tested.values())) == 25


def test_an_official_split_is_the_same_in_every_fold() -> None:
    patients = ["train-0000", "val-0001", "test-0002"]
    found = [load_split("adrenalmnist3d", fold, patients) for fold in (0, 1, 4)]
    assert found == [{"train-0000": "train", "val-0001": "val", "test-0002": "test"}] * 3


@pytest.mark.parametrize(("name", "spread"), [("iarc", 1), ("annocerv", 1)])
def test_parts_are_stratified(name: str, spread: int) -> None:
    label: dict[str, int] = {}
    for r in load_manifest(name).images():
        label[str(r.patient)] = max(label.get(str(r.patient), 0), int(r.label or 0))
    positives = [
        sum(label[r.patient_id] for r in load_table(name) if r.fold == fold and r.split == "test")
        for fold in range(25)
    ]
    assert max(positives) - min(positives) <= spread and min(positives) >= 1


@pytest.mark.parametrize("count", [120, 600])
def test_every_prefix_of_the_embedded_set_is_balanced(count: int) -> None:
    labels = make_labels(count, DataConfig().seed)
    patients = [f"E{i + 1:04d}" for i in range(count)]
    for fold in range(5):
        table = load_split("embedded", fold, patients)
        for split, share in {"train": 0.6, "val": 0.2, "test": 0.2}.items():
            members = [labels[i] for i, p in enumerate(patients) if table[p] == split]
            assert len(members) == round(share * count)
            assert sum(members) * 2 == len(members)


def test_linked_cases_stand_in_one_part() -> None:
    patient = {r.case: r.patient for r in load_manifest("annocerv").images()}
    for a, b in [("C1", "C23"), ("C16", "C26"), ("C21", "C28"), ("C55", "C87"), ("C98", "C100")]:
        assert patient[a] == patient[b]


def test_leakage_names_the_patient_and_the_fold() -> None:
    rows = [SplitRow(0, "P1", "train"), SplitRow(0, "P1", "test"), SplitRow(0, "P2", "val")]
    with pytest.raises(LeakageError, match=r"1 patient.*fold 0: P1 in test and train"):
        check_leakage(rows)
    check_leakage([SplitRow(0, "P1", "train"), SplitRow(1, "P1", "test")])


def test_leaky_or_malformed_table_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "iarc.csv"
    table.write_text("fold,patient_id,split\n0,AAAN,train\n0,AAAN,test\n", encoding="utf-8")
    with pytest.raises(LeakageError, match=r"AAAN"):
        load_split("iarc", 0, ["AAAN"], tmp_path)
    table.write_text("fold,patient_id,split\n0,AAAN,training\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"training"):
        load_table("iarc", tmp_path)
    table.write_text("patient,split\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"expected the columns"):
        load_table("iarc", tmp_path)
    with pytest.raises(DataError, match=r"no committed split"):
        load_table("annocerv", tmp_path)


def test_unknown_fold() -> None:
    with pytest.raises(DataError, match=r"no fold 5; it has \[0, 1, 2, 3, 4\]"):
        load_split("embedded", 5, [])


def test_added_patients_are_tested_once_and_move_nobody() -> None:
    extra = [f"Z{i}" for i in range(200)]
    parts = Counter(hashed_part("iarc", patient) for patient in extra)
    assert set(parts) == set(range(5)) and min(parts.values()) > 20
    tested = Counter(
        p for fold in range(5) for p, s in load_split("iarc", fold, extra).items() if s == "test"
    )
    assert set(tested.values()) == {1} and len(tested) == 200
    assert (
        load_split("iarc", 0, ["AAAN", *extra])["AAAN"] == load_split("iarc", 0, ["AAAN"])["AAAN"]
    )
    assert hashed_part("iarc", "Z0") == 3, "the assignment of an added patient must never change"


def test_fit_parts_is_deterministic_and_sensitive_to_the_seed() -> None:
    labels = {f"P{i}": i % 3 == 0 for i in range(40)}
    assert fit_parts(labels, 1) == fit_parts(dict(reversed(labels.items())), 1)
    assert fit_parts(labels, 1) != fit_parts(labels, 2)


def test_apply_split_separates_patients() -> None:
    found = load_sequences("embedded", DataConfig(frames=1, image_size=16, sequences=40))
    parts = apply_split(found, 2)
    names = [set(part.patient_ids) for part in parts.values()]
    assert [len(part) for part in parts.values()] == [24, 8, 8]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert len({part.digest for part in parts.values()}) == 3
    with pytest.raises(DataError, match=r"no sequence in val, test"):
        apply_split(found, 0, dict.fromkeys(found.patient_ids, "train"))
    with pytest.raises(DataError, match=r"no part for patient.*E0001"):
        apply_split(found, 0, {})


def test_subset_by_mask_and_index_agree() -> None:
    found = load_sequences("embedded", DataConfig(frames=1, image_size=16, sequences=6))
    mask = np.array([True, False, True, False, False, True])
    by_mask, by_index = found.subset(mask), found.subset(np.array([0, 2, 5]))
    assert by_mask.digest == by_index.digest != found.digest
    assert by_mask.sequence_ids == ("E0001", "E0003", "E0006")
    with pytest.raises(DataError, match=r"subset mask"):
        found.subset(mask[:3])
