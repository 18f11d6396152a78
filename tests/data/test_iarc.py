"""IARC reader: stages, order, absent frames, and cases that cannot be used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from heclstm_lib.config import DataConfig
from heclstm_lib.data.frames import Frame
from heclstm_lib.data.iarc import STAGES, choose_frames, parse_file_name
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import DataError, IntegrityError

HIGH = "images_high_grade/case_ZZZA"


def test_frames_order_labels_and_padding(iarc_tree: Path, config: DataConfig) -> None:
    found = load_sequences("iarc", config, iarc_tree)
    assert found.sequence_ids == found.patient_ids == ("ZZZA", "ZZZB")
    assert found.labels.tolist() == [1, 0]
    assert found.frames.shape == (2, 3, 3, 16, 16)
    assert found.frame_labels[0] == (
        "after_normal_saline",
        "after_acetic_acid",
        "after_acetic_acid_with_green_filter",
    )
    assert found.lengths.tolist() == [3, 1]
    assert [s.item for s in found.skipped] == ["ZZZA/4_Visualization_of_the_SCJ.jpg"]


def test_one_frame_case_repeats_its_frame(iarc_tree: Path, config: DataConfig) -> None:
    one = load_sequences("iarc", config, iarc_tree).subset([1])  # type: ignore[arg-type]
    assert one.frame_labels[0] == ("after_acetic_acid", *["pad:after_acetic_acid"] * 2)
    assert (one.frames[0, 0] == one.frames[0, 2]).all()


def test_extra_cases_are_unverified_and_absent_ones_missing(
    iarc_tree: Path, config: DataConfig
) -> None:
    found = load_sequences("iarc", config, iarc_tree)
    assert found.unverified == ("ZZZA", "ZZZB")
    assert len(found.missing) == 49 and "AAAN" in found.missing


def test_root_may_be_the_parent_folder(iarc_tree: Path, config: DataConfig) -> None:
    direct = load_sequences("iarc", config, iarc_tree)
    assert load_sequences("iarc", config, iarc_tree.parent).digest == direct.digest


def test_tiers_prefer_white_light_then_other_views_then_green() -> None:
    stages = [
        "speculum_examination",
        "after_normal_saline",
        "after_normal_saline_with_green_filter",
        "after_acetic_acid",
        "after_acetic_acid_with_higher_magnification",
        "after_acetic_acid",
    ]
    frames = [Frame(Path(f"{i}.jpg"), stage) for i, stage in enumerate(stages)]
    numbers = {t: [f.path.stem for f in choose_frames(frames, t)] for t in (2, 3, 4, 5, 6)}
    assert numbers[2] == numbers[3] == ["1", "3", "5"]  # tier 0 only, sampled later
    assert numbers[4] == ["1", "3", "4", "5"]
    assert numbers[5] == ["0", "1", "3", "4", "5"]
    assert numbers[6] == ["0", "1", "2", "3", "4", "5"]


def test_unknown_stage_names_it_and_the_table(
    iarc_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(iarc_tree / HIGH / "5_After_coffee.jpg", 9)
    with pytest.raises(DataError, match=r"stage 'after_coffee'.*table STAGES.*after_acetic_acid"):
        load_sequences("iarc", config, iarc_tree)


@pytest.mark.parametrize("resource", load_manifest("iarc").images()[::29], ids=lambda r: r.path)
def test_stages_of_the_manifest_are_in_the_table(resource: object) -> None:
    path = resource.path  # type: ignore[attr-defined]
    order, stage = parse_file_name(Path(path))
    assert (order, stage) == (resource.order, resource.stage)  # type: ignore[attr-defined]
    assert stage in STAGES


def test_lugol_is_known_and_never_a_frame() -> None:
    order, stage = parse_file_name(Path("5_After_Lugol's_iodine.jpg"))
    assert (order, STAGES[stage]) == (5, None)


def test_bad_file_name(
    iarc_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(iarc_tree / HIGH / "After_acetic_acid.jpg", 9)
    with pytest.raises(DataError, match=r"expected '<order>_<stage>.jpg'"):
        load_sequences("iarc", config, iarc_tree)


def test_missing_frame_is_skipped_and_counted(iarc_tree: Path, config: DataConfig) -> None:
    (iarc_tree / HIGH / "2_After_acetic_acid.jpg").unlink()
    found = load_sequences("iarc", config, iarc_tree)
    assert found.lengths.tolist() == [2, 1]
    assert ("ZZZA/2", "missing frame: no file with this order number") in [
        (s.item, s.reason) for s in found.skipped
    ]


def test_two_files_with_one_order_number(
    iarc_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(iarc_tree / HIGH / "2_After_normal_saline.jpg", 9)
    with pytest.raises(DataError, match=r"two files have order number 2"):
        load_sequences("iarc", config, iarc_tree)


def test_case_in_both_grades(
    iarc_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(iarc_tree / "images_low_grade/case_ZZZA/1_After_acetic_acid.jpg", 9)
    with pytest.raises(DataError, match=r"ZZZA lie in both grades"):
        load_sequences("iarc", config, iarc_tree)


def test_case_without_usable_frame_is_skipped(
    iarc_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(iarc_tree / "images_low_grade/case_ZZZC/1_Vulva_before_acetic_acid.jpg", 9)
    found = load_sequences("iarc", config, iarc_tree)
    assert "ZZZC" not in found.sequence_ids
    assert ("ZZZC", "case without a usable frame") in [(s.item, s.reason) for s in found.skipped]


def test_bytes_that_are_not_the_manifests(
    iarc_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(iarc_tree / "images_high_grade/case_AAAN/3_After_acetic_acid.jpg", 9)
    with pytest.raises(IntegrityError, match=r"AAAN"):
        load_sequences("iarc", config, iarc_tree)


def test_truncated_jpeg_in_a_case(iarc_tree: Path, config: DataConfig) -> None:
    path = iarc_tree / HIGH / "2_After_acetic_acid.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot decode image .*ZZZA"):
        load_sequences("iarc", config, iarc_tree)


def test_empty_folder_is_an_error(tmp_path: Path, config: DataConfig) -> None:
    with pytest.raises(DataError, match=r"no readable sequence"):
        load_sequences("iarc", config, tmp_path)


def test_copied_image_makes_two_cases_one_patient(iarc_tree: Path, config: DataConfig) -> None:
    shutil.copy(
        iarc_tree / "images_low_grade/case_ZZZB/1_After_acetic_acid.jpg",
        iarc_tree / HIGH / "6_After_acetic_acid.jpg",
    )
    found = load_sequences("iarc", config, iarc_tree)
    assert found.patient_ids == ("ZZZA", "ZZZA")
    assert any("share 1 identical" in note and "contradict" in note for note in found.notes)
