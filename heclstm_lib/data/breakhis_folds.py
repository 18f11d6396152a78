"""BreaKHis' official five folds, `dsfold1.txt` .. `dsfold5.txt`, as splits by patient.

The publisher hands them out beside the images; here they may lie anywhere below the data set's
folder. Lines are `<file>|<magnification>|<fold>|<train|test>`. Our fold f is the file of f + 1.

Two things differ from the protocol, both on the careful side:
- The files split *slides*, and a patient may have several (22549AB, 22549CD, 22549G). A patient
  with slides on both sides would leak from training into test, so all her slides are tested.
- The files know no validation. A fifth of the training patients of each class becomes it, those
  whose sha256("breakhis:<patient>") is smallest: the same patients on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.data.breakhis_names import parse_name
from heclstm_lib.errors import DataError

FILES = tuple(f"dsfold{number}.txt" for number in range(1, 6))
VALIDATION_SHARE = 1 / 5
"""Of the training patients of each class; at least one where a class has two."""


@dataclass(frozen=True)
class OfficialFold:
    """patient -> "train" | "val" | "test", and the patients moved out of training."""

    parts: dict[str, str]
    moved: tuple[str, ...]  # slides on both sides: tested here


def find_fold_files(root: Path) -> tuple[Path, ...]:
    """The five files below `root` in order of their folds, or none.

    Raises DataError when only some are there or one lies twice.
    """
    found: dict[str, list[Path]] = {name: [] for name in FILES}
    for path in sorted(root.rglob("dsfold?.txt")):
        found.get(path.name, []).append(path)
    if not any(found.values()):
        return ()
    wrong = [f"{name}: {len(paths)}" for name, paths in found.items() if len(paths) != 1]
    if wrong:
        raise DataError(
            f"{root}: expected each of {FILES[0]} .. {FILES[-1]} once, got {', '.join(wrong)}. "
            "Put all five official fold files there, once, or none."
        )
    return tuple(paths[0] for paths in found.values())


def load_official_fold(path: Path) -> OfficialFold:
    """Read one fold file (module docstring).

    Raises DataError for a line of another form, a patient of both classes, or an empty side.
    """
    sides: dict[str, set[str]] = {}
    label: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.strip().split("|")
        if len(fields) != 4 or fields[3] not in ("train", "test"):
            raise DataError(
                f"{path}, line {number}: got '{line}', expected "
                "<file>|<magnification>|<fold>|<train|test>. Take the file from the publisher anew."
            )
        name = parse_name(fields[0])
        if label.setdefault(name.patient, name.label) != name.label:
            raise DataError(
                f"{path}, line {number}: patient {name.patient} is filed as benign and malignant."
            )
        sides.setdefault(name.patient, set()).add(fields[3])
    moved = tuple(sorted(patient for patient, seen in sides.items() if len(seen) > 1))
    parts = {patient: "test" if "test" in seen else "train" for patient, seen in sides.items()}
    for patient in _validation(label, parts):
        parts[patient] = "val"
    if set(parts.values()) != {"train", "val", "test"}:
        raise DataError(
            f"{path}: {len(parts)} patients fill only {', '.join(sorted(set(parts.values())))}; "
            "expected patients of both sides, two of a class in training."
        )
    return OfficialFold(parts, moved)


def _validation(label: dict[str, int], parts: dict[str, str]) -> list[str]:
    """The training patients that become validation, stratified by label."""
    chosen: list[str] = []
    for value in (0, 1):
        ranked = sorted(
            (p for p, part in parts.items() if part == "train" and label[p] == value), key=_rank
        )
        wanted = max(1, round(VALIDATION_SHARE * len(ranked))) if len(ranked) > 1 else 0
        chosen += ranked[:wanted]
    return chosen


def _rank(patient: str) -> str:
    return hashlib.sha256(f"breakhis:{patient}".encode()).hexdigest()


def fold_notes(root: Path) -> list[str]:
    """What a reader of the results must know of the folds, for the notes of the sequence set."""
    files = find_fold_files(root)
    if not files:
        return [
            f"no official fold files ({FILES[0]} .. {FILES[-1]}) below the data set's folder: the "
            "committed split is used (made for the 12-image sample; patients it does not name get "
            "a part from their number). Results cannot be set beside those of the official folds"
        ]
    notes = ["official folds are used; validation patients are a fifth of the training patients"]
    for path in files:
        if moved := load_official_fold(path).moved:
            notes.append(
                f"{path.name}: slides of patient(s) {', '.join(moved)} stand in training and in "
                "test; all of them are tested here, none is trained on"
            )
    return notes
