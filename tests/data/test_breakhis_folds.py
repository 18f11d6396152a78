"""BreaKHis' official folds: from files to the study's sets, never across a patient."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heclstm_lib.config import DataConfig, DatasetStudy, ModelConfig, TrainConfig, load_profile
from heclstm_lib.data.breakhis_folds import (
    FILES,
    find_fold_files,
    fold_notes,
    load_official_fold,
)
from heclstm_lib.data.breakhis_names import parse_name
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.data.splits import find_split, load_split
from heclstm_lib.errors import DataError
from heclstm_lib.stages.methods import fit_methods
from heclstm_lib.stages.training import train_folds
from heclstm_lib.stages.workspace import open_workspace

CONFIG = DataConfig(frames=4, image_size=16)
BENIGN = [f"SOB_B_A-14-{10100 + k}" for k in range(10)] + [
    "SOB_B_F-14-22549AB",
    "SOB_B_F-14-22549G",
]
MALIGNANT = [f"SOB_M_DC-14-{20200 + k}" for k in range(10)]
FOLDERS = {"A": "adenosis", "F": "fibroadenoma", "DC": "ductal_carcinoma"}


def _slide_test_fold(number: int) -> int:
    return number % 5  # slide `number` of a class is tested in this fold


def _side(name: str, fold: int) -> str:
    prefix = name.rsplit("-", 2)[0]
    number = (BENIGN if prefix in BENIGN else MALIGNANT).index(prefix)
    return "test" if _slide_test_fold(number) == fold else "train"


@pytest.fixture
def tree(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """22 slides of 21 patients at two magnifications, and the publisher's five files beside them.

    22549AB is tested in fold 0, 22549G in fold 1: in both folds she stands on both sides.
    """
    base, seed = tmp_path / "breakhis" / "BreaKHis_v1" / "histology_slides" / "breast", 0
    names = []
    for prefix in (*BENIGN, *MALIGNANT):
        kind = "malignant" if prefix in MALIGNANT else "benign"
        subtype = FOLDERS[prefix.split("_")[2].split("-")[0]]
        for magnification in (40, 200):
            name = f"{prefix}-{magnification}-001.png"
            write_image(base / kind / "SOB" / subtype / prefix / f"{magnification}X" / name, seed)
            names.append(name)
            seed += 1
    folder = tmp_path / "breakhis" / "mkfold"
    folder.mkdir()
    for fold, file in enumerate(FILES):
        lines = [
            f"{name}|{parse_name(name).magnification}|{fold + 1}|{_side(name, fold)}"
            for name in names
        ]
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_a_study_uses_the_official_folds(tree: Path) -> None:
    study = DatasetStudy("breakhis", data=CONFIG, folds=(0, 1, 2, 3, 4))
    space = open_workspace(study, tree / "work", tree)
    tested: list[str] = []
    for fold in study.folds:
        sets = space.sets(fold)
        people = {part: set(found.patient_ids) for part, found in sets.items()}
        assert not people["train"] & people["test"] and not people["val"] & people["test"]
        assert not people["train"] & people["val"]
        assert sum(len(found) for found in sets.values()) == len(space.sequences)
        official = {
            parse_name(f"{prefix}-40-001.png").patient
            for prefix in (*BENIGN, *MALIGNANT)
            if _side(f"{prefix}-40-001.png", fold) == "test"
        }
        assert people["test"] == official  # 22549 wholly in test where one slide is
        assert all(set(found.labels.tolist()) == {0, 1} for found in sets.values())
        tested += people["test"]
    assert sorted(tested) == sorted([*set(space.sequences.patient_ids), "22549"])
    notes = "; ".join(space.sequences.notes)
    assert "official folds are used" in notes
    assert "dsfold1.txt: slides of patient(s) 22549" in notes and "dsfold3.txt" not in notes


QUICK = {"model": ModelConfig(conv_channels=(4,), hidden=4),
         "train": TrainConfig(epochs=2, polynomial_epochs=1, patience=2)}  # fmt: skip


def trained(study: DatasetStudy, root: Path, work: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test rows of the polynomial twin and of a competing method on every fold of a study."""
    space = open_workspace(study, work, root)
    rows = train_folds(space, progress=False).predictions
    rows = rows[(rows.part == "test") & (rows.twin == "polynomial")]
    return rows, fit_methods(space, ("cryptonets",))[0]


def test_networks_and_methods_train_on_the_official_folds(tree: Path) -> None:
    study = DatasetStudy("breakhis", data=CONFIG, folds=(0, 1), **QUICK)
    rows, rivals = trained(study, tree, tree / "work")
    for fold, file in enumerate(FILES[:2]):
        parts = load_official_fold(tree / "breakhis" / "mkfold" / file).parts
        tested = {patient for patient, part in parts.items() if part == "test"}
        assert set(rows[rows.fold == fold].patient_id) == tested
        assert set(rivals[rivals.fold == fold].patient_id) == tested
    assert rows.score.notna().all() and rivals.probability.between(0, 1).all()


