"""Reader of AdrenalMNIST3D: the axial slabs of one adrenal gland are one sequence.

The order is one of space, not of time.

File: `adrenalmnist3d.npz` with `{train,val,test}_images` uint8 [N, 28, 28, 28] (binary shape
masks, 0 or 255) and `{train,val,test}_labels` [N, 1], 1 = abnormal (hyperplasia or mass).

Frames: the central 16 of the 28 slices along the first axis, cut into T slabs; a frame is the mean
projection of its slab, resized (Pillow, antialiased). The outer slices are left out because they
are empty in most volumes: 95 % of the training glands start at slice 7 or later and 95 % end at 21
or before. For T > 16 all 28 slices are used. Every sequence has T real frames.
With `slices` = C the slab is cut once more, into C parts, and their mean projections are the C
channels of the frame: the depth inside a slab is kept.
Patients: the file has no patient id. The authors split by patient, so the official split is used;
each gland counts as its own group, although both glands of a patient may stand in the same part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from heclstm_lib.config import DataConfig
from heclstm_lib.data.cases import Collected, subsample
from heclstm_lib.data.frames import check_config, read_checked
from heclstm_lib.data.manifest import Manifest
from heclstm_lib.errors import ConfigError, DataError

FILE = "adrenalmnist3d.npz"
PARTS = ("train", "val", "test")
CENTRAL_SLICES = 16
SIDE = 28


def load_adrenal(root: Path, manifest: Manifest, config: DataConfig) -> Collected:
    """Read the archive and cut every volume into T slabs."""
    channels = check_config(config)
    volumes, labels, ids = _read_parts(root / FILE, manifest)
    kept = subsample(labels, config.sequences, config.seed)
    parts = config.frames * config.slices
    slabs = np.stack([make_slabs(volumes[i], parts, config.image_size) for i in kept])
    frames = slabs.reshape(len(kept), config.frames, config.slices, *slabs.shape[2:])
    names = tuple(ids[i] for i in kept)
    count = len(kept)
    return Collected(
        frames=np.repeat(frames, channels // config.slices, axis=2),
        labels=labels[kept],
        patient_ids=names,
        sequence_ids=names,
        frame_labels=(slab_names(config.frames, config.slices),) * count,
        lengths=np.full(count, config.frames, dtype=np.int64),
        scores=np.full(count, np.nan),
        notes=("no patient ids in the file: the official split is by patient",),
    )


def _slices(frames: int) -> list[np.ndarray]:
    if not 1 <= frames <= SIDE:
        raise ConfigError(
            f"data.frames x data.slices = {frames}: AdrenalMNIST3D has {SIDE} slices; give 1 to 28."
        )
    used = CENTRAL_SLICES if frames <= CENTRAL_SLICES else SIDE
    first = (SIDE - used) // 2
    return np.array_split(np.arange(first, first + used), frames)


def slab_names(frames: int, slices: int = 1) -> tuple[str, ...]:
    """Frame labels such as "slices_6-9"."""
    parts = _slices(frames * slices)
    slabs = [parts[at : at + slices] for at in range(0, len(parts), slices)]
    return tuple(f"slices_{slab[0][0]}-{slab[-1][-1]}" for slab in slabs)


def make_slabs(volume: np.ndarray, frames: int, size: int) -> np.ndarray:
    """Mean projections of T slabs: one volume [28, 28, 28] -> float32 [T, size, size], 0 to 1."""
    slabs = [volume[part].mean(axis=0, dtype=np.float32) for part in _slices(frames)]
    if size != SIDE:
        slabs = [_resize(slab, size) for slab in slabs]
    return np.clip(np.stack(slabs) / np.float32(255), 0, 1)


def _resize(slab: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(slab).resize((size, size), Image.Resampling.BILINEAR))


def _read_parts(path: Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray, list[str]]:
    read_checked(path, manifest.by_path.get(FILE))
    try:
        with np.load(path) as archive:
            images = {part: archive[f"{part}_images"] for part in PARTS}
            labels = {part: archive[f"{part}_labels"].reshape(-1) for part in PARTS}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path}: not the AdrenalMNIST3D archive: {error}. Fetch it again."
        ) from error
    for part in PARTS:
        if images[part].shape != (len(labels[part]), SIDE, SIDE, SIDE):
            raise DataError(
                f"{path}: {part}_images has shape {images[part].shape}, expected N x 28^3."
            )
    ids = [f"{part}-{i:04d}" for part in PARTS for i in range(len(labels[part]))]
    everything = np.concatenate([labels[part] for part in PARTS]).astype(np.int64)
    return np.concatenate([images[part] for part in PARTS]), everything, ids
