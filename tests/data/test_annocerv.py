"""AnnoCerv reader: rows and images that do not match, order, threshold, shared images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.config import DataConfig
from heclstm_lib.data.annocerv import labels_at_threshold
from heclstm_lib.data.sequences import load_sequences
from heclstm_lib.errors import DataError


def _append(root: Path, *lines: str) -> None:
    with (root / "metadata.csv").open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def test_order_label_and_score(annocerv_tree: Path, config: DataConfig) -> None:
    found = load_sequences("annocerv", config, annocerv_tree)
    assert found.sequence_ids == ("C901", "C902")
    assert found.labels.tolist() == [1, 0] and found.scores.tolist() == [7, 2]
    assert found.lengths.tolist() == [2, 1]
    assert found.frame_labels[0] == (*["after_acetic_acid"] * 2, "pad:after_acetic_acid")
    first = load_sequences("annocerv", DataConfig(frames=2, image_size=16), annocerv_tree)
    (annocerv_tree / "images/C901Aceto_2.jpg").unlink()  # index 2 stands first in the CSV
    alone = load_sequences("annocerv", DataConfig(frames=2, image_size=16), annocerv_tree)
    assert np.array_equal(alone.frames[0, 0], first.frames[0, 0])
    assert len(found.missing) == 80 and found.unverified == ("C901", "C902")


def test_other_thresholds() -> None:
    scores = np.array([0.0, 4.0, 5.0, 8.0])
    assert labels_at_threshold(scores).tolist() == [0, 0, 1, 1]
    assert labels_at_threshold(scores, 4).tolist() == [0, 1, 1, 1]


def test_row_without_an_image_is_skipped_and_counted(
    annocerv_tree: Path, config: DataConfig
) -> None:
    _append(annocerv_tree, "901,3,7,images/C901Aceto_3.jpg", "903,1,4,images/C903Aceto_1.jpg")
    found = load_sequences("annocerv", config, annocerv_tree)
    assert found.sequence_ids == ("C901", "C902")
    assert sum(s.reason.startswith("row without an image") for s in found.skipped) == 2
    assert ("C903", "case without an image on disk") in [(s.item, s.reason) for s in found.skipped]


def test_image_without_a_row_and_case_without_a_score(
    annocerv_tree: Path, config: DataConfig, write_image: Callable[..., Path]
) -> None:
    write_image(annocerv_tree / "images/C904Aceto_1.jpg", 7)
    write_image(annocerv_tree / "images/C905Aceto_1.jpg", 8)
    _append(annocerv_tree, "905,1,,images/C905Aceto_1.jpg")
    found = load_sequences("annocerv", config, annocerv_tree)
    assert found.sequence_ids == ("C901", "C902")
    reasons = {s.item: s.reason for s in found.skipped}
    assert reasons["images/C904Aceto_1.jpg"] == "image without a row in metadata.csv"
    assert reasons["C905"] == "case without a Swede score"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("901,3,2,images/C901Aceto_1.jpg", "Swede scores"),
        ("902,1,2,images/C902Aceto_1.jpg", "image_index repeats"),
        ("906,1,11,images/C902Aceto_1.jpg", "expected 0 to 10"),
        ("906,one,3,images/C902Aceto_1.jpg", "line 5"),
    ],
)
def test_contradicting_rows(
    annocerv_tree: Path, config: DataConfig, line: str, message: str
) -> None:
    _append(annocerv_tree, line)
    with pytest.raises(DataError, match=message):
        load_sequences("annocerv", config, annocerv_tree)


def test_missing_column(annocerv_tree: Path, config: DataConfig) -> None:
    (annocerv_tree / "metadata.csv").write_text("case_id,file\n1,a.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"missing column.*image_index, swede_score"):
        load_sequences("annocerv", config, annocerv_tree)


def test_identical_images_link_cases(annocerv_tree: Path, config: DataConfig) -> None:
    shutil.copy(annocerv_tree / "images/C901Aceto_1.jpg", annocerv_tree / "images/C900Aceto_1.jpg")
    _append(annocerv_tree, "900,1,1,images/C900Aceto_1.jpg")
    found = load_sequences("annocerv", config, annocerv_tree)
    assert dict(zip(found.sequence_ids, found.patient_ids, strict=True)) == {
        "C900": "C900",
        "C901": "C900",
        "C902": "C902",
    }
    assert len(found.notes) == 1 and "contradict" in found.notes[0]