def test_networks_and_methods_train_on_the_real_sample(data_mirror: Path, tmp_path: Path) -> None:
    study = DatasetStudy("breakhis", data=CONFIG, folds=(0, 1, 2), **QUICK)
    rows, rivals = trained(study, data_mirror, tmp_path)
    assert len(rows) == len(rivals) == 6 and rows.patient_id.nunique() == 6
    assert np.isfinite(rows.score).all() and np.isfinite(rivals.score).all()


def test_the_profile_is_of_the_official_folds() -> None:
    study = load_profile("breakhis").study("breakhis")
    assert study.folds == (0, 1, 2, 3, 4) and study.data.frames == 4
    assert set(study.methods) == set(load_profile("reference").study("iarc").methods)


def test_validation_is_a_fifth_of_each_class_of_training(tree: Path) -> None:
    for fold, file in enumerate(FILES):
        parts = load_official_fold(tree / "breakhis" / "mkfold" / file).parts
        for first, last in ((10100, 10110), (20200, 20210)):
            own = [parts[str(number)] for number in range(first, last)]
            assert own.count("test") == 2 and own.count("val") in (1, 2)
        assert parts == load_official_fold(tree / "breakhis" / "mkfold" / file).parts
        lines = (tree / "breakhis" / "mkfold" / file).read_text(encoding="utf-8").splitlines()
        (tree / file).write_text("\n".join(reversed(lines)), encoding="utf-8")
        assert load_official_fold(tree / file).parts == parts, (
            f"fold {fold}: order of lines matters"
        )


def test_without_the_files_the_committed_split_is_used_and_said(tree: Path) -> None:
    shutil.rmtree(tree / "breakhis" / "mkfold")
    found = load_sequences("breakhis", CONFIG, tree)
    assert find_split(found, 3, tree) == load_split("breakhis", 3, found.patient_ids)
    assert any("no official fold files" in note for note in found.notes)


def test_incomplete_and_repeated_files_are_refused(tree: Path) -> None:
    folder = tree / "breakhis" / "mkfold"
    shutil.copy(folder / FILES[0], tree / "breakhis" / FILES[0])
    with pytest.raises(DataError, match=r"got dsfold1.txt: 2"):
        find_fold_files(tree)
    (tree / "breakhis" / FILES[0]).unlink()
    (folder / FILES[3]).unlink()
    with pytest.raises(DataError, match=r"got dsfold4.txt: 0"):
        load_sequences("breakhis", CONFIG, tree)


def test_a_fold_there_is_not(tree: Path) -> None:
    found = load_sequences("breakhis", CONFIG, tree)
    with pytest.raises(DataError, match=r"no official fold 5; it has 0 to 4"):
        find_split(found, 5, tree)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("SOB_B_A-14-10100-40-001.png|40|1", "expected <file>"),
        ("SOB_B_A-14-10100-40-001.png|40|1|val", "expected <file>"),
        ("picture.png|40|1|test", "expected SOB_"),
        (
            "SOB_M_DC-14-10100-40-001.png|40|1|test",
            "patient 10100 is filed as benign and malignant",
        ),
    ],
)
def test_bad_lines_are_named(tree: Path, line: str, says: str) -> None:
    path = tree / "breakhis" / "mkfold" / FILES[0]
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=says):
        load_official_fold(path)


def test_one_side_alone_is_no_fold(tmp_path: Path) -> None:
    path = tmp_path / FILES[0]
    path.write_text("SOB_B_A-14-10100-40-001.png|40|1|test\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 patients fill only test"):
        load_official_fold(path)


def test_the_real_sample_has_the_committed_split(data_mirror: Path) -> None:
    found = load_sequences("breakhis", CONFIG, data_mirror)
    images = len(list((data_mirror / "breakhis_sample").glob("*.png")))
    assert images == 12 and len(set(found.patient_ids)) == 9
    assert find_split(found, 0, data_mirror) == load_split("breakhis", 0, found.patient_ids)
    assert any("12-image sample" in note for note in found.notes)


def test_official_folds_of_the_real_samples_names(data_mirror: Path, tmp_path: Path) -> None:
    """The 12 real images with fold files over their names: 22549's and 21998's slides as filed."""
    root = tmp_path / "breakhis"
    shutil.copytree(data_mirror / "breakhis_sample", root)
    names = sorted(path.name for path in root.glob("*.png"))
    people = sorted({parse_name(name).patient for name in names})
    for fold, file in enumerate(FILES):
        lines = [
            f"{name}|40|{fold + 1}|"
            f"{'test' if people.index(parse_name(name).patient) % 5 == fold else 'train'}"
            for name in names
        ]
        (root / file).write_text("\n".join(lines), encoding="utf-8")
    assert fold_notes(root) == [fold_notes(root)[0]]  # nobody stands on both sides
    space = open_workspace(DatasetStudy("breakhis", data=CONFIG), tmp_path / "work", tmp_path)
    for fold in range(5):
        tested = set(space.sets(fold)["test"].patient_ids)
        assert tested == {patient for k, patient in enumerate(people) if k % 5 == fold}
