"""Splits by patient: committed tables, their leakage check, and patients they do not name.

A committed split is `data_manifests/splits/<name>.csv` (columns fold,patient_id,split) below
comment lines with seed, method and digest. Five-fold sets share one scheme: every patient has one
part 0..4, stratified by label; in fold f part f is the test set, part f+1 (mod 5) is the
validation set (taken from what would be training), the other three are training. Repeated
cross-validation goes on counting: folds 5 r .. 5 r + 4 are those of the r-th partition. A set with
an official split has that one whatever the fold's number, which then only tells the seeds apart.

A patient the table does not name gets a part from sha256("<name>:<patient>"), the same on every
machine, so that added cases are tested in exactly one fold and never move another patient.

BreaKHis' own five folds take the place of the committed table where their files lie in the data
folder (`breakhis_folds`, `find_split`).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heclstm_lib import paths
from heclstm_lib.data.breakhis_folds import find_fold_files, load_official_fold
from heclstm_lib.data.manifest import load_manifest
from heclstm_lib.data.sequences import SequenceSet
from heclstm_lib.data.sources import find_folder
from heclstm_lib.errors import DataError, LeakageError

FOLDS = 5
SPLITS = ("train", "val", "test")
OFFICIAL = frozenset({"adrenalmnist3d"})
"""Data sets whose authors split them: every fold is that split, trained from another seed."""
_HEADER = ["fold", "patient_id", "split"]


@dataclass(frozen=True)
class SplitRow:
    """One line of a split table."""

    fold: int
    patient_id: str
    split: str


def split_of_part(part: int, fold: int) -> str:
    """Where a patient of `part` stands in `fold` (module docstring)."""
    return {0: "test", 1: "val"}.get((part - fold) % FOLDS, "train")


def hashed_part(name: str, patient: str) -> int:
    """Part 0..4 of a patient no table names; depends on the two names alone."""
    return int(hashlib.sha256(f"{name}:{patient}".encode()).hexdigest(), 16) % FOLDS


def check_leakage(rows: Iterable[SplitRow]) -> None:
    """LeakageError that names every patient standing in two parts of one fold."""
    seen: dict[tuple[int, str], set[str]] = {}
    for row in rows:
        seen.setdefault((row.fold, row.patient_id), set()).add(row.split)
    torn = {key: found for key, found in seen.items() if len(found) > 1}
    if torn:
        listing = "; ".join(
            f"fold {fold}: {patient} in {' and '.join(sorted(found))}"
            for (fold, patient), found in sorted(torn.items())[:10]
        )
        raise LeakageError(
            f"{len(torn)} patient(s) stand in more than one part of a split: {listing}. "
            "Every patient may stand in one part only; correct the split table."
        )


def load_table(name: str, folder: Path | None = None) -> list[SplitRow]:
    """Read a committed split table; DataError when absent or malformed, LeakageError when leaky."""
    path = (folder or paths.manifests_dir() / "splits") / f"{name}.csv"
    if not path.is_file():
        raise DataError(f"no committed split for data set '{name}': {path} does not exist.")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    reader = csv.reader(lines)
    if next(reader, None) != _HEADER:
        raise DataError(f"{path}: expected the columns {','.join(_HEADER)}.")
    rows = []
    for values in reader:
        if len(values) != 3 or not values[0].isdigit() or values[2] not in SPLITS:
            raise DataError(
                f"{path}: got row {values}, expected a fold, a patient, one of {SPLITS}."
            )
        rows.append(SplitRow(int(values[0]), values[1], values[2]))
    check_leakage(rows)
    return rows


def load_split(
    name: str, fold: int, patients: Sequence[str], folder: Path | None = None
) -> dict[str, str]:
    """patient -> "train" | "val" | "test" for the given patients in one fold.

    A patient the table does not name keeps its part in every repeat. Raises DataError for an
    unknown fold and LeakageError for a leaky table.
    """
    rows = load_table(name, folder)
    fold = 0 if name in OFFICIAL else fold
    folds = sorted({row.fold for row in rows})
    if fold not in folds:
        raise DataError(f"data set '{name}' has no fold {fold}; it has {folds}.")
    table = {row.patient_id: row.split for row in rows if row.fold == fold}
    return {
        patient: table.get(patient) or split_of_part(hashed_part(name, patient), fold)
        for patient in patients
    }


def find_split(sequences: SequenceSet, fold: int, root: Path | None = None) -> dict[str, str]:
    """patient -> part in one fold: the official fold where the data folder holds it, else ours.

    `root` is the folder of data the set was read from (None: cache, then mirror). Raises DataError
    for an unknown fold, LeakageError for a leaky table.
    """
    if sequences.name == "breakhis":
        files = find_fold_files(find_folder(load_manifest(sequences.name), root))
        if files and fold >= len(files):
            raise DataError(
                f"data set 'breakhis' has no official fold {fold}; it has 0 to {len(files) - 1}. "
                "Correct `folds` in the profile, or remove the fold files."
            )
        if files:
            return load_official_fold(files[fold]).parts
    return load_split(sequences.name, fold, sequences.patient_ids)


def apply_split(
    sequences: SequenceSet, fold: int, table: dict[str, str] | None = None
) -> dict[str, SequenceSet]:
    """The set cut into train, val and test by patient.

    `table` (patient -> part, as `find_split` gives it) replaces the committed split. Raises
    DataError when a part is empty or a patient is not in `table`.
    """
    if table is None:
        table = load_split(sequences.name, fold, sequences.patient_ids)
    unknown = sorted(set(sequences.patient_ids) - table.keys())
    if unknown:
        raise DataError(f"fold {fold}: no part for patient(s) {', '.join(unknown[:10])}.")
    where = np.array([table[patient] for patient in sequences.patient_ids])
    parts = {split: sequences.subset(where == split) for split in SPLITS}
    empty = [split for split, part in parts.items() if len(part) == 0]
    if empty:
        raise DataError(
            f"data set '{sequences.name}', fold {fold}: no sequence in {', '.join(empty)} "
            f"({len(sequences)} sequences in all). Use more sequences or another fold."
        )
    check_leakage(
        SplitRow(fold, patient, split)
        for split, part in parts.items()
        for patient in part.patient_ids
    )
    return parts
