"""Reader of the IARC Atlas of Colposcopy: one examination is one sequence.

Layout: `images_{high,low}_grade/case_XXXX/<order>_<stage>.jpg`.

Label: the folder, that is histopathology: HSIL or worse (1) against LSIL (0).
Order: the number in the file name, the position in the atlas' list (the order of examination).
Stages: every name is looked up in STAGES, an unknown one is an error, because silently dropping
or keeping an unexpected view would change the data set. The tier says how a stage is used:
  0  white-light view after saline or acetic acid: the course of acetowhitening, always preferred;
  1  white light, but another view (speculum examination before anything was applied, higher
     magnification, polyp pushed aside): fills free places;
  2  green filter: another spectrum, shows vessels; fills places that are still free;
  None  never a frame: Lugol's iodine (another reaction, and mostly not among the files), vulva,
     endocervical canal or speculum and the squamocolumnar junction (not the ectocervix).
A case with at least T frames of tier 0 uses only these (sampled evenly). Otherwise tier 1, then
tier 2 fill up to T, evenly chosen within a tier, and all frames are put back in order of
examination. Still shorter cases repeat their last frame. `lengths` counts all usable images.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from heclstm_lib.config import DataConfig
from heclstm_lib.data.cases import Case, Collected, Skip, decode_cases, link_duplicates
from heclstm_lib.data.frames import Frame, sample_indices
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.errors import DataError

GRADES = {"images_low_grade": 0, "images_high_grade": 1}

_LIGHT = {
    "": 0,
    "_with_higher_magnification": 1,
    "_with_green_filter": 2,
    "_with_green_filter_and_higher_magnification": 2,
}
STAGES: dict[str, int | None] = {
    **{f"after_normal_saline{suffix}": tier for suffix, tier in _LIGHT.items()},
    **{f"after_acetic_acid{suffix}": tier for suffix, tier in _LIGHT.items()},
    **{f"after_lugols_iodine{suffix}": None for suffix in _LIGHT},
    "speculum_examination": 1,
    "speculum_examination_with_green_filter": 2,
    "after_acetic_acid_and_pushing_the_polyp_inside": 1,
    "after_acetic_acid_with_endocervical_speculum": None,
    "after_lugols_iodine_with_endocervical_speculum": None,
    "examination_with_endocervical_speculum": None,
    "examination_of_endocervical_canal": None,
    "examination_of_endocervix": None,
    "visualization_of_the_scj": None,
    "vulva_before_acetic_acid": None,
    "vulva_after_acetic_acid": None,
}

_FILE = re.compile(r"^(\d+)_(.+)\.jpe?g$", re.IGNORECASE)


def parse_file_name(path: Path) -> tuple[int, str]:
    """Order number and normalised stage of `<order>_<stage>.jpg`; DataError for anything else."""
    match = _FILE.match(path.name)
    if match is None:
        raise DataError(f"{path}: got file name '{path.name}', expected '<order>_<stage>.jpg'.")
    stage = re.sub(r"[^a-z]+", "_", match[2].lower().replace("'", "")).strip("_")
    if stage not in STAGES:
        raise DataError(
            f"{path}: unknown stage '{stage}'. Known stages (table STAGES in "
            f"heclstm_lib/data/iarc.py): {', '.join(sorted(STAGES))}. Rename the file or add the "
            "stage to the table with its use."
        )
    return int(match[1]), stage


def choose_frames(frames: list[Frame], wanted: int) -> list[Frame]:
    """The frames of one case that the tiers leave, in order of examination (module docstring)."""
    chosen: list[Frame] = []
    for tier in (0, 1, 2):
        members = [frame for frame in frames if STAGES[frame.stage] == tier]
        room = wanted - len(chosen)
        if tier > 0 and len(members) > room:
            members = [members[i] for i in sample_indices(len(members), room)] if room > 0 else []
        chosen += members
    return [frame for frame in frames if frame in chosen]


def load_iarc(root: Path, manifest: Manifest, config: DataConfig) -> Collected:
    """Read every case below `root`; cases the manifest does not know are read as unverified."""
    cases: list[Case] = []
    skipped: list[Skip] = []
    for grade, label in GRADES.items():
        for folder in sorted((root / grade).glob("case_*")):
            case = _load_case(folder, label, root, manifest, skipped)
            cases += [case] if case else []
    _check_one_grade(cases, root)
    cases, notes = link_duplicates(cases, manifest.patients)
    cases = [_with_chosen_frames(case, config.frames) for case in cases]
    seen = {case.sequence_id for case in cases}
    known = {r.case for r in manifest.images()}
    return decode_cases(
        sorted(cases, key=lambda case: case.sequence_id),
        config,
        where=root,
        skipped=skipped,
        missing=sorted(str(case) for case in known - seen),
        unverified=sorted(seen - known),
        notes=notes,
    )


def _with_chosen_frames(case: Case, wanted: int) -> Case:
    chosen = tuple(choose_frames(list(case.frames), wanted))
    return replace(case, frames=chosen, available=len(case.frames))


def _load_case(
    folder: Path, label: int, root: Path, manifest: Manifest, skipped: list[Skip]
) -> Case | None:
    """One case, or None when no usable frame is left; what is left out is added to `skipped`."""
    name = folder.name.removeprefix("case_")
    ordered: dict[int, Frame] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in {".jpg", ".jpeg"}:
            continue
        order, stage = parse_file_name(path)
        if order in ordered:
            raise DataError(f"{folder}: two files have order number {order}; expected one.")
        relative = path.relative_to(root).as_posix()
        ordered[order] = Frame(path, stage, manifest.by_path.get(relative))
    skipped += _absent_frames(folder, name, root, ordered, manifest)
    usable = [ordered[k] for k in sorted(ordered) if STAGES[ordered[k].stage] is not None]
    for frame in ordered.values():
        if STAGES[frame.stage] is None:
            skipped.append(Skip(f"{name}/{frame.path.name}", f"stage '{frame.stage}' is not used"))
    if not usable:
        skipped.append(Skip(name, "case without a usable frame"))
        return None
    return Case(name, name, label, tuple(usable))


def _absent_frames(
    folder: Path, name: str, root: Path, ordered: dict[int, Frame], manifest: Manifest
) -> list[Skip]:
    """Frames the manifest lists, or a gap in the numbers shows, that are not on disk."""
    prefix = folder.relative_to(root).as_posix() + "/"
    listed = {int(r.order or 0): r.path for r in manifest.images() if r.path.startswith(prefix)}
    absent = [
        Skip(f"{name}/{Path(path).name}", "missing frame: in the manifest, not on disk")
        for order, path in sorted(listed.items())
        if order not in ordered
    ]
    gaps = set(range(1, max(ordered, default=0))) - set(ordered) - set(listed)
    return absent + [
        Skip(f"{name}/{order}", "missing frame: no file with this order number")
        for order in sorted(gaps)
    ]


def _check_one_grade(cases: list[Case], root: Path) -> None:
    labels: dict[str, set[int]] = {}
    for case in cases:
        labels.setdefault(case.sequence_id, set()).add(case.label)
    torn = sorted(name for name, seen in labels.items() if len(seen) > 1)
    if torn:
        raise DataError(f"{root}: case(s) {', '.join(torn)} lie in both grades; keep one folder.")
