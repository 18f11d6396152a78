"""Reader of AnnoCerv (384x384): the images of one case after acetic acid are one sequence.

Layout: `images/C<case>Aceto_<index>.jpg` and `metadata.csv` (columns case_id, image_index,
swede_score, file). Without the CSV the rows of the manifest are used.

Label: Swede score >= 5 (the usual referral threshold) is 1. The score stays in `scores`, so that
other thresholds can be reported: `labels_at_threshold(scores, 4)`.
Order: `image_index`, the time order after acetic acid. Sampling and padding: `data.frames`.
Patient: the case number; cases that share byte-identical images are one patient (five such pairs
are known, two of them with scores on both sides of the threshold: see the manifest's notes).
A row without an image and an image without a row are skipped and counted; a case without a Swede
score is skipped, because it has no label.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heclstm_lib.config import DataConfig
from heclstm_lib.data.cases import Case, Collected, Skip, decode_cases, link_duplicates
from heclstm_lib.data.frames import Frame
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.errors import DataError

SWEDE_THRESHOLD = 5
STAGE = "after_acetic_acid"
COLUMNS = ("case_id", "image_index", "swede_score", "file")


@dataclass(frozen=True)
class _Row:
    case: str
    index: int
    score: float
    file: str


def labels_at_threshold(scores: np.ndarray, threshold: int = SWEDE_THRESHOLD) -> np.ndarray:
    """Labels int64 [B]: 1 where the Swede score reaches `threshold`."""
    return (scores >= threshold).astype(np.int64)


def load_annocerv(root: Path, manifest: Manifest, config: DataConfig) -> Collected:
    """Read every case below `root`; cases the manifest does not know are read as unverified."""
    rows = _read_rows(root, manifest)
    skipped = _orphans(root, rows)
    patients = {str(r.case): str(r.patient) for r in manifest.images()}
    grouped: dict[str, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.case, []).append(row)
    cases: list[Case] = []
    for name in sorted(grouped, key=_natural):
        case = _make_case(name, grouped[name], root, manifest, skipped)
        if case is not None:
            cases.append(Case(name, patients.get(name, name), case[0], case[1], score=case[2]))
    cases, notes = link_duplicates(cases, manifest.patients)
    seen = {case.sequence_id for case in cases}
    return decode_cases(
        cases,
        config,
        where=root,
        skipped=skipped,
        missing=sorted(patients.keys() - seen, key=_natural),
        unverified=sorted(seen - patients.keys(), key=_natural),
        notes=notes,
    )


def _natural(name: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", name)
    return int(digits or 0), name


def read_table(path: Path) -> pd.DataFrame:
    """metadata.csv as a table; DataError when it cannot be read or lacks a column."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}.") from error
    absent = [column for column in COLUMNS if column not in table.columns]
    if absent:
        raise DataError(
            f"{path}: missing column(s) {', '.join(absent)}; got {list(table.columns)}."
        )
    return table


def _read_rows(root: Path, manifest: Manifest) -> list[_Row]:
    """Rows of metadata.csv, or of the manifest without it; DataError for unreadable numbers."""
    path = root / "metadata.csv"
    if not path.is_file():
        return [
            _Row(str(r.case), int(r.order or 0), math.nan if r.score is None else r.score, r.path)
            for r in manifest.images()
        ]
    rows = []
    table = read_table(path)[list(COLUMNS)]
    for line, (case, index, score, file) in enumerate(table.itertuples(index=False), 2):
        try:
            rows.append(_Row(f"C{int(case)}", int(index), float(score), str(file)))
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}; expected numbers.") from error
    return rows


def _orphans(root: Path, rows: list[_Row]) -> list[Skip]:
    """Images on disk that no row describes."""
    described = {row.file for row in rows}
    found = sorted(p.relative_to(root).as_posix() for p in (root / "images").glob("*.jp*g"))
    return [
        Skip(file, "image without a row in metadata.csv") for file in found if file not in described
    ]


def _make_case(
    name: str, rows: list[_Row], root: Path, manifest: Manifest, skipped: list[Skip]
) -> tuple[int, tuple[Frame, ...], float] | None:
    """Label, frames and score of one case, or None when it is skipped."""
    scores = {row.score for row in rows if not math.isnan(row.score)}
    if len(scores) > 1:
        raise DataError(f"case {name}: got Swede scores {sorted(scores)}, expected one per case.")
    if not scores:
        skipped.append(Skip(name, "case without a Swede score"))
        return None
    score = scores.pop()
    if not 0 <= score <= 10:
        raise DataError(f"case {name}: got Swede score {score}, expected 0 to 10.")
    indices = [row.index for row in rows]
    if len(set(indices)) < len(indices):
        raise DataError(f"case {name}: image_index repeats: {sorted(indices)}; expected distinct.")
    frames = []
    for row in sorted(rows, key=lambda r: r.index):
        path = root / row.file
        if path.is_file():
            frames.append(Frame(path, STAGE, manifest.by_path.get(row.file)))
        else:
            skipped.append(Skip(row.file, "row without an image: the file is not on disk"))
    if not frames:
        skipped.append(Skip(name, "case without an image on disk"))
        return None
    return int(score >= SWEDE_THRESHOLD), tuple(frames), score
