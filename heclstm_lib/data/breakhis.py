"""Reader of BreaKHis v1: histology of one patient as a sequence.

File name: `SOB_<B|M>_<type>-<year>-<slide>-<magnification>-<seq>.png`. Any tree of such files is
read: the full archive (`BreaKHis_v1/histology_slides/...`) or a flat folder of samples.

Label: malignant (M) is 1. Patient (the group): the *number* in the slide id, without its letters:
slides 22549AB, 22549CD and 22549G are one woman, and so is 13412, filed under two subtypes.
The data set's own count of 82 patients counts slide folders, so there are fewer groups.

Two modes (`DataConfig.magnification`), neither ever mixes patients:
- None: 40 -> 100 -> 200 -> 400X, "zooming in". Sequence j of a patient takes the j-th image (by
  file name) of every magnification on hand; as many sequences as the rarest magnification has.
  Missing magnifications shorten the sequence, which is then padded.
- 40, 100, 200 or 400: T images at this magnification in order of file name, without overlap.
  A last group of fewer than T images is dropped and counted, unless it is the patient's only one.

Splits: the official five folds where their files lie below the folder (`breakhis_folds`), else the
committed split. The notes of the set say which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heclstm_lib.config import DataConfig
from heclstm_lib.data.breakhis_folds import fold_notes
from heclstm_lib.data.breakhis_names import BreakhisName, parse_name
from heclstm_lib.data.cases import Case, Collected, Skip, decode_cases
from heclstm_lib.data.frames import Frame
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.errors import ConfigError, DataError

MAGNIFICATIONS = (40, 100, 200, 400)


@dataclass(frozen=True)
class _Image:
    name: BreakhisName
    frame: Frame


def load_breakhis(root: Path, manifest: Manifest, config: DataConfig) -> Collected:
    """Read every image below `root` and build the sequences of the mode (module docstring)."""
    if config.magnification not in (None, *MAGNIFICATIONS):
        raise ConfigError(
            f"data.magnification={config.magnification}: expected null, 40, 100, 200 or 400."
        )
    grouped = _group_by_patient(root, manifest)
    skipped: list[Skip] = []
    cases: list[Case] = []
    for patient, images in sorted(grouped.items()):
        if config.magnification is None:
            cases += _zooming(patient, images)
        else:
            cases += _at_one(patient, images, config.magnification, config.frames, skipped)
    unverified = {
        p for p, images in grouped.items() if any(i.frame.resource is None for i in images)
    }
    return decode_cases(
        cases,
        config,
        where=root,
        skipped=skipped,
        missing=sorted(set(manifest.patients) - grouped.keys()),
        unverified=sorted(unverified),
        notes=_count_notes(sum(map(len, grouped.values())), manifest) + fold_notes(root),
    )


def _group_by_patient(root: Path, manifest: Manifest) -> dict[str, list[_Image]]:
    """Images of each patient by file name; DataError for a repeated name or two labels."""
    grouped: dict[str, list[_Image]] = {}
    seen: dict[str, Path] = {}
    for path in sorted(root.rglob("*.png"), key=lambda p: p.name):
        name = parse_name(path.name)
        if path.name in seen:
            raise DataError(f"{path.name} lies twice: {seen[path.name]} and {path}. Keep one.")
        seen[path.name] = path
        stage = f"{name.magnification}X"
        frame = Frame(path, stage, manifest.by_path.get(path.name))
        grouped.setdefault(name.patient, []).append(_Image(name, frame))
    for patient, images in grouped.items():
        if len({image.name.label for image in images}) > 1:
            raise DataError(f"{root}: patient {patient} is filed as benign and as malignant.")
    return grouped


def _at(images: list[_Image], magnification: int) -> list[Frame]:
    return [i.frame for i in images if i.name.magnification == magnification]


def _zooming(patient: str, images: list[_Image]) -> Iterator[Case]:
    on_hand = [frames for m in MAGNIFICATIONS if (frames := _at(images, m))]
    for j, zoom in enumerate(zip(*on_hand, strict=False)):
        yield Case(f"{patient}-{j:03d}", patient, images[0].name.label, tuple(zoom))


def _at_one(
    patient: str, images: list[_Image], magnification: int, wanted: int, skipped: list[Skip]
) -> Iterator[Case]:
    frames = _at(images, magnification)
    if not frames:
        skipped.append(Skip(patient, f"patient without an image at {magnification}X"))
        return
    groups = [frames[i : i + wanted] for i in range(0, len(frames), wanted)]
    if len(groups) > 1 and len(groups[-1]) < wanted:
        last = groups.pop()
        skipped.append(Skip(patient, f"last {len(last)} image(s) do not fill {wanted} frames"))
    for j, group in enumerate(groups):
        label = images[0].name.label
        yield Case(f"{patient}-{magnification}X-{j:03d}", patient, label, tuple(group))


def _count_notes(found: int, manifest: Manifest) -> list[str]:
    expected = manifest.expected.images
    if found == expected:
        return []
    return [f"{found:,} of the {expected:,} images of the full data set are on disk"]
