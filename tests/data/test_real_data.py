"""The readers on the real images of the mirror (skipped where there is none).

Counts are lower bounds for the cases on disk, because further cases may be added to a mirror;
what the manifests list is checked exactly.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from heclstm_lib.config import DataConfig
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.sequences import SequenceSet, load_sequences
from heclstm_lib.data.splits import apply_split
from heclstm_lib.errors import DataError, IntegrityError

SETS = {"iarc": 49, "annocerv": 80, "adrenalmnist3d": 1584, "breakhis": 9}


@pytest.fixture(scope="module", params=sorted(SETS))
def found(request: pytest.FixtureRequest, data_mirror: Path) -> SequenceSet:
    config = DataConfig(colour="gray" if request.param == "adrenalmnist3d" else "rgb")
    return load_sequences(request.param, config, data_mirror)


def test_every_case_is_read(found: SequenceSet) -> None:
    known = len(found) - len(found.unverified)
    assert known + len(found.missing) == SETS[found.name]
    channels = 1 if found.name == "adrenalmnist3d" else 3
    assert found.frames.shape == (len(found), 4, channels, 28, 28)
    assert np.isfinite(found.frames).all() and found.frames.min() >= 0 and found.frames.max() <= 1
    assert found.frames.std(axis=(2, 3, 4)).min() >= 0
    assert all(len(labels) == 4 for labels in found.frame_labels)


def test_every_fold_can_be_applied(found: SequenceSet) -> None:
    for fold in range(1 if found.name == "adrenalmnist3d" else 5):
        parts = apply_split(found, fold)
        assert sum(len(part) for part in parts.values()) == len(found)
        if found.name != "breakhis":
            assert all(set(part.labels.tolist()) == {0, 1} for part in parts.values())


def test_labels_agree_with_the_manifest(found: SequenceSet) -> None:
    label = {r.case: r.label for r in load_manifest(found.name).images()}
    checked = [
        found.labels[i] == label[case] for i, case in enumerate(found.sequence_ids) if case in label
    ]
    assert all(checked)
    if found.name in ("iarc", "annocerv"):
        assert len(checked) == len(found) - len(found.unverified)


def test_adrenal_official_sizes(data_mirror: Path) -> None:
    parts = apply_split(load_sequences("adrenalmnist3d", DataConfig(colour="gray"), data_mirror), 0)
    assert {k: len(v) for k, v in parts.items()} == {"train": 1188, "val": 98, "test": 298}
    assert [int(part.labels.sum()) for part in parts.values()] == [259, 22, 69]


def test_annocerv_shared_images_are_one_patient(data_mirror: Path) -> None:
    found = load_sequences("annocerv", DataConfig(frames=1), data_mirror)
    patient = dict(zip(found.sequence_ids, found.patient_ids, strict=True))
    assert patient["C16"] == patient["C26"] and patient["C1"] == patient["C23"]
    assert sum("contradict" in note for note in found.notes) >= 2


def test_breakhis_patient_with_all_magnifications(data_mirror: Path) -> None:
    found = load_sequences("breakhis", DataConfig(image_size=16), data_mirror)
    i = found.patient_ids.index("25197")
    assert found.frame_labels[i] == ("40X", "100X", "200X", "400X")
    assert len(set(found.patient_ids)) == 9


@pytest.fixture
def some_cases(data_mirror: Path, tmp_path: Path) -> Path:
    """A mirror that holds two of the IARC cases, writable."""
    root = tmp_path / "iarc_colposcopy_atlas"
    for case in ("images_high_grade/case_AAAN", "images_low_grade/case_AAAX"):
        shutil.copytree(data_mirror / "iarc_colposcopy_atlas" / case, root / case)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    return root


def test_partial_mirror_lists_what_is_missing(some_cases: Path) -> None:
    found = load_sequences("iarc", DataConfig(), some_cases.parent)
    assert found.sequence_ids == ("AAAN", "AAAX")
    assert len(found.missing) == 47 and found.unverified == ()


def test_missing_frame_of_a_listed_case(some_cases: Path) -> None:
    (some_cases / "images_high_grade/case_AAAN/3_After_acetic_acid.jpg").unlink()
    found = load_sequences("iarc", DataConfig(), some_cases)
    reasons = {s.item: s.reason for s in found.skipped}
    assert reasons["AAAN/3_After_acetic_acid.jpg"].startswith("missing frame: in the manifest")


def test_truncated_and_renamed_real_images(some_cases: Path) -> None:
    path = some_cases / "images_high_grade/case_AAAN/3_After_acetic_acid.jpg"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(IntegrityError, match=r"AAAN"):
        load_sequences("iarc", DataConfig(), some_cases)
    case = path.parent.rename(path.parent.with_name("case_ZZZZ"))  # not in the manifest: no hash
    with pytest.raises(DataError, match=r"cannot decode image .*case_ZZZZ"):
        load_sequences("iarc", DataConfig(), some_cases)
    shutil.rmtree(case)
