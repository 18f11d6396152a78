"""Make and write the committed splits: python -m heclstm_lib.data.make_splits.

Patients and labels come from the manifests alone (and the official split of AdrenalMNIST3D from
its published sizes), so no image is needed and the tables can be made again anywhere.
"""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.model_selection import StratifiedKFold

from heclstm_lib import paths
from heclstm_lib.data import synthetic
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.splits import (
    FOLDS,
    SPLITS,
    SplitRow,
    check_leakage,
    split_of_part,
)
from heclstm_lib.errors import DataError
from heclstm_lib.files import replacing

SEED = 2021
ADRENAL_SIZES = {"train": 1188, "val": 98, "test": 298}
REPEATS = {"iarc": 5, "annocerv": 5}
"""Independent partitions of the small sets: folds 5 r .. 5 r + 4 are those of seed + r."""
METHODS = {
    "iarc": "StratifiedKFold over patients, label = any case of the patient is 1; 5 repeats",
    "annocerv": "StratifiedKFold over patients (linked cases are one), label = any case is 1; "
    "5 repeats",
    "breakhis": "StratifiedKFold over the sample's patients; a format fixture: for the full data "
    "set use its official folds",
    "adrenalmnist3d": "official split of MedMNIST v2, fold 0 only",
    "embedded": "blocks of 5 pairs dealt onto 5 parts: every prefix of 10, 20, .. is balanced",
}


def make_splits(name: str, seed: int = SEED) -> list[SplitRow]:
    """The split table of one data set, leakage-checked; DataError for an unknown name."""
    if name not in METHODS:
        raise DataError(f"no split is defined for '{name}'; there are: {', '.join(METHODS)}.")
    if name == "adrenalmnist3d":
        rows = [
            SplitRow(0, f"{part}-{i:04d}", part)
            for part, count in ADRENAL_SIZES.items()
            for i in range(count)
        ]
    else:
        rows = [row for repeat in range(REPEATS.get(name, 1)) for row in _five(name, seed, repeat)]
    check_leakage(rows)
    return rows


def _five(name: str, seed: int, repeat: int) -> list[SplitRow]:
    """Five folds of one partition."""
    own = seed + repeat
    parts = _embedded_parts(own) if name == "embedded" else fit_parts(_labels(name), own)
    return [
        SplitRow(FOLDS * repeat + fold, patient, split_of_part(part, fold))
        for fold in range(FOLDS)
        for patient, part in parts.items()
    ]


def fit_parts(labels: Mapping[str, int], seed: int) -> dict[str, int]:
    """Part 0..4 of every patient, stratified by label: patient -> part."""
    patients = sorted(labels)
    values = np.array([labels[patient] for patient in patients])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    parts = {}
    with warnings.catch_warnings():
        # The BreaKHis sample has four malignant patients for five parts: known and documented.
        warnings.filterwarnings("ignore", message="The least populated class")
        for part, (_, members) in enumerate(folds.split(values, values)):
            parts.update({patients[i]: part for i in members})
    return {patient: parts[patient] for patient in patients}


def render_table(name: str, rows: list[SplitRow], seed: int = SEED) -> str:
    """The text of a committed table; the digest is the sha256 of the lines below the comments."""
    body = io.StringIO()
    writer = csv.writer(body, lineterminator="\n")
    writer.writerow(["fold", "patient_id", "split"])
    writer.writerows((row.fold, row.patient_id, row.split) for row in rows)
    digest = hashlib.sha256(body.getvalue().encode()).hexdigest()
    head = [f"# data set: {name}", f"# seed: {seed}", f"# method: {METHODS[name]}"]
    return "\n".join([*head, f"# sha256 of the table: {digest}", body.getvalue()])


def _labels(name: str) -> dict[str, int]:
    labels: dict[str, int] = {}
    for resource in load_manifest(name).images():
        patient = str(resource.patient)
        labels[patient] = max(labels.get(patient, 0), int(resource.label or 0))
    return labels


def _embedded_parts(seed: int) -> dict[str, int]:
    """Pairs (2k, 2k+1) hold one sequence of each class; every five pairs go to the five parts."""
    parts = {}
    for block in range(synthetic.DEFAULT_SEQUENCES // (2 * FOLDS)):
        dealt = np.random.default_rng([seed, block]).permutation(FOLDS)
        for pair, part in enumerate(dealt):
            for member in range(2):
                number = block * 2 * FOLDS + 2 * pair + member + 1
                parts[f"E{number:04d}"] = int(part)
    return parts


def main() -> None:
    """Write every committed split."""
    for name in METHODS:
        rows = make_splits(name)
        target = paths.manifests_dir() / "splits" / f"{name}.csv"
        with replacing(target) as part:
            part.write_text(render_table(name, rows), encoding="utf-8", newline="\n")
        counts = {s: sum(r.split == s and r.fold == 0 for r in rows) for s in SPLITS}
        print(f"{target}: fold 0 {counts}")


if __name__ == "__main__":
    main()
