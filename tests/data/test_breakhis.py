"""BreaKHis reader: names, both modes, grouping by the number of the slide, both layouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from heclstm_lib.config import DataConfig
from heclstm_lib.data.breakhis_names import parse_name
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import ConfigError, DataError

SLIDES = {  # slide -> (subtype folder, name prefix)
    "SOB_M_DC_14-13412": ("malignant/SOB/ductal_carcinoma", "SOB_M_DC-14-13412"),
    "SOB_M_LC_14-13412": ("malignant/SOB/lobular_carcinoma", "SOB_M_LC-14-13412"),
    "SOB_B_A_14-99549AB": ("benign/SOB/adenosis", "SOB_B_A-14-99549AB"),
    "SOB_B_TA_14-15275": ("benign/SOB/tubular_adenoma", "SOB_B_TA-14-15275"),
}


@pytest.fixture
def tree(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """The archive's layout: four slides, three patients, two images at each magnification."""
    base = tmp_path / "BreaKHis_v1" / "histology_slides" / "breast"
    seed = 0
    for slide, (folder, prefix) in SLIDES.items():
        for magnification in (40, 100, 200, 400):
            for number in (1, 2):
                name = f"{prefix}-{magnification}-{number:03d}.png"
                write_image(base / folder / slide / f"{magnification}X" / name, seed)
                seed += 1
    return tmp_path


def test_names() -> None:
    name = parse_name("SOB_B_PT-14-21998AB-400-001.png")
    assert (name.label, name.subtype, name.slide) == (0, "PT", "14-21998AB")
    assert (name.patient, name.magnification, name.sequence) == ("21998", 400, 1)


@pytest.mark.parametrize(
    "name",
    [
        "SOB_X_DC-14-2523-40-010.png",
        "SOB_M_DC-14-2523-50-010.png",
        "SOB_M_ZZ-14-2523-40-010.png",
        "SOB_M_DC-14-2523-40.png",
        "IMG_001.png",
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(DataError, match=r"expected SOB_"):
        parse_name(name)


def test_zooming_groups_by_number(tree: Path) -> None:
    found = load_sequences("breakhis", DataConfig(frames=4, image_size=16), tree)
    assert sorted(found.patient_ids) == ["13412"] * 4 + ["15275"] * 2 + ["99549"] * 2
    assert set(found.frame_labels) == {("40X", "100X", "200X", "400X")}
    assert found.labels.tolist() == [1] * 4 + [0] * 4
    assert any("32 of the 7,909" in note for note in found.notes)


def test_zooming_with_fewer_frames_keeps_both_ends(tree: Path) -> None:
    found = load_sequences("breakhis", DataConfig(frames=2, image_size=16), tree)
    assert set(found.frame_labels) == {("40X", "400X")}


def test_missing_magnification_shortens(tree: Path) -> None:
    for path in tree.rglob("SOB_B_TA-14-15275-200-*.png"):
        path.unlink()
    found = load_sequences("breakhis", DataConfig(frames=4, image_size=16), tree)
    labels = {found.frame_labels[i] for i, p in enumerate(found.patient_ids) if p == "15275"}
    assert labels == {("40X", "100X", "400X", "pad:400X")}


def test_one_magnification(tree: Path) -> None:
    config = DataConfig(frames=3, image_size=16, magnification=40)
    found = load_sequences("breakhis", config, tree)
    counts = {p: found.patient_ids.count(p) for p in set(found.patient_ids)}
    assert counts == {"13412": 1, "15275": 1, "99549": 1}  # 4 images: one group of 3, one dropped
    assert [s.item for s in found.skipped] == ["13412"]
    by_patient = dict(zip(found.patient_ids, found.frame_labels, strict=True))
    assert by_patient["15275"] == ("40X", "40X", "pad:40X")
    with pytest.raises(ConfigError, match=r"magnification=50"):
        load_sequences("breakhis", dataclasses.replace(config, magnification=50), tree)


def test_foreign_and_repeated_files(tree: Path, write_image: Callable[..., Path]) -> None:
    copy = write_image(tree / "again" / "SOB_M_DC-14-13412-40-001.png", 5)
    with pytest.raises(DataError, match=r"lies twice"):
        load_sequences("breakhis", DataConfig(image_size=16), tree)
    copy.rename(copy.with_name("screenshot.png"))
    with pytest.raises(DataError, match=r"screenshot.png"):
        load_sequences("breakhis", DataConfig(image_size=16), tree)
